import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { byWords, naturally } from "../order.ts";
import { action, fields, json, print, titled } from "../output.ts";
import { wordOf } from "../words.ts";

interface ClientJson {
  readonly id: string;
  readonly name: string;
  readonly redirect_uri: string;
  readonly secret: string;
}

export async function list(input: Input): Promise<number> {
  const all = await new Client().get<readonly ClientJson[]>("/oauth/clients");
  const nameOf = ({ name }: ClientJson): string => name;
  const rows = naturally(all, nameOf).map(({ name, id, redirect_uri }) => [name, id, redirect_uri]);
  if (input.has("json")) json(byWords(all, nameOf));
  else if (rows.length === 0) print("No OAuth clients.");
  else for (const line of titled([["name", "id", "redirect_uri"], ...rows])) print(line);
  return 0;
}

export async function create(input: Input): Promise<number> {
  const [name, redirect_uri, extra] = input.positionals;
  if (name === undefined || redirect_uri === undefined || extra !== undefined)
    throw new UsageError("Usage: stator clients:create NAME REDIRECT_URI");
  const client = await action(`Creating ${name}`, () => call("POST", "/oauth/clients", { name, redirect_uri }));
  if (input.has("json")) json(client);
  else shell(client);
  return 0;
}

export async function info(input: Input): Promise<number> {
  show(await new Client().get<ClientJson>(pathOf("clients:info", input)), input);
  return 0;
}

export async function update(input: Input): Promise<number> {
  const path = pathOf("clients:update", input);
  const [name, url] = [input.text("name"), input.text("url")];
  if (name === undefined && url === undefined) throw new UsageError("No changes provided.");
  const body = { ...(name !== undefined && { name }), ...(url !== undefined && { redirect_uri: url }) };
  await action(`Updating ${input.positionals[0]}`, () => call("PATCH", path, body));
  return 0;
}

export async function rotate(input: Input): Promise<number> {
  const path = `${pathOf("clients:rotate", input)}/actions/rotate-credentials`;
  show(await action(`Updating ${input.positionals[0]}`, () => call("POST", path)), input);
  return 0;
}

export async function destroy(input: Input): Promise<number> {
  const path = pathOf("clients:destroy", input);
  await action(`Destroying ${input.positionals[0]}`, () => call("DELETE", path));
  return 0;
}

function call(method: string, path: string, body?: unknown): Promise<ClientJson> {
  return new Client().call<ClientJson>(method, path, body === undefined ? {} : { body });
}

function pathOf(command: string, input: Input): string {
  return `/oauth/clients/${encodeURIComponent(wordOf(command, "ID", input))}`;
}

function show(client: ClientJson, input: Input): void {
  if (input.has("json")) json(client);
  else if (input.has("shell")) shell(client);
  else {
    print(`=== ${client.name}`);
    print();
    for (const line of fields({ ...client })) print(line);
  }
}

function shell({ id, secret }: ClientJson): void {
  print(`HEROKU_OAUTH_ID=${id}`);
  print(`HEROKU_OAUTH_SECRET=${secret}`);
}
