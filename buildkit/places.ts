import { join } from "node:path";

/** Where things are in a build dyno. Only tests set the variables. */
export interface Places {
  readonly socket: string;
  readonly repository: string;
  readonly cache: string;
  /** Emptied with the dyno: checkout, variables, index. */
  readonly work: string;
  readonly buildkit: string;
}

export function placesFrom(env: Readonly<Record<string, string | undefined>>): Places {
  return {
    socket: env["STATOR_IO_SOCKET"] ?? "/run/stator/io.sock",
    repository: env["STATOR_REPOSITORY"] ?? "/repo",
    cache: env["STATOR_CACHE"] ?? "/cache",
    work: env["STATOR_WORK"] ?? "/tmp",
    buildkit: join(import.meta.dirname),
  };
}
