import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const url = urlOf("drains:add URL", input);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const drain = await client.call<{ readonly url: string }>("POST", `/apps/${app}/log-drains`, { body: { url } });
  print(`Successfully added drain ${drain.url}`);
  return 0;
}

/** The one thing that is named. Throws `UsageError`. */
export function urlOf(usage: string, input: Input): string {
  const [url, ...more] = input.positionals;
  if (url === undefined || more.length > 0) throw new UsageError(`Usage: stator ${usage} -a APP`);
  return url;
}
