import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, json, marked, print, titled } from "../output.ts";
import { listOf, wordOf } from "../words.ts";

interface CollaboratorJson {
  readonly role: string | null;
  readonly permissions: readonly { readonly name: string }[];
  readonly user: { readonly email: string };
}

export async function list(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const all = await client.get<readonly CollaboratorJson[]>(`/apps/${app}/collaborators`);
  if (input.has("json")) json(all);
  else for (const line of format(all)) print(line);
  return 0;
}

/** By address: who, as what, with which permissions. */
export function format(all: readonly CollaboratorJson[]): readonly string[] {
  const rows = all
    .toSorted((one, other) => (one.user.email < other.user.email ? -1 : 1))
    .map(({ user, role, permissions }) => [
      user.email,
      role ?? "collaborator",
      permissions
        .map(({ name }) => name)
        .toSorted()
        .join(", "),
    ]);
  return titled([["email", "role", "permissions"], ...rows]);
}

export async function add(input: Input): Promise<number> {
  const { client, app, email, path } = await target("access:add EMAIL [-p deploy,operate,manage]", input);
  const permissions = permissionsIn(input);
  const body = { user: email, ...(permissions !== undefined && { permissions }) };
  const said = permissions === undefined ? "" : ` with ${permissions.join(", ")} permissions`;
  await action(`Adding ${email} access to the app ${marked(app)}${said}`, () => client.call("POST", path, { body }));
  return 0;
}

export async function update(input: Input): Promise<number> {
  const { client, app, email, path } = await target("access:update EMAIL -p deploy,operate,manage", input);
  const permissions = permissionsIn(input);
  if (permissions === undefined) throw new UsageError("Missing required flag permissions: -p deploy,operate,manage");
  const what = `Updating ${email} in application ${marked(app)} with ${permissions.join(", ")} permissions`;
  await action(what, () => client.call("PATCH", `${path}/${encodeURIComponent(email)}`, { body: { permissions } }));
  return 0;
}

export async function remove(input: Input): Promise<number> {
  const { client, app, email, path } = await target("access:remove EMAIL", input);
  await action(`Removing ${email} access from the app ${marked(app)}`, () =>
    client.call("DELETE", `${path}/${encodeURIComponent(email)}`),
  );
  return 0;
}

async function target(usage: string, input: Input) {
  const [command = "", ...what] = usage.split(" ");
  const email = wordOf(command, `${what.join(" ")} -a APP`, input);
  const client = new Client();
  const app = await appOf(input, client.platform);
  return { client, app, email, path: `/apps/${app}/collaborators` };
}

/** `view` goes without saying, and is said. */
function permissionsIn(input: Input): readonly string[] | undefined {
  const text = input.text("permissions");
  return text === undefined ? undefined : [...new Set([...listOf(text), "view"])].toSorted();
}
