import Type, { type Static } from "typebox";
import type { User } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { OauthClient, Token } from "../../store/store.ts";
import { SCOPES } from "../auth.ts";
import type { ApiContext } from "../context.ts";
import type { AccountCall, Routes } from "../route.ts";
import { constantId, DateTime, dateTime, exactly, nullable, Person, Uuid, words } from "../schema.ts";
import { clientFor } from "./oauth-clients.ts";

export const TokenSchema = exactly({ expires_in: nullable(Type.Integer()), id: Uuid, token: Type.String() });
const Authorization = exactly({
  access_token: nullable(TokenSchema),
  client: nullable(exactly({ id: Uuid, name: Type.String(), redirect_uri: Type.String() })),
  created_at: DateTime,
  description: Type.String(),
  grant: nullable(exactly({ code: Type.String(), expires_in: Type.Integer(), id: Uuid })),
  id: Uuid,
  refresh_token: nullable(TokenSchema),
  scope: Type.Array(Type.String()),
  session: nullable(exactly({ id: Uuid })),
  updated_at: DateTime,
  user: exactly({ ...Person.properties, full_name: nullable(Type.String()) }),
});
type AuthorizationJson = Static<typeof Authorization>;

const Description = Type.Optional(nullable(words(500)));
const CreateBody = Type.Object({
  client: Type.Optional(nullable(Type.Union([Type.String(), Type.Object({ id: Type.String() })]))),
  description: Description,
  expires_in: Type.Optional(nullable(Type.Union([Type.Integer(), Type.String()]))),
  scope: Type.Optional(nullable(Type.Array(Type.String(), { maxItems: 100 }))),
});
const ChangeBody = Type.Object({
  client: Type.Optional(nullable(Type.Object({ id: Type.String(), secret: Type.Optional(Type.String()) }))),
  description: Description,
});
const YEARS_10_S = 315_360_000;
/** A client fetches its tokens at once. */
const GRANT_MS = 300_000;

