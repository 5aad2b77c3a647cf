import { timingSafeEqual } from "node:crypto";
import Type from "typebox";
import type { User } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { OauthClient, Store } from "../../store/store.ts";
import type { ApiContext } from "../context.ts";
import type { AccountCall, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, nullable, Uuid, words } from "../schema.ts";

const ClientSchema = exactly({
  created_at: DateTime,
  id: Uuid,
  ignores_delinquent: nullable(Type.Boolean()),
  name: Type.String(),
  redirect_uri: Type.String(),
  secret: Type.String(),
  updated_at: DateTime,
});
const fields = { name: words(200, 1), redirect_uri: words(2000) };
const CreateBody = Type.Object(fields);
const ChangeBody = Type.Partial(CreateBody);
const CLIENTS_MAX = 100;

/** Programs that a person registers, so that others may let them act for them. */
export function oauthClientRoutes(routes: Routes, { store }: ApiContext): void {
  const power = "global";
  const one = "/oauth/clients/:client" as const;
  const response = ClientSchema;

  routes.account(
    { path: "GET /oauth/clients", power, response: Type.Array(ClientSchema), orderBy: ["id", "name"] },
    async ({ user }) => (await store.oauthClients.list(user.id)).map(clientJson),
  );
  routes.account(
    { path: "POST /oauth/clients", power, body: CreateBody, response, status: 201 },
    async ({ user, body }) => {
      if ((await store.oauthClients.list(user.id)).length >= CLIENTS_MAX)
        throw new PlatformError("invalid_params", `At most ${CLIENTS_MAX} clients for a user.`);
      const redirectUri = uriOf(body.redirect_uri);
      return clientJson(await store.oauthClients.create({ userId: user.id, name: body.name, redirectUri }));
    },
  );
  routes.account({ path: `GET ${one}`, power, response }, async (call) => clientJson(await own(call)));
  routes.account({ path: `PATCH ${one}`, power, body: ChangeBody, response }, async (call) => {
    const { name, redirect_uri } = call.body;
    const { id } = await own(call);
    const change = {
      ...(name !== undefined && { name }),
      ...(redirect_uri !== undefined && { redirectUri: uriOf(redirect_uri) }),
    };
    return clientJson(await store.oauthClients.update(id, change));
  });
  routes.account({ path: `DELETE ${one}`, power, response }, async (call) => {
    const client = await own(call);
    await store.oauthClients.remove(client.id);
    return clientJson(client);
  });
  routes.account({ path: `POST ${one}/actions/rotate-credentials`, power, response }, async (call) =>
    clientJson(await store.oauthClients.rotate((await own(call)).id)),
  );

  const own = ({ params, user }: AccountCall) => clientFor(params["client"] ?? "", user, store);
}

/** The client of that id, if it is the user's own, or if they know its secret. Throws `not_found`. */
export async function clientFor(
  id: string,
  user: User,
  store: Pick<Store, "oauthClients">,
  secret?: string,
): Promise<OauthClient> {
  const client = await store.oauthClients.byId(id);
  if (client && (client.userId === user.id || (secret !== undefined && isSecretOf(client, secret)))) return client;
  throw new PlatformError("not_found", "Couldn't find that client.", { resource: "client" });
}

export function isSecretOf(client: OauthClient, secret: string): boolean {
  const [given, right] = [Buffer.from(secret), Buffer.from(client.secret)];
  return given.length === right.length && timingSafeEqual(given, right);
}

/** Where a browser is sent with a grant: nothing that it would run. */
function uriOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isLocal = url?.hostname === "localhost" || url?.hostname === "127.0.0.1";
  if (url?.protocol === "https:" || (url?.protocol === "http:" && isLocal)) return text;
  throw new PlatformError("invalid_params", "redirect_uri must be an https URL, or http on localhost.");
}

function clientJson(client: OauthClient) {
  return {
    created_at: dateTime(client.createdAt),
    id: client.id,
    ignores_delinquent: false,
    name: client.name,
    redirect_uri: client.redirectUri,
    secret: client.secret,
    updated_at: dateTime(client.updatedAt),
  };
}
