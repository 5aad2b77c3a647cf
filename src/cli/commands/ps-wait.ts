import { setTimeout as pause } from "node:timers/promises";
import { type DynoJson, newestReleases, type ReleaseJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, json, marked, warn } from "../output.ts";

/** Ours has no limit of calls to be afraid of, but the official flag's rule holds. */
const INTERVAL_S_MIN = 10;

export async function run(input: Input): Promise<number> {
  const seconds = Number(input.text("wait-interval") ?? INTERVAL_S_MIN);
  if (!(seconds >= INTERVAL_S_MIN)) throw new UsageError("wait-interval must be at least 10", 1);
  const type = input.text("type");
  const withRun = input.has("with-run");
  if (type !== undefined && withRun) throw new UsageError("--with-run cannot be used together with --type.");
  const client = new Client();
  const app = await appOf(input, client.platform);
  const [newest] = await client.get<readonly ReleaseJson[]>(`/apps/${app}/releases`, newestReleases(1));
  if (newest === undefined) {
    warn(`App ${marked(app)} has no releases`);
    return 0;
  }
  const look = async () => counts(await client.get<readonly DynoJson[]>(`/apps/${app}/dynos`), newest, type, withRun);
  let now = await look();
  if (now.there < now.wanted)
    await action(
      `Waiting for every dyno to be running v${newest.version}`,
      async () => {
        for (; now.there < now.wanted; now = await look()) await pause(seconds * 1000);
      },
      () => `${now.there} / ${now.wanted}`,
    );
  if (input.has("json")) json({ release: newest.version, dynos: now.there });
  return 0;
}

/** How many of the dynos that count are up with the release or a newer one, or would be if their app did not sleep. Pure. */
export function counts(
  dynos: readonly DynoJson[],
  { version }: Pick<ReleaseJson, "version">,
  type: string | undefined,
  withRun: boolean,
): { readonly there: number; readonly wanted: number } {
  // A scheduled dyno is not started again with a release either.
  const isOneOff = (dyno: DynoJson) => dyno.type === "run" || dyno.type === "scheduler";
  const relevant = dynos.filter(
    (dyno) => dyno.type !== "release" && (withRun || !isOneOff(dyno)) && (type === undefined || dyno.type === type),
  );
  const isThere = ({ state, release }: DynoJson) => (state === "up" || state === "idle") && release.version >= version;
  const there = relevant.filter(isThere);
  return { there: there.length, wanted: relevant.length };
}
