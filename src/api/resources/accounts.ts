import Type from "typebox";
import type { User } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { ApiContext } from "../context.ts";
import type { AccountCall, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, nullable, Uuid, words } from "../schema.ts";

const Account = exactly({
  allow_tracking: Type.Boolean(),
  beta: Type.Boolean(),
  country_of_residence: nullable(Type.String()),
  created_at: DateTime,
  default_organization: Type.Null(),
  default_team: Type.Null(),
  delinquent_at: Type.Null(),
  email: Type.String(),
  federated: Type.Boolean(),
  id: Uuid,
  identity_provider: Type.Null(),
  last_login: nullable(DateTime),
  name: nullable(Type.String()),
  sms_number: Type.Null(),
  suspended_at: nullable(DateTime),
  two_factor_authentication: Type.Boolean(),
  updated_at: DateTime,
  verified: Type.Boolean(),
});

const ChangeBody = Type.Object({
  allow_tracking: Type.Optional(Type.Boolean()),
  beta: Type.Optional(Type.Boolean()),
  name: Type.Optional(nullable(words(200))),
});

/** The account of the caller. There are no passwords and no billing here. */
export function accountRoutes(routes: Routes, { store, rateLimit }: ApiContext): void {
  for (const path of ["/account", "/users/:account"] as const) {
    const who = (call: AccountCall) => (path === "/account" ? call.user : self(call));
    routes.account({ path: `GET ${path}`, power: "identity", response: Account }, async (call) =>
      path === "/account" ? json(call.user) : shown(call),
    );
    routes.account({ path: `PATCH ${path}`, power: "global", body: ChangeBody, response: Account }, async (call) => {
      const { allow_tracking, beta, name } = call.body;
      const change = {
        ...(allow_tracking !== undefined && { allowTracking: allow_tracking }),
        ...(beta !== undefined && { beta }),
        ...(name !== undefined && { name }),
      };
      return json(await store.users.update(who(call).id, change));
    });
    routes.account({ path: `DELETE ${path}`, power: "global", response: Account }, async (call) => {
      const user = who(call);
      const answer = await json(user);
      const apps = await store.apps.visibleTo(user.id, { field: "id", order: "asc", limit: Number.MAX_SAFE_INTEGER });
      call.about(...apps.map(({ app }) => app));
      await store.users.remove(user.id, null);
      return answer;
    });
  }

  /** The caller, or what whoever knows somebody's address may know of them: that they are here, to give them something. */
  async function shown(call: AccountCall) {
    if (isSelf(call) || call.token.scopes.every((scope) => scope === "identity")) return json(self(call));
    const wanted = named(call);
    const other = (await store.users.list()).find(({ id, email }) => id === wanted || email === wanted);
    if (other === undefined) return json(self(call)); // which says that there is none
    const { createdAt } = other;
    const bare = { name: null, allowTracking: false, beta: false, suspendedAt: null, updatedAt: createdAt };
    return accountJson({ ...other, ...bare }, null);
  }

  /** A login is a session that was begun; it counts as long as it is there. */
  async function json(user: User) {
    const sessions = (await store.tokens.list(user.id)).filter(({ isSession }) => isSession);
    return accountJson(user, sessions.length === 0 ? null : Math.max(...sessions.map(({ createdAt }) => createdAt)));
  }

  routes.account(
    {
      path: "GET /account/rate-limits",
      power: "identity",
      response: exactly({ remaining: Type.Integer() }),
      isFree: true,
    },
    ({ user }) => ({ remaining: rateLimit.remaining(user.id) }),
  );
  routes.account(
    {
      path: "GET /account/delinquency",
      power: "identity",
      response: exactly({ scheduled_deletion_time: Type.Null(), scheduled_suspension_time: Type.Null() }),
    },
    () => ({ scheduled_deletion_time: null, scheduled_suspension_time: null }),
  );
}

/** The caller, when the path means them; others are nobody's business. */
export function self(call: AccountCall): User {
  if (isSelf(call)) return call.user;
  throw new PlatformError("not_found", "Couldn't find that user.", { resource: "user" });
}

const named = ({ params }: AccountCall): string => decodedTwice(params["account"] ?? "").toLowerCase();
const isSelf = (call: AccountCall): boolean => ["~", call.user.id, call.user.email].includes(named(call));

/** Of a word of the path: clients send addresses as they are, encoded, and encoded twice (platform-api 5.12). */
export function decodedTwice(word: string): string {
  try {
    return decodeURIComponent(word);
  } catch {
    return word; // a per cent sign of its own
  }
}

function accountJson(user: User, lastLogin: number | null) {
  return {
    allow_tracking: user.allowTracking,
    beta: user.beta,
    country_of_residence: null,
    created_at: dateTime(user.createdAt),
    default_organization: null,
    default_team: null,
    delinquent_at: null,
    email: user.email,
    federated: false,
    id: user.id,
    identity_provider: null,
    last_login: lastLogin === null ? null : dateTime(lastLogin),
    name: user.name,
    sms_number: null,
    suspended_at: user.suspendedAt === null ? null : dateTime(user.suspendedAt),
    two_factor_authentication: false,
    updated_at: dateTime(user.updatedAt),
    verified: true,
  };
}