/** OAuth authorizations. Only `global` ones may handle them: a lesser one must not make itself a greater one. */
export function authorizationRoutes(routes: Routes, context: ApiContext): void {
  const { store, clock } = context;
  const power = "global";
  const path = "/oauth/authorizations";
  const one = `${path}/:authorization` as const;
  const response = Authorization;

  routes.account(
    { path: `GET ${path}`, power, response: Type.Array(Authorization), orderBy: ["id"] },
    async ({ user }) => Promise.all((await store.tokens.list(user.id)).map((token) => json(token, user))),
  );
  routes.account({ path: `POST ${path}`, power, body: CreateBody, response, status: 201 }, (call) => create(call));
  routes.account({ path: `GET ${one}`, power, response }, async (call) => json(await ownToken(call), call.user));
  routes.account({ path: `PATCH ${one}`, power, body: ChangeBody, response }, async (call) => {
    const { user, body } = call;
    const token = await ownToken(call);
    const client = body.client ? await clientFor(body.client.id, user, store, body.client.secret) : undefined;
    const changed = await store.tokens.update(token.id, {
      ...(typeof body.description === "string" && { description: body.description }),
      ...(client !== undefined && { clientId: client.id }),
    });
    return json(changed, user);
  });
  routes.account({ path: `DELETE ${one}`, power, response }, async (call) => {
    const token = await ownToken(call);
    const answer = await json(token, call.user);
    await store.tokens.revoke(token.id);
    return answer;
  });
  routes.account({ path: `POST ${one}/actions/regenerate-tokens`, power, response }, async (call) => {
    const { token, text, refreshText } = await store.tokens.regenerate((await ownToken(call)).id);
    return json(token, call.user, { text, ...(refreshText !== null && { refreshText }) });
  });

  async function create({ user, body, tell }: AccountCall<Static<typeof CreateBody>>): Promise<AuthorizationJson> {
    const seconds = secondsOf(body.expires_in ?? null);
    const fresh = {
      userId: user.id,
      description: body.description ?? "Long-lived user authorization",
      scopes: scopesOf(body.scope ?? ["global"]),
      expiresAt: seconds === null ? null : clock.now() + seconds * 1000,
    };
    tell({ description: fresh.description, scope: fresh.scopes });
    if (!body.client) {
      const { token, text } = await store.tokens.create(fresh);
      return json(token, user, { text });
    }
    const id = typeof body.client === "string" ? body.client : body.client.id;
    const client = await anyClient(id);
    const { token, code } = await store.tokens.createGrant({ ...fresh, clientId: client.id }, GRANT_MS);
    return json(token, user, { code });
  }

  /** People let clients of others act for them. */
  async function anyClient(id: string): Promise<OauthClient> {
    const client = await store.oauthClients.byId(id);
    if (client) return client;
    throw new PlatformError("not_found", `Couldn't find that client (${id}).`, { resource: "client" });
  }

  /** `~` is the token that asks. */
  async function ownToken({ params, user, token }: AccountCall): Promise<Token> {
    const wanted = params["authorization"] ?? "";
    const found = wanted === "~" ? token : await store.tokens.byId(wanted);
    if (found?.userId === user.id) return found;
    throw new PlatformError("not_found", "Couldn't find that authorization.", { resource: "authorization" });
  }

  /** `texts` are those that were made in this call; never again are they seen. */
  async function json(
    token: Token,
    user: User,
    texts: { readonly text?: string; readonly refreshText?: string; readonly code?: string } = {},
  ): Promise<AuthorizationJson> {
    const client = token.clientId === null ? undefined : await store.oauthClients.byId(token.clientId);
    const access = texts.code === undefined ? (texts.text ?? token.redacted) : null;
    const refresh = texts.refreshText ?? token.refreshRedacted;
    const now = clock.now();
    return {
      access_token:
        access === null ? null : { expires_in: secondsUntil(token.expiresAt, now), id: token.id, token: access },
      client: client ? { id: client.id, name: client.name, redirect_uri: client.redirectUri } : null,
      created_at: dateTime(token.createdAt),
      description: token.description,
      grant:
        token.grantExpiresAt === null
          ? null
          : {
              code: texts.code ?? "",
              expires_in: secondsUntil(token.grantExpiresAt, now) ?? 0,
              id: constantId("grant", token.id),
            },
      id: token.id,
      refresh_token: refresh === null ? null : { expires_in: null, id: refreshId(token), token: refresh },
      scope: [...token.scopes],
      session: token.isSession ? { id: sessionId(token) } : null,
      updated_at: dateTime(token.updatedAt),
      user: { id: user.id, email: user.email, full_name: user.name },
    };
  }
}

export function sessionId(token: Token): string {
  return constantId("session", token.id);
}

export function refreshId(token: Token): string {
  return constantId("refresh-token", token.id);
}

export function secondsUntil(at: number | null, now: number): number | null {
  return at === null ? null : Math.max(0, Math.round((at - now) / 1000));
}

/** The CLI sends it as a string. */
function secondsOf(expiresIn: number | string | null): number | null {
  if (expiresIn === null || expiresIn === "") return null;
  const seconds = Number(expiresIn);
  if (Number.isSafeInteger(seconds) && seconds >= 1 && seconds <= YEARS_10_S) return seconds;
  throw new PlatformError("invalid_params", `expires_in must be 1 to ${YEARS_10_S} seconds, or null.`);
}

function scopesOf(scopes: readonly string[]): readonly string[] {
  const known: readonly string[] = SCOPES;
  const unknown = scopes.find((scope) => !known.includes(scope));
  if (unknown !== undefined || scopes.length === 0) {
    throw new PlatformError(
      "invalid_params",
      `scope ${unknown ?? "[]"} cannot be used; known scopes: ${known.join(", ")}.`,
    );
  }
  return [...new Set(scopes)];
}
