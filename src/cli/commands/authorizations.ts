import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { distance } from "../distance.ts";
import { byWords, naturally } from "../order.ts";
import { action, fields, json, print, titled } from "../output.ts";
import { listOf, wordOf } from "../words.ts";

export interface AuthorizationJson {
  readonly id: string;
  readonly description: string;
  readonly scope: readonly string[];
  readonly client: { readonly name: string; readonly redirect_uri: string } | null;
  readonly access_token: { readonly token: string; readonly expires_in: number | null } | null;
  readonly updated_at: string;
}

export async function list(input: Input): Promise<number> {
  const all = await new Client().get<readonly AuthorizationJson[]>("/oauth/authorizations");
  const wordOf = ({ description }: AuthorizationJson): string => description;
  const rows = naturally(all, wordOf).map(({ description, id, scope }) => [description, id, scope.join(",")]);
  if (input.has("json")) json(byWords(all, wordOf));
  else if (rows.length === 0) print("No OAuth authorizations.");
  else for (const line of titled([["Description", "ID", "Scope"], ...rows])) print(line);
  return 0;
}

export async function create(input: Input): Promise<number> {
  const [description, expires, scope] = ["description", "expires-in", "scope"].map((flag) => input.text(flag));
  const body = {
    ...(description !== undefined && { description }),
    ...(expires !== undefined && { expires_in: expires }),
    ...(scope !== undefined && { scope: listOf(scope) }),
  };
  const made = await action("Creating OAuth Authorization", () =>
    new Client().call<AuthorizationJson>("POST", "/oauth/authorizations", { body }),
  );
  if (input.has("short")) print(made.access_token?.token ?? "");
  else show(made, input);
  return 0;
}

export async function info(input: Input): Promise<number> {
  show(await new Client().get<AuthorizationJson>(pathOf("authorizations:info", input)), input);
  return 0;
}

export async function update(input: Input): Promise<number> {
  const path = pathOf("authorizations:update", input);
  const [description, id, secret] = ["description", "client-id", "client-secret"].map((flag) => input.text(flag));
  const body = {
    ...(description !== undefined && { description }),
    ...(id !== undefined && { client: { id, ...(secret !== undefined && { secret }) } }),
  };
  show(await action("Updating OAuth Authorization", () => call("PATCH", path, body)), input);
  return 0;
}

export async function rotate(input: Input): Promise<number> {
  const path = `${pathOf("authorizations:rotate", input)}/actions/regenerate-tokens`;
  show(await action("Rotating OAuth Authorization", () => call("POST", path)), input);
  return 0;
}

export async function revoke(input: Input): Promise<number> {
  const path = pathOf("authorizations:revoke", input);
  await action(
    "Revoking OAuth Authorization",
    () => call("DELETE", path),
    ({ description }) => `revoked authorization from ${description}`,
  );
  return 0;
}

function call(method: string, path: string, body?: unknown): Promise<AuthorizationJson> {
  return new Client().call<AuthorizationJson>(method, path, body === undefined ? {} : { body });
}

function pathOf(command: string, input: Input): string {
  return `/oauth/authorizations/${encodeURIComponent(wordOf(command, "ID", input))}`;
}

function show(authorization: AuthorizationJson, input: Input): void {
  if (input.has("json")) json(authorization);
  else for (const line of format(authorization, new Date())) print(line);
}

export function format({ client, access_token, ...rest }: AuthorizationJson, now: Date): readonly string[] {
  const updated = new Date(rest.updated_at);
  const seconds = access_token?.expires_in ?? null;
  const end = seconds === null ? undefined : new Date(now.getTime() + seconds * 1000);
  return fields({
    Client: client?.name ?? "<none>",
    "Redirect URI": client?.redirect_uri,
    ID: rest.id,
    Description: rest.description,
    Scope: rest.scope.join(","),
    Token: access_token?.token,
    "Expires at": end && `${String(end)} (in ${distance(end, now)})`,
    "Updated at": access_token && `${String(updated)} (${distance(updated, now)} ago)`,
  });
}
