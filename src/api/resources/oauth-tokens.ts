import Type, { type Static } from "typebox";
import { PlatformError } from "../../model/errors.ts";
import type { Token } from "../../store/store.ts";
import type { ApiContext } from "../context.ts";
import type { AccountCall, Call, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, nullable, Uuid } from "../schema.ts";
import { refreshId, secondsUntil, sessionId, TokenSchema } from "./authorizations.ts";
import { isSecretOf } from "./oauth-clients.ts";

const OauthToken = exactly({
  access_token: TokenSchema,
  authorization: exactly({ id: Uuid }),
  client: nullable(exactly({ secret: Type.String() })),
  created_at: DateTime,
  grant: exactly({ code: Type.String(), type: Type.String() }),
  id: Uuid,
  refresh_token: TokenSchema,
  session: exactly({ id: Uuid }),
  updated_at: DateTime,
  user: exactly({ id: Uuid }),
});
const Text = Type.String({ maxLength: 500 });
const CreateBody = Type.Object({
  client: Type.Object({ secret: Text }),
  grant: Type.Object({ type: Text, code: Type.Optional(nullable(Text)) }),
  refresh_token: Type.Optional(nullable(Type.Object({ token: Text }))),
});
const SessionSchema = exactly({
  created_at: DateTime,
  description: Type.String(),
  expires_in: nullable(Type.Integer()),
  id: Uuid,
  updated_at: DateTime,
});
/** A client's access token; it has a refresh token for more. */
const ACCESS_MS = 8 * 3_600_000;

/** What a client gets for a grant or for its refresh token, and the sessions of people. */
export function oauthTokenRoutes(routes: Routes, { store, clock, audit }: ApiContext): void {
  const power = "global";

  // The client's secret and the grant are what lets it in.
  routes.open({ path: "POST /oauth/tokens", body: CreateBody, response: OauthToken, status: 201 }, async (call) =>
    exchange(call),
  );
  routes.account({ path: "DELETE /oauth/tokens/:token", power, response: OauthToken }, async ({ params, user }) => {
    const token = await store.tokens.byId(params["token"] ?? "");
    if (token?.userId !== user.id)
      throw new PlatformError("not_found", "Couldn't find that token.", { resource: "token" });
    await store.tokens.revoke(token.id);
    return tokenJson(token, { text: token.redacted ?? "", refreshText: token.refreshRedacted ?? "", grant: "" });
  });
  routes.account(
    { path: "GET /oauth/sessions", power, response: Type.Array(SessionSchema), orderBy: ["id"] },
    async ({ user }) => (await store.tokens.list(user.id)).filter((token) => token.isSession).map(sessionJson),
  );
  routes.account({ path: "DELETE /oauth/sessions/:session", power, response: SessionSchema }, async (call) => {
    const token = await sessionNamed(call);
    await store.tokens.revoke(token.id);
    return sessionJson(token);
  });

  async function exchange({ body, request }: Call<Static<typeof CreateBody>>) {
    const before = await tokenFor(body);
    const client = before?.clientId ? await store.oauthClients.byId(before.clientId) : undefined;
    const user = before && (await store.users.byId(before.userId));
    // One answer for all that may be wrong.
    if (!before || !client || !user || user.suspendedAt !== null || !isSecretOf(client, body.client.secret))
      throw new PlatformError("unauthorized", "The grant or refresh token, or the client's secret, is not valid.");
    const expiresAt = clock.now() + ACCESS_MS;
    // As at Heroku a refresh token stays: a client that loses an answer must not be locked out by that.
    const kept = body.grant.type === "refresh_token" ? body.refresh_token?.token : undefined;
    const refresh = kept === undefined ? "new" : "keep";
    const data = { client: client.name, grant: body.grant.type };
    const event = audit.eventOf(request, "POST /oauth/tokens", { user, token: before }, data);
    const { token, text, refreshText } = await audit.change(
      () => [event],
      () => store.tokens.regenerate(before.id, { refresh, expiresAt }),
    );
    return tokenJson(token, { text, refreshText: refreshText ?? kept ?? "", grant: body.grant.type });
  }

  function tokenJson(
    token: Token,
    { text, refreshText, grant }: { readonly text: string; readonly refreshText: string; readonly grant: string },
  ): Static<typeof OauthToken> {
    return {
      access_token: { expires_in: secondsUntil(token.expiresAt, clock.now()), id: token.id, token: text },
      authorization: { id: token.id },
      client: null,
      created_at: dateTime(token.createdAt),
      grant: { code: "", type: grant },
      id: token.id,
      refresh_token: { expires_in: null, id: refreshId(token), token: refreshText },
      session: { id: sessionId(token) },
      updated_at: dateTime(token.updatedAt),
      user: { id: token.userId },
    };
  }

  async function tokenFor({ grant, refresh_token }: Static<typeof CreateBody>): Promise<Token | undefined> {
    if (grant.type === "authorization_code") return store.tokens.findGrant(grant.code ?? "");
    if (grant.type === "refresh_token") return store.tokens.findRefresh(refresh_token?.token ?? "");
    throw new PlatformError("invalid_params", "grant type must be authorization_code or refresh_token.");
  }

  /** `~` is the session of the token that asks, if it is one. */
  async function sessionNamed({ params, user, token }: AccountCall): Promise<Token> {
    const wanted = params["session"] ?? "";
    const sessions = (await store.tokens.list(user.id)).filter((each) => each.isSession);
    const found = sessions.find((each) => (wanted === "~" ? each.id === token.id : sessionId(each) === wanted));
    if (found) return found;
    throw new PlatformError("not_found", "Couldn't find that session.", { resource: "session" });
  }

  function sessionJson(token: Token): Static<typeof SessionSchema> {
    return {
      created_at: dateTime(token.createdAt),
      description: token.description,
      expires_in: secondsUntil(token.expiresAt, clock.now()),
      id: sessionId(token),
      updated_at: dateTime(token.updatedAt),
    };
  }
}
