import type { CommandSpec, Flag } from "./command.ts";

/** The commands about people: who they are, what they show to be let in, and what they may do. Part of `commands.ts`. */
const APP: readonly Flag[] = [
  { name: "app", short: "a", value: "APP", summary: "the app" },
  { name: "remote", short: "r", value: "REMOTE", summary: "git remote of the app" },
];
const JSON_FLAG: Flag = { name: "json", short: "j", summary: "output as JSON" };
const PERMISSIONS: Flag = {
  name: "permissions",
  short: "p",
  value: "LIST",
  summary: "deploy, operate, manage with commas between; view goes with each",
};
const SHELL: Flag = { name: "shell", short: "s", summary: "output for a shell" };

const access = () => import("./commands/access.ts");
const auth = () => import("./commands/auth.ts");
const authorizations = () => import("./commands/authorizations.ts");
const clients = () => import("./commands/clients.ts");
const keys = () => import("./commands/keys.ts");
const users = () => import("./commands/users.ts");

const named = (usage: string) => ({ usage, positionals: "any", group: "apps" }) as const;
const plain = { usage: "", positionals: "none", group: "apps" } as const;

export const ACCESS_COMMANDS: readonly CommandSpec[] = [
  {
    ...plain,
    name: "access",
    summary: "who has access to an app, and to what of it",
    flags: [...APP, JSON_FLAG],
    load: async () => ({ run: (await access()).list }),
  },
  {
    ...named("EMAIL"),
    name: "access:add",
    summary: "give somebody a part in an app (view, deploy and operate)",
    flags: [...APP, PERMISSIONS],
    load: async () => ({ run: (await access()).add }),
  },
  {
    ...named("EMAIL"),
    name: "access:update",
    summary: "change what somebody may do to an app",
    flags: [...APP, PERMISSIONS],
    load: async () => ({ run: (await access()).update }),
  },
  {
    ...named("EMAIL"),
    name: "access:remove",
    summary: "take somebody's part in an app away",
    flags: APP,
    load: async () => ({ run: (await access()).remove }),
  },
  {
    ...plain,
    name: "audit",
    summary: "who did what to an app from where; without an app, or with --all, on the whole platform (operators)",
    flags: [
      ...APP,
      { name: "all", summary: "of the whole platform" },
      { name: "num", short: "n", value: "N", summary: "how many entries (50)" },
      JSON_FLAG,
    ],
    load: () => import("./commands/audit.ts"),
  },
  {
    ...plain,
    name: "auth:whoami",
    aliases: ["whoami"],
    summary: "whose token you use",
    flags: [],
    load: async () => ({ run: (await auth()).whoami }),
  },
  {
    ...plain,
    name: "auth:token",
    summary: "print the token that you use",
    flags: [],
    load: async () => ({ run: (await auth()).token }),
  },
  {
    ...plain,
    name: "auth:logout",
    aliases: ["logout"],
    summary: "end the session of your token, and forget it here",
    flags: [],
    load: async () => ({ run: (await auth()).logout }),
  },
  {
    ...plain,
    name: "sessions",
    summary: "list your sessions: tokens that were handed out on the platform's machine",
    flags: [JSON_FLAG],
    load: async () => ({ run: (await auth()).sessions }),
  },
  {
    ...named("ID"),
    name: "sessions:destroy",
    summary: "end a session",
    flags: [],
    load: async () => ({ run: (await auth()).destroySession }),
  },
  {
    ...plain,
    name: "keys",
    summary: "list your SSH keys",
    flags: [{ name: "long", short: "l", summary: "whole keys" }, JSON_FLAG],
    load: async () => ({ run: (await keys()).list }),
  },
  {
    ...named("[FILE]"),
    name: "keys:add",
    summary: "add an SSH key (~/.ssh/id_ed25519.pub or id_rsa.pub)",
    flags: [
      { name: "yes", short: "y", summary: "accepted" },
      { name: "quiet", summary: "accepted", hidden: true },
    ],
    load: async () => ({ run: (await keys()).add }),
  },
  {
    ...named("COMMENT"),
    name: "keys:remove",
    many: true,
    summary: "remove the SSH keys with that comment",
    flags: [],
    load: async () => ({ run: (await keys()).remove }),
  },
  {
    ...plain,
    name: "keys:clear",
    many: true,
    summary: "remove all your SSH keys",
    flags: [],
    load: async () => ({ run: (await keys()).clear }),
  },
  {
    ...plain,
    name: "authorizations",
    summary: "list your OAuth authorizations",
    flags: [JSON_FLAG],
    load: async () => ({ run: (await authorizations()).list }),
  },
  {
    ...plain,
    name: "authorizations:create",
    summary: "make a token, for a program say",
    flags: [
      { name: "description", short: "d", value: "TEXT", summary: "what it is for" },
      {
        name: "scope",
        short: "s",
        value: "LIST",
        summary: "global, identity, read, write, read-protected, write-protected",
      },
      { name: "expires-in", short: "e", value: "S", summary: "seconds that it lives (for ever)" },
      { name: "short", short: "S", summary: "print the token alone" },
      JSON_FLAG,
    ],
    load: async () => ({ run: (await authorizations()).create }),
  },
  {
    ...named("ID"),
    name: "authorizations:info",
    summary: "show an authorization",
    flags: [JSON_FLAG],
    load: async () => ({ run: (await authorizations()).info }),
  },
  {
    ...named("ID"),
    name: "authorizations:update",
    summary: "change an authorization's description or client",
    flags: [
      { name: "description", short: "d", value: "TEXT", summary: "what it is for" },
      { name: "client-id", value: "ID", summary: "the OAuth client that it belongs to" },
      { name: "client-secret", value: "SECRET", summary: "and its secret" },
    ],
    load: async () => ({ run: (await authorizations()).update }),
  },
  {
    ...named("ID"),
    name: "authorizations:rotate",
    summary: "make an authorization's token anew",
    flags: [],
    load: async () => ({ run: (await authorizations()).rotate }),
  },
  {
    ...named("ID"),
    name: "authorizations:revoke",
    aliases: ["authorizations:destroy"],
    summary: "revoke an authorization: its token is worth nothing from then on",
    flags: [],
    load: async () => ({ run: (await authorizations()).revoke }),
  },
  {
    ...plain,
    name: "clients",
    summary: "list your OAuth clients",
    flags: [JSON_FLAG],
    load: async () => ({ run: (await clients()).list }),
  },
  {
    ...named("NAME REDIRECT_URI"),
    name: "clients:create",
    summary: "register an OAuth client",
    flags: [SHELL, JSON_FLAG],
    load: async () => ({ run: (await clients()).create }),
  },
  {
    ...named("ID"),
    name: "clients:info",
    summary: "show an OAuth client with its secret",
    flags: [SHELL, JSON_FLAG],
    load: async () => ({ run: (await clients()).info }),
  },
  {
    ...named("ID"),
    name: "clients:update",
    summary: "change an OAuth client",
    flags: [
      { name: "name", short: "n", value: "NAME", summary: "its name" },
      { name: "url", value: "URL", summary: "its redirect URL" },
    ],
    load: async () => ({ run: (await clients()).update }),
  },
  {
    ...named("ID"),
    name: "clients:rotate",
    summary: "give an OAuth client a new secret",
    flags: [SHELL, JSON_FLAG],
    load: async () => ({ run: (await clients()).rotate }),
  },
  {
    ...named("ID"),
    name: "clients:destroy",
    summary: "remove an OAuth client, and what was authorised for it",
    flags: [],
    load: async () => ({ run: (await clients()).destroy }),
  },
  {
    ...plain,
    group: "machine",
    name: "users",
    summary: "list who has an account on the platform (operators)",
    flags: [JSON_FLAG],
    load: async () => ({ run: (await users()).list }),
  },
  {
    ...named("EMAIL"),
    group: "machine",
    name: "users:add",
    summary: "add somebody (operators); their token: sudo stator token --new --email EMAIL",
    flags: [{ name: "operator", summary: "who sees to the platform too" }],
    load: async () => ({ run: (await users()).add }),
  },
  {
    ...named("EMAIL"),
    group: "machine",
    name: "users:suspend",
    summary: "let somebody do nothing any more; their apps run on (operators)",
    flags: [],
    load: async () => ({ run: (await users()).suspend }),
  },
  {
    ...named("EMAIL"),
    group: "machine",
    name: "users:resume",
    summary: "take that back (operators)",
    flags: [],
    load: async () => ({ run: (await users()).resume }),
  },
  {
    ...named("EMAIL"),
    group: "machine",
    name: "users:remove",
    summary: "remove somebody with their tokens, keys and parts in apps (operators)",
    flags: [{ name: "apps-to", value: "EMAIL", summary: "who has their apps from then on" }],
    load: async () => ({ run: (await users()).remove }),
  },
];
