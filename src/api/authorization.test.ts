import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../test/support/api-world.ts";
import { PERMISSIONS, type Permission } from "../model/permission.ts";
import { SCOPES } from "./auth.ts";
import type { RouteEntry } from "./http.ts";

/**
 * Every route with every role: the routes and their rules are read from the server, who calls is made anew for each call, and what must
 * come of it is worked out here, not there. Nobody says to a test what a new route's rule must be: the last test does, for the dangerous ones.
 */
let world: World;
before(async () => {
  world = await openWorld({ callsPerHour: 1e9 });
});
after(() => world[Symbol.asyncDispose]());

type Scope = (typeof SCOPES)[number];

interface Who {
  readonly name: string;
  /** What they may do to the app of the path; none: it is a stranger's. */
  readonly permissions: readonly Permission[] | "owner" | "none";
  readonly scopes?: readonly Scope[];
  readonly isOperator?: boolean;
}

const GOOD: readonly Who[] = [
  { name: "the owner", permissions: "owner" },
  { name: "the owner, who is an operator", permissions: "owner", isOperator: true },
  { name: "a stranger", permissions: "none" },
  { name: "an operator, who is a stranger to the app", permissions: "none", isOperator: true },
  ...PERMISSIONS.map(
    (permission): Who => ({
      name: `a collaborator with ${permission}`,
      permissions: permission === "view" ? ["view"] : ["view", permission],
    }),
  ),
  ...SCOPES.map(
    (scope): Who => ({
      name: `the owner, an operator, with a token for ${scope}`,
      permissions: "owner",
      scopes: [scope],
      isOperator: true,
    }),
  ),
];

let count = 0;

/** A person with a token, and an app that is theirs or another's; `hasApp` false: its name alone, for routes without one. */
async function someone({ permissions, scopes = ["global"], isOperator = false }: Who, hasApp = true) {
  const { store } = world;
  const number = ++count;
  const user = await store.users.ensure(`user${number}@example.com`);
  if (isOperator) await store.users.update(user.id, { isOperator });
  const { token, text } = await store.tokens.create({ userId: user.id, description: "", scopes, expiresAt: null });
  if (!hasApp) return { user, token, text, app: { id: "", name: "none" } };
  const ownerId = permissions === "owner" ? user.id : world.user.id;
  const app = await store.apps.create({ name: `app-${number}`, ownerId, stack: "debian-12", domain: "localhost" });
  if (typeof permissions === "object") await store.collaborators.add({ appId: app.id, userId: user.id, permissions });
  return { user, token, text, app };
}

/** The path with an app, and for all else a word that names nothing. */
function pathOf({ url }: RouteEntry, app: string): string {
  return url.replace(":app", app).replaceAll(/:\w+/g, "no-such-thing-here").replace("*", "info/refs");
}

function call(route: RouteEntry, app: string, token: string | null) {
  const hasBody = !["GET", "HEAD", "OPTIONS"].includes(route.method);
  return world.call(route.method, pathOf(route, app), { token, ...(hasBody && { body: {} }) });
}

/** `ENOUGH`, said once more: which scopes do for what a route needs. */
const SCOPES_FOR: Readonly<Record<string, readonly Scope[]>> = {
  identity: SCOPES,
  "read-protected": ["global", "read", "write", "read-protected", "write-protected"],
  read: ["global", "read", "write"],
  "write-protected": ["global", "write", "write-protected"],
  write: ["global", "write"],
  global: ["global"],
};

/** HEAD is GET without its body; and git's rule depends on the address, which other tests look at. */
const routes = () => world.api.routes.filter(({ method, url }) => method !== "HEAD" && !url.startsWith("/:app.git"));

test("there are routes of every kind, and each has a rule", () => {
  const kinds = Map.groupBy(routes(), ({ rule }) => rule.kind);
  assert.deepEqual([...kinds.keys()].toSorted(), ["account", "app", "open", "operator"]);
  assert.ok(routes().length > 100, `only ${routes().length} routes`);
  for (const { url, rule } of world.api.routes)
    assert.equal(rule.kind === "app", url.includes(":app"), `${url} has the rule ${rule.kind}`);
});

