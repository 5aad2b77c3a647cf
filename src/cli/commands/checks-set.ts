import { appOf } from "../app-name.ts";
import { type ChecksJson, checkOf, whichCheck } from "../checks.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, marked, note } from "../output.ts";

/** Puts one check in place of those of its kind; the others stay. */
export async function run(input: Input): Promise<number> {
  const usage = "checks:set TYPE startup|readiness|liveness --path /up";
  const { type, kind } = whichCheck(input, usage);
  if (kind === undefined) throw new UsageError(`Say which: stator ${usage}`);
  const check = checkOf(kind, input);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const path = `/apps/${app}/formation/${encodeURIComponent(type)}/health-checks`;
  const { checks } = await client.get<ChecksJson>(path);
  const others = checks.filter((each) => each.type !== kind);
  await action(`Setting the ${kind} check of ${type} on ${marked(app)}`, () =>
    client.call<ChecksJson>("PUT", path, { body: { checks: [...others, check] } }),
  );
  note(`Dynos that start from now on have it; those that run get it by stator ps:restart ${type}`);
  return 0;
}
