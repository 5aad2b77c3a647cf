import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const [stack, ...more] = input.positionals;
  if (stack === undefined || more.length > 0) throw new UsageError("Usage: stator stack:set STACK -a APP");
  const client = new Client();
  const app = await appOf(input, client.platform);
  await action(`Setting stack to ${stack}`, () =>
    client.call("PATCH", `/apps/${app}`, { body: { build_stack: stack } }),
  );
  return 0;
}
