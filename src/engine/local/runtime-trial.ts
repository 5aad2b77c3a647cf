import { DEFAULT_ISOLATION, type Isolation } from "../../model/isolation.ts";
import { DEFAULT_SIZE, sizeNamed } from "../../model/size.ts";
import type { DynoSpec } from "../engine.ts";
import { DynoFolder, labelsOf } from "./dyno-folder.ts";
import type { StartsAhead } from "./starts-ahead.ts";
import { make, takeAway, type Workshop } from "./workshop.ts";

const TRIAL_MS_MAX = 20_000;

export interface Trial {
  readonly isolation?: Isolation;
  /** What must succeed in it, besides. */
  readonly command?: string;
  /** Called once it has ended, before it is taken apart. */
  readonly inspect?: () => Promise<void>;
  /** With which it is begun ahead. */
  readonly ahead?: StartsAhead;
}

/**
 * Runs one dyno with everything that dynos have, which writes to its disks; throws unless it could. (A kernel that does not
 * like the overlay mounts it read-only and says so nowhere.)
 */
export async function tryDyno(shop: Workshop, id: string, trial: Trial = {}): Promise<void> {
  const size = sizeNamed(DEFAULT_SIZE);
  if (size === undefined) throw new Error(`${DEFAULT_SIZE} is not a size`);
  const folder = new DynoFolder(shop.instance.paths.bundles, id);
  const command = trial.command === undefined ? TRIAL.command : `${TRIAL.command} && ${trial.command}`;
  const spec: DynoSpec = { ...TRIAL, id, appId: id, command, isolation: trial.isolation ?? DEFAULT_ISOLATION };
  try {
    trial.ahead?.begin(spec, size);
    const ahead = await trial.ahead?.take(spec, size);
    if (trial.ahead !== undefined && ahead === undefined) throw new Error("it could not be begun ahead");
    await folder.create(labelsOf(spec, size, shop.clock.now()));
    await make(shop, folder, spec, size, { created: ahead?.created });
    const deadline = shop.clock.now() + TRIAL_MS_MAX;
    const never = new AbortController().signal;
    while (folder.exitStatus() === undefined) {
      if (shop.clock.now() > deadline) throw new Error("the trial did not end in time");
      await shop.clock.sleep(5, never);
    }
    const status = folder.exitStatus();
    if (status !== 0) throw new Error(`the trial ended with status ${status}: /app or /tmp cannot be written`);
    await trial.inspect?.();
  } finally {
    await takeAway(shop, folder, id);
  }
}

const TRIAL: Omit<DynoSpec, "id" | "appId" | "isolation"> = {
  uidIndex: 0,
  kind: "run",
  name: "trial.1",
  releaseId: null,
  stack: "debian-12",
  slugDigest: null,
  command: "touch /app/trial /tmp/trial /dev/shm/trial && ls -ld /app",
  env: {},
  size: DEFAULT_SIZE,
  port: null,
  terminal: null,
  stdin: false,
  io: false,
};