test("no token, a wrong one, one that expired, one that was revoked: 401 on every route that is not open", async () => {
  const { store } = world;
  const own = await someone({ name: "owner", permissions: "owner" });
  const old = { userId: own.user.id, description: "", scopes: ["global"], expiresAt: 1 };
  const expired = (await store.tokens.create(old)).text;
  const revoked = await store.tokens.create({ ...old, expiresAt: null });
  await store.tokens.revoke(revoked.token.id);
  for (const route of routes()) {
    for (const token of [null, "HRKU-STwrong", expired, revoked.text]) {
      const { status, json } = await call(route, own.app.name, token);
      const what = `${route.method} ${route.url}: ${status}`;
      if (route.rule.kind === "open") assert.ok(status !== 403, what);
      else assert.deepEqual([status, json?.id], [401, "unauthorized"], what);
    }
  }
  assert.ok(await store.apps.byId(own.app.id), "nothing was done");
});

test("who was suspended may do nothing, and is told so", async () => {
  for (const route of routes()) {
    if (route.rule.kind === "open") continue;
    const { user, text, app } = await someone({ name: "owner", permissions: "owner", isOperator: true }, false);
    await world.store.users.update(user.id, { isSuspended: true });
    const { status, json } = await call(route, app.name, text);
    assert.deepEqual([status, json?.id], [403, "suspended"], `${route.method} ${route.url}`);
  }
});

for (const who of GOOD) {
  test(`every route for ${who.name}`, async () => {
    for (const route of routes()) {
      const { rule } = route;
      if (rule.kind === "open") continue;
      const { text, app } = await someone(who, rule.kind === "app"); // an installation has some 4,000 apps in its life
      const { status, json } = await call(route, app.name, text);
      const what = `${route.method} ${route.url} (${JSON.stringify(rule)}): ${status} ${JSON.stringify(json)}`;
      const enough = SCOPES_FOR[rule.power as string] ?? [];
      if (!(who.scopes ?? ["global"]).some((scope) => enough.includes(scope))) {
        assert.deepEqual([status, json?.id], [403, "forbidden"], what);
        assert.match(json.message, /scope/, what);
      } else if (rule.kind === "operator" && who.isOperator !== true) {
        assert.deepEqual([status, json?.id], [403, "forbidden"], what);
      } else if (rule.kind === "app" && who.permissions === "none") {
        assert.deepEqual([status, json?.resource], [404, "app"], what);
      } else if (rule.kind === "app" && who.permissions !== "owner" && !who.permissions.includes(rule.needs)) {
        assert.deepEqual([status, json?.id], [403, "forbidden"], what);
        assert.match(json.message, new RegExp(`permission ${rule.needs} on ${app.name}`), what);
      } else {
        assert.ok(status !== 401 && status < 500, what);
        assert.ok(status !== 403 || route.url.includes("/collaborators/:"), what);
        assert.ok(json?.resource !== "app", what);
      }
    }
  });
}

/** What must not become easier by a slip. */
const DANGEROUS = {
  "GET /apps/:app/config-vars": "deploy",
  "PATCH /apps/:app/config-vars": "deploy",
  "GET /apps/:app/releases/:release/config-vars": "deploy",
  "GET /apps/:app/releases/:release/stator/image": "deploy",
  "POST /apps/:app/releases": "deploy",
  "POST /apps/:app/dynos": "deploy",
  "POST /apps/:app/schedules": "deploy",
  "PUT /apps/:app/formation/:type/health-checks": "deploy",
  "PATCH /apps/:app/formation": "operate",
  "PATCH /apps/:app/runtime": "operate",
  "GET /apps/:app/routing": "view",
  "PATCH /apps/:app/routing": "operate",
  "POST /apps/:app/routing/users": "operate",
  "DELETE /apps/:app/routing/users/:user": "operate",
  "DELETE /apps/:app/dynos": "operate",
  "GET /apps/:app/slugs/:slug": "deploy",
  "POST /apps/:app/slugs": "deploy",
  "POST /apps/:app/builds": "deploy",
  "GET /apps/:app/log-drains": "operate",
  "GET /apps/:app/log-drains/:drain": "operate",
  "GET /apps/:app/telemetry-drains": "operate",
  "GET /apps/:app/webhooks": "operate",
  "GET /apps/:app/webhooks/:webhook": "operate",
  "POST /apps/:app/sni-endpoints": "operate",
  "POST /apps/:app/domains": "operate",
  "DELETE /apps/:app": "manage",
  "POST /apps/:app/collaborators": "manage",
  "PATCH /apps/:app/collaborators/:collaborator": "manage",
  "POST /teams/apps/:app/collaborators": "manage",
  "PATCH /teams/apps/:app/collaborators/:collaborator": "manage",
  "GET /:app.git/*": "deploy",
  "POST /:app.git/*": "deploy",
} as const;

