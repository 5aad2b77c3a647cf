import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { json, print } from "../output.ts";
import { waterfall } from "../waterfall.ts";

interface TimelineJson {
  readonly dyno: { readonly name: string };
  readonly steps: readonly { readonly name: string; readonly at: number; readonly after: number }[];
}

/** When each step of a dyno's start was done. */
export async function run(input: Input): Promise<number> {
  const [dyno, ...more] = input.positionals;
  if (dyno === undefined || more.length > 0) throw new UsageError("Name one dyno: stator ps:timeline web.1");
  const client = new Client();
  const app = await appOf(input, client.platform);
  const timeline = await client.get<TimelineJson>(`/apps/${app}/dynos/${encodeURIComponent(dyno)}/start-timeline`);
  if (input.has("json")) json(timeline);
  else for (const line of waterfall(timeline.steps)) print(line);
  return 0;
}
