import type { FastifyRequest } from "fastify";
import type { User } from "../model/app.ts";
import type { Access } from "../model/collaborator.ts";
import { PlatformError } from "../model/errors.ts";
import type { Permission } from "../model/permission.ts";
import type { Store, Token } from "../store/store.ts";

/**
 * Who may do what: the one place. Every route has a rule, or the server does not start.
 *
 * - `open`: no token; the answer is public, or the URL or the body itself carries a secret.
 * - `account`: whoever has a live token with that power, about themselves.
 * - `operator`: the same, and they see to the whole platform.
 * - `app`: the same, and the app of the path (`:app`) is theirs, or they have a part in it with the permission that is needed. To others
 *   the app is not there.
 */
export type Rule =
  | { readonly kind: "open" }
  | { readonly kind: "account"; readonly power: Power; readonly isFree?: boolean }
  | { readonly kind: "operator"; readonly power: Power }
  | {
      readonly kind: "app";
      readonly power: Power | ((request: FastifyRequest) => Power);
      readonly needs: Permission;
      /** It may start dynos: the engine is told as soon as the caller was let in. */
      readonly startsDynos?: boolean;
    };

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
  /** What the app's rule let them in to. */
  readonly access: Access | undefined;
}

type Allowing = Pick<Store, "tokens" | "users" | "apps">;

/** Whose token it is. Throws `unauthorized` or `suspended`. */
export async function authenticate(
  request: { readonly headers: Pick<FastifyRequest["headers"], "authorization"> },
  store: Allowing,
): Promise<Pick<Caller, "user" | "token">> {
  const text = tokenIn(request.headers.authorization);
  if (text === undefined) {
    throw new PlatformError(
      "unauthorized",
      "There were no credentials in your `Authorization` header. Try `Authorization: Bearer <OAuth access token>` or `Authorization: Basic <base64-encoded email + ':' + token>`.",
    );
  }
  const token = await store.tokens.find(text);
  const user = token && (await store.users.byId(token.userId));
  if (token === undefined || user === undefined) throw new PlatformError("unauthorized", wrong(request.headers));
  if (user.suspendedAt !== null)
    throw new PlatformError("suspended", "Your account was suspended by an operator of this platform: ask them.");
  return { user, token };
}

/** Whoever typed a password is told what is one here. */
function wrong({ authorization = "" }: Pick<FastifyRequest["headers"], "authorization">): string {
  const words = "Invalid credentials provided.";
  return /^\s*basic\s/i.test(authorization) ? `${words} There are no passwords here: a token is one.` : words;
}

/** The caller, if the rule lets them in. Throws `forbidden` or `not_found`. */
export async function authorise(
  rule: Exclude<Rule, { readonly kind: "open" }>,
  request: FastifyRequest,
  { user, token }: Pick<Caller, "user" | "token">,
  store: Allowing,
): Promise<Caller> {
  const power = typeof rule.power === "function" ? rule.power(request) : rule.power;
  if (!ENOUGH[power].some((scope) => token.scopes.includes(scope))) {
    throw new PlatformError(
      "forbidden",
      `The scope of this OAuth authorization (${token.scopes.join(", ")}) doesn't allow access to this resource. It takes one of: ${ENOUGH[power].join(", ")}.`,
    );
  }
  if (rule.kind === "operator" && !user.isOperator)
    throw new PlatformError("forbidden", "This is for the operators of the platform, and you are none.");
  if (rule.kind !== "app") return { user, token, access: undefined };
  const { app: name } = request.params as { readonly app?: string }; // `app` rules stand on paths with `:app` only
  const access = await appFor(user, name, store);
  demand(access, rule.needs);
  return { user, token, access };
}

/** The app as the user sees it. Throws `not_found`, so that names of others' apps tell nothing. */
export async function appFor(user: User, nameOrId: string | undefined, store: Pick<Store, "apps">): Promise<Access> {
  const access = nameOrId === undefined ? undefined : await store.apps.findFor(user.id, nameOrId);
  if (access !== undefined) return access;
  throw new PlatformError("not_found", "Couldn't find that app.", { resource: "app" });
}

/** Throws `forbidden` in words that say what is missing, and who can give it. */
export function demand({ app, permissions }: Access, needed: Permission): void {
  if (permissions.includes(needed)) return;
  throw new PlatformError(
    "forbidden",
    `That takes the permission ${needed} on ${app.name}, and you have: ${permissions.join(", ")}. Whoever manages the app can give it to you.`,
  );
}

/** The user name of `Basic`, which says nothing of who it is: the exec service's clients name the app so (platform-api 1.7). */
export function nameIn(header: string | undefined): string | undefined {
  const [, value = ""] = /^\s*basic\s+(\S+)\s*$/i.exec(header ?? "") ?? [];
  const name = Buffer.from(value, "base64").toString("utf8").split(":", 1)[0] ?? "";
  return name === "" ? undefined : name;
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
