import type { FastifyRequest } from "fastify";
import type { App, User } from "../model/app.ts";
import { PlatformError } from "../model/errors.ts";
import type { Store, Token } from "../store/store.ts";

/**
 * Who may do what: the one place. Every route has a rule, or the server does not start.
 *
 * - `open`: no token; the answer is public, or the URL itself is a secret.
 * - `account`: whoever has a live token with that power, about themselves.
 * - `app`: the same, and the app of the path (`:app`) is their own. To others the app is not there.
 */
export type Rule =
  | { readonly kind: "open" }
  | { readonly kind: "account"; readonly power: Power; readonly isFree?: boolean }
  | { readonly kind: "app"; readonly power: Power | ((request: FastifyRequest) => Power) };

/** What a token must allow. The protected ones stop at config vars, and at what could read them. */
export type Power = "identity" | "read-protected" | "read" | "write-protected" | "write" | "global";

export const SCOPES = ["global", "identity", "read", "write", "read-protected", "write-protected"] as const;

/** The scopes of which a token must have one. */
const ENOUGH: Readonly<Record<Power, readonly string[]>> = {
  identity: SCOPES,
  "read-protected": ["global", "read", "write", "read-protected", "write-protected"],
  read: ["global", "read", "write"],
  "write-protected": ["global", "write", "write-protected"],
  write: ["global", "write"],
  global: ["global"],
};

export interface Caller {
  readonly user: User;
  readonly token: Token;
  readonly app: App | undefined;
}

type Allowing = Pick<Store, "tokens" | "users" | "apps">;

/** The caller, if the rule lets them in. Throws `unauthorized`, `forbidden` or `not_found`. */
export async function authorise(rule: Rule, request: FastifyRequest, store: Allowing): Promise<Caller | undefined> {
  if (rule.kind === "open") return undefined;
  const { user, token } = await authenticate(request.headers.authorization, store);
  const power = typeof rule.power === "function" ? rule.power(request) : rule.power;
  if (!ENOUGH[power].some((scope) => token.scopes.includes(scope))) {
    throw new PlatformError(
      "forbidden",
      `The scope of this OAuth authorization (${token.scopes.join(", ")}) doesn't allow access to this resource.`,
    );
  }
  const app = rule.kind === "app" ? await ownApp(request, user, store) : undefined;
  return { user, token, app };
}

async function authenticate(header: string | undefined, store: Allowing) {
  const text = tokenIn(header);
  if (text === undefined) {
    throw new PlatformError(
      "unauthorized",
      "There were no credentials in your `Authorization` header. Try `Authorization: Bearer <OAuth access token>` or `Authorization: Basic <base64-encoded email + ':' + token>`.",
    );
  }
  const token = await store.tokens.find(text);
  const user = token && (await store.users.byId(token.userId));
  if (token === undefined || user === undefined)
    throw new PlatformError("unauthorized", "Invalid credentials provided.");
  return { user, token };
}

/** `Bearer T`, or `Basic` with any user name and the password T (platform-api 1.7). */
export function tokenIn(header: string | undefined): string | undefined {
  const [, scheme = "", value = ""] = /^\s*(\w+)\s+(\S+)\s*$/.exec(header ?? "") ?? [];
  if (scheme.toLowerCase() === "bearer") return value;
  if (scheme.toLowerCase() !== "basic") return undefined;
  const pair = Buffer.from(value, "base64").toString("utf8");
  const password = pair.slice(pair.indexOf(":") + 1);
  return pair.includes(":") && password !== "" ? password : undefined;
}

async function ownApp(request: FastifyRequest, user: User, store: Allowing): Promise<App> {
  const { app: name } = request.params as { readonly app?: string }; // `app` rules stand on paths with `:app` only
  const app = name === undefined ? undefined : await store.apps.find(name);
  return ownedBy(user, app);
}

/** The app, if it is theirs; else `not_found`, so that names of others' apps tell nothing. */
export function ownedBy(user: User, app: App | undefined): App {
  if (app === undefined || app.ownerId !== user.id) {
    throw new PlatformError("not_found", "Couldn't find that app.", { resource: "app" });
  }
  return app;
}