test("the rules of what is dangerous are these", () => {
  const rules = new Map(world.api.routes.map(({ method, url, rule }) => [`${method} ${url}`, rule]));
  for (const [route, needs] of Object.entries(DANGEROUS)) {
    const rule = rules.get(route);
    assert.equal(rule?.kind === "app" ? rule.needs : rule?.kind, needs, route);
  }
  for (const [route, rule] of rules) {
    if (route.includes("/stator/users")) assert.equal(rule.kind, "operator", route);
    if (/ \/oauth\/(?!tokens$)/.test(route) && !route.startsWith("HEAD"))
      assert.deepEqual([rule.kind, rule.kind === "account" && rule.power], ["account", "global"], route);
    if (/^(PATCH|DELETE|POST) \/account(\/keys.*)?$/.test(route))
      assert.deepEqual(rule.kind === "account" && rule.power, "global", route);
  }
  const open = [...rules].flatMap(([route, { kind }]) => (kind === "open" && !route.startsWith("HEAD") ? [route] : []));
  assert.deepEqual(open.toSorted(), [
    "GET /api/v4/current-status",
    "GET /buildpacks",
    "GET /buildpacks/:buildpack",
    "GET /buildpacks/:buildpack/readme",
    "GET /buildpacks/:buildpack/revisions",
    "GET /schema",
    "GET /stator/build-output/:build",
    "GET /stator/logs/:session",
    "GET /stator/release-output/:release",
    "GET /stator/slugs/:word",
    "GET /stator/sources/:word",
    "POST /auth",
    "POST /oauth/tokens",
    "PUT /stator/slugs/:word",
    "PUT /stator/sources/:word",
  ]);
});

test("a token that may only read gets code, and no way to push, however the service is spelt", async () => {
  const { text: token, app } = await someone({ name: "", permissions: "owner", scopes: ["read-protected"] });
  const ask = async (service: string) =>
    (await world.call("GET", `/${app.name}.git/info/refs?service=${service}`, { token })).status;
  assert.equal(await ask("git-upload-pack"), 200);
  for (const push of ["git-receive-pack", "git%2Dreceive-pack", "%67it-receive-pack", "git-receive-pack&x=1"])
    assert.equal(await ask(push), 403, push);
});

test("to rename takes manage, to leave takes nothing, and a leaver leaves alone", async () => {
  const { user, text: token, app } = await someone({ name: "", permissions: ["view", "operate"] });
  const path = `/apps/${app.name}`;
  const rename = await world.call("PATCH", path, { token, body: { name: `${app.name}-new` } });
  assert.equal(rename.status, 403);
  assert.equal((await world.call("PATCH", path, { token, body: { maintenance: true } })).status, 200);
  const other = await world.store.users.ensure("other-one@example.com");
  await world.store.collaborators.add({ appId: app.id, userId: other.id, permissions: ["view"] });
  assert.equal((await world.call("DELETE", `${path}/collaborators/${other.email}`, { token })).status, 403);
  assert.equal((await world.call("DELETE", `${path}/collaborators/${user.email}`, { token })).status, 200);
  assert.equal((await world.call("GET", path, { token })).status, 404);
});

test("an id of another app's thing is not found below one's own app", async () => {
  const own = await someone({ name: "", permissions: "owner" });
  const foreign = await world.deployed("not-theirs");
  const { store } = world;
  const [release, domain] = [(await store.releases.list(foreign.id))[0], (await store.domains.list(foreign.id))[0]];
  const dyno = (await store.dynos.list(foreign.id))[0];
  const build = await store.builds.create({ appId: foreign.id, userId: world.user.id, commit: null });
  const rule = await store.egressRules.add(foreign.id, { action: "deny", cidr: "10.0.0.0/8", port: null });
  const part = await store.collaborators.add({ appId: foreign.id, userId: own.user.id, permissions: ["view"] });
  const paths = [
    `GET /releases/${release?.id}`,
    `GET /releases/${release?.id}/config-vars`,
    `GET /slugs/${release?.slugId}`,
    `GET /domains/${domain?.id}`,
    `DELETE /domains/${domain?.id}`,
    `GET /dynos/${dyno?.id}`,
    `GET /builds/${build.id}`,
    `GET /builds/${build.id}/output`,
    `DELETE /egress-rules/${rule.id}`,
    `PATCH /collaborators/${part.id}`,
  ];
  for (const each of paths) {
    const [method = "", path = ""] = each.split(" ");
    const body = method === "GET" ? {} : { body: method === "PATCH" ? { permissions: ["manage"] } : {} };
    const { status } = await world.call(method, `/apps/${own.app.name}${path}`, { token: own.text, ...body });
    assert.equal(status, 404, each);
  }
});
