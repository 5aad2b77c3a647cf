import type { DynoJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { json, marked, print, timeAgo, timeUntil } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const all = await client.get<readonly DynoJson[]>(`/apps/${app}/dynos`);
  const types = input.positionals;
  const missing = types.filter((type) => !all.some((dyno) => dyno.type === type));
  if (missing.length > 0) throw new UsageError(`No ${missing.join(", ")} dynos on ${marked(app)}`, 1);
  const dynos = all.filter((dyno) => types.length === 0 || types.includes(dyno.type));
  if (input.has("json")) json(dynos);
  else if (dynos.length === 0) print(`No dynos on ${marked(app)}`);
  else for (const line of format(dynos, new Date())) print(line);
  return 0;
}

/** One-off dynos first, then a group for each process type and command (spec 16). */
export function format(dynos: readonly DynoJson[], now: Date): readonly string[] {
  const sorted = dynos.toSorted((one, other) => ordinal(one) - ordinal(other));
  const age = (dyno: DynoJson) =>
    `${dyno.state} ${timeAgo(new Date(dyno.updated_at), now)}${nextStart(dyno, now)}${readiness(dyno)}`;
  const oneOff = sorted.filter((dyno) => dyno.type === "run");
  const lines =
    oneOff.length === 0
      ? []
      : [
          `=== run: one-off processes (${oneOff.length})`,
          "",
          ...oneOff.map((dyno) => `${dyno.name} (${dyno.size}): ${age(dyno)}: ${dyno.command}`),
          "",
        ];
  const groups = Map.groupBy(
    sorted.filter((dyno) => dyno.type !== "run"),
    (dyno) => `${dyno.type} (${dyno.size}): ${dyno.command}`,
  );
  for (const [title, members] of [...groups].toSorted(([one], [other]) => (one < other ? -1 : 1))) {
    lines.push(`=== ${title} (${members.length})`, "", ...members.map((dyno) => `${dyno.name}: ${age(dyno)}`), "");
  }
  return lines;
}

/** Ours: when a crashed dyno is started again. */
function nextStart({ next_start_at: at }: DynoJson, now: Date): string {
  if (at === null || at === undefined) return ""; // other platforms say nothing of it
  const wait = timeUntil(new Date(at), now);
  return wait === "now" ? ", next start now" : `, next start in ${wait}`;
}

/** Ours: whether it is up and fails its readiness check, so that the router sends it nothing. */
function readiness({ state, ready }: DynoJson): string {
  return state === "up" && ready === false ? ", not ready: no new requests" : "";
}

function ordinal(dyno: DynoJson): number {
  return Number(dyno.name.slice(dyno.name.lastIndexOf(".") + 1)) || 0;
}
