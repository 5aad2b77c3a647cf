import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, marked, print } from "../output.ts";
import { askSecretly } from "../prompt.ts";

/** The password comes from the terminal or a pipe, never from the command line, which everybody on the machine can read. */
export async function run(input: Input): Promise<number> {
  const [name, ...more] = input.positionals;
  if (name === undefined || more.length > 0)
    throw new UsageError("Usage: stator routing:auth-add NAME -a APP\nName one user; the password is asked for.", 1);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const password = input.has("generate") ? "" : await askSecretly(`Password of ${name} (nothing: one is made): `);
  const body = { name, ...(password !== "" && { password }) };
  const added = await action(`Adding user ${name} to ${marked(app)}`, () =>
    client.call<{ readonly password: string }>("POST", `/apps/${app}/routing/users`, { body }),
  );
  if (password === "") print(added.password);
  return 0;
}
