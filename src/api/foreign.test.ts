import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../test/support/api-world.ts";
import { thingsOf } from "../../test/support/furnished.ts";
import { fitting, type Node } from "../../test/support/hostile.ts";
import { makeAuthority, makeServerCertificate } from "../host/certificates.ts";
import type { RouteEntry } from "./http.ts";

/**
 * Every route that names something beside an app, asked for another person's thing: by whoever owns an app of their own and knows the id.
 * To them it is not there. The routes are read from the server, and the ids by the lists that its owner sees.
 */
let world: World;
let pair: { readonly certificate: string; readonly key: string };
before(async () => {
  world = await openWorld({ callsPerHour: 1e9 });
  pair = await makeServerCertificate(await makeAuthority("CA", Date.now()), ["www.example.org"], Date.now());
});
after(() => world[Symbol.asyncDispose]());

/** What is nobody's: names that are the same in every app, and a list that is empty whoever asks. */
const EVERYBODYS =
  /^\/(stacks|regions|generations|dyno-sizes|account\/features|apps\/:app\/features)\/:|^\/users\/:account\/addons|\/:type\b/;
/** The app is the user name of Basic authentication: `exec-manager.test.ts`. */
const isElsewhere = (url: string) => url.startsWith("/api/v2");

const routes = () =>
  world.api.routes.filter(({ method, url, rule }) => {
    const isOfSomebody = rule.kind === "app" || rule.kind === "account";
    const isSeen = `${method} ${url}` === "GET /users/:account"; // that somebody is here: their id, and nothing else
    if (isSeen) return false;
    const isNamed = url.replace("/:app", "").includes(":");
    return (
      method !== "HEAD" && isOfSomebody && isNamed && !EVERYBODYS.test(url) && !isElsewhere(url) && !url.includes("*")
    );
  });

/** What a test without dynos has none of. */
const NOT_IN_MEMORY = [
  "/apps/:app/stator/recordings/:recording",
  "/apps/:app/stator/recordings/:recording/cast",
  "/apps/:app/dynos/:dyno/usage",
];

/** Of a kind that is not here at all (add-ons, teams): everybody is refused. */
function isNowhere({ url, schema }: RouteEntry): boolean {
  const answers = (schema?.response ?? {}) as Readonly<Record<string, object>>;
  return "not" in (answers["2xx"] ?? {}) || url === "/spaces/:space/telemetry-drains";
}

/** Ids by the address of their list. */
const ids = new Map<string, string>();

async function furnish(): Promise<{ readonly name: string }> {
  const { store, user } = world;
  const app = await world.deployed("theirs");
  const other = await world.deployed("theirs-other");
  const fresh = { ownerId: user.id, stack: "debian-12", domain: "localhost" };
  const loose = (await store.apps.create({ ...fresh, name: "theirs-loose" })).id;
  const member = (await store.users.ensure("member@example.com")).email;
  const post = async (path: string, body: object) => {
    const { status, json, text } = await world.call("POST", path, { body });
    assert.ok(status < 300, `${path}: ${text}`);
    ids.set(path, json.id ?? json.name);
    return json;
  };
  const pipeline = (await post("/pipelines", { name: "theirs" })).id;
  const hostname = "w.example.org";
  for (const [path, body] of thingsOf({ app, other, loose, pipeline, member, hostname, pair })) await post(path, body);
  await post("/oauth/authorizations", { description: "theirs" });
  ids.set("/oauth/tokens", ids.get("/oauth/authorizations") ?? "");
  const places = { source: { app: { id: app.id } }, targets: [{ app: { id: other.id } }] };
  await post("/pipeline-promotions", { pipeline: { id: pipeline }, ...places });
  await post("/account/keys", { public_key: `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${"A".repeat(43)}` });
  const said = { action: "create", actor: { email: user.email, id: user.id }, data: {}, previous_data: {} };
  const payload = { ...said, published_at: "2026-01-01T00:00:00.000Z", resource: "release", version: "3" };
  for (const change of await store.webhooks.noted(100))
    await store.webhooks.publish(change, [{ include: "api:release", payload }]);
  ids.set(`/apps/${app.name}/slugs`, (await store.releases.newest(app.id))?.slugId ?? "");
  ids.set("/users", user.id);
  return app;
}

async function idIn(list: string): Promise<string> {
  const known = ids.get(list);
  if (known !== undefined) return known;
  const { json } = await world.call("GET", list);
  const last = Array.isArray(json) ? json.at(-1) : undefined;
  return last?.id ?? last?.name ?? "nothing";
}

/** The address below `app`, of the thing below `theirs`. */
async function pathOf({ url }: RouteEntry, theirs: string, app: string): Promise<string> {
  let [path, list] = ["", ""];
  for (const part of url.slice(1).split("/")) {
    const word = part === ":app" ? app : part.startsWith(":") ? encodeURIComponent(await idIn(list)) : part;
    path += `/${word}`;
    list += `/${part === ":app" ? theirs : word}`;
  }
  return path;
}

const WORDS: Readonly<Record<string, unknown>> = { permissions: ["view"], checks: [], schedule: "0 3 * * *" };

function bodyOf({ method, schema }: RouteEntry): object {
  if (method === "GET") return {};
  const good = fitting((schema?.body ?? {}) as Node, (path) =>
    path === "certificate_chain" ? pair.certificate : path === "private_key" ? pair.key : WORDS[path],
  );
  return { body: typeof good === "object" ? good : {} };
}

test("another person's thing is not there, by its true id: 404 from every route, and nothing is changed", async () => {
  const { store } = world;
  const theirs = await furnish();
  const stranger = await store.users.ensure("stranger@example.com");
  const mine = { userId: stranger.id, description: "", scopes: ["global"], expiresAt: null };
  const { text: token } = await store.tokens.create(mine);
  const own = await store.apps.create({ name: "own", ownerId: stranger.id, stack: "debian-12", domain: "localhost" });
  const [seen, unseen]: [string[], string[]] = [[], []];
  for (const route of routes()) {
    const what = `${route.method} ${route.url}`;
    if (route.method === "GET") {
      const { status } = await world.call("GET", await pathOf(route, theirs.name, theirs.name));
      (status < 300 ? seen : unseen).push(route.url);
    }
    const path = await pathOf(route, theirs.name, own.name);
    const { status, text } = await world.call(route.method, path, { token, ...bodyOf(route) });
    assert.ok(status === 404 || (isNowhere(route) && status === 422), `${what}: ${path}: ${status} ${text}`);
  }
  // Their owner finds them all: the ids are true ones, and nothing was taken away.
  const absent = unseen.filter((url) => routes().some((each) => each.url === url && !isNowhere(each)));
  assert.deepEqual(absent, NOT_IN_MEMORY);
  assert.ok(seen.length > 30, `${seen.length}: ${seen.join(", ")}`);
  for (const route of routes().filter(({ method, url }) => method === "GET" && seen.includes(url)))
    assert.equal((await world.call("GET", await pathOf(route, theirs.name, theirs.name))).status, 200, route.url);
});
