import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, marked } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const [name, ...more] = input.positionals;
  if (name === undefined || more.length > 0)
    throw new UsageError("Usage: stator routing:auth-remove NAME -a APP\nName one user.");
  const client = new Client();
  const app = await appOf(input, client.platform);
  await action(`Removing user ${name} from ${marked(app)}`, () =>
    client.call("DELETE", `/apps/${app}/routing/users/${encodeURIComponent(name)}`),
  );
  return 0;
}
