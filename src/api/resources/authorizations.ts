import Type from "typebox";
import type { User } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Token } from "../../store/store.ts";
import { SCOPES } from "../auth.ts";
import type { ApiContext } from "../context.ts";
import type { AccountCall, Routes } from "../route.ts";
import { DateTime, dateTime, Empty, exactly, Nothing, nullable, Person, Uuid } from "../schema.ts";

const Authorization = exactly({
  access_token: exactly({ expires_in: nullable(Type.Integer()), id: Uuid, token: Type.String() }),
  client: Type.Null(),
  created_at: DateTime,
  description: Type.String(),
  grant: Type.Null(),
  id: Uuid,
  refresh_token: Type.Null(),
  scope: Type.Array(Type.String()),
  session: Type.Null(),
  updated_at: DateTime,
  user: exactly({ ...Person.properties, full_name: nullable(Type.String()) }),
});

const CreateBody = Type.Object({
  description: Type.Optional(nullable(Type.String({ maxLength: 500 }))),
  expires_in: Type.Optional(nullable(Type.Union([Type.Integer(), Type.String()]))),
  scope: Type.Optional(nullable(Type.Array(Type.String()))),
});
const YEARS_10_S = 315_360_000;

/** Access tokens. Only `global` ones may handle them: a lesser one must not make itself a greater one. */
export function authorizationRoutes(routes: Routes, context: ApiContext): void {
  const { store, clock } = context;
  const json = (token: Token, user: User, text?: string) => authorizationJson(token, user, clock.now(), text);
  const power = "global";

  routes.account(
    { path: "GET /oauth/authorizations", power, response: Type.Array(Authorization), orderBy: ["id"] },
    async ({ user }) => (await store.tokens.list(user.id)).map((token) => json(token, user)),
  );
  routes.account(
    { path: "POST /oauth/authorizations", power, body: CreateBody, response: Authorization, status: 201 },
    async ({ user, body }) => {
      const seconds = secondsOf(body.expires_in ?? null);
      const { token, text } = await store.tokens.create({
        userId: user.id,
        description: body.description ?? "Long-lived user authorization",
        scopes: scopesOf(body.scope ?? ["global"]),
        expiresAt: seconds === null ? null : clock.now() + seconds * 1000,
      });
      return json(token, user, text);
    },
  );
  routes.account({ path: "GET /oauth/authorizations/:authorization", power, response: Authorization }, async (call) =>
    json(await ownToken(call), call.user),
  );
  routes.account(
    { path: "DELETE /oauth/authorizations/:authorization", power, response: Authorization },
    async (call) => {
      const token = await ownToken(call);
      await store.tokens.revoke(token.id);
      return json(token, call.user);
    },
  );
  routes.account({ path: "GET /oauth/sessions", power, response: Nothing }, () => []);
  routes.account({ path: "DELETE /oauth/sessions/:session", power, response: Empty }, () => {
    throw new PlatformError("not_found", "Couldn't find that session.", { resource: "session" });
  });
  routes.account({ path: "GET /oauth/clients", power, response: Nothing }, () => []);

  /** `~` is the token that asks. */
  async function ownToken({ params, user, token }: AccountCall): Promise<Token> {
    const wanted = params["authorization"] ?? "";
    const found = wanted === "~" ? token : await store.tokens.byId(wanted);
    if (found?.userId === user.id) return found;
    throw new PlatformError("not_found", "Couldn't find that authorization.", { resource: "authorization" });
  }
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

function authorizationJson(token: Token, user: User, now: number, text = token.redacted) {
  const expiresIn = token.expiresAt === null ? null : Math.max(0, Math.round((token.expiresAt - now) / 1000));
  return {
    access_token: { expires_in: expiresIn, id: token.id, token: text },
    client: null,
    created_at: dateTime(token.createdAt),
    description: token.description,
    grant: null,
    id: token.id,
    refresh_token: null,
    scope: [...token.scopes],
    session: null,
    updated_at: dateTime(token.updatedAt),
    user: { id: user.id, email: user.email, full_name: user.name },
  };
}
