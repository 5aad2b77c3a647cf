import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Answer, openWorld, type World } from "../../../test/support/api-world.ts";
import { SimClock } from "../../lib/sim-clock.ts";

/** Who may do what, as far as it is things of the API: users, collaborators, keys, authorizations, clients, sessions. */
let world: World;
let clock: SimClock;
before(async () => {
  clock = new SimClock(1_700_000_000_000);
  world = await openWorld({ clock });
});
after(() => world[Symbol.asyncDispose]());

let number = 0;
const newName = () => `app-${++number}`;
const get = (path: string, token?: string) => world.call("GET", path, token === undefined ? {} : { token });
const post = (path: string, body?: unknown) => world.call("POST", path, { body });
const patch = (path: string, body: unknown) => world.call("PATCH", path, { body });
const remove = (path: string, body?: unknown) => world.call("DELETE", path, body === undefined ? {} : { body });
const refused = (answer: Answer, pattern: RegExp) => {
  assert.equal(answer.status, 422, answer.text);
  assert.equal(answer.json.id, "invalid_params");
  assert.match(answer.json.message, pattern);
};
const names = (collaborator: { permissions: readonly { name: string }[] }) =>
  collaborator.permissions.map(({ name }) => name);

async function person(email: string) {
  const user = await world.store.users.ensure(email);
  const fresh = { userId: user.id, description: "", scopes: ["global"], expiresAt: null };
  return { user, token: (await world.store.tokens.create(fresh)).text };
}

test("collaborators: added with what Heroku's have, with permissions, changed, listed, seen, removed; the log says who", async () => {
  const { name, id } = await world.deployed(newName());
  const path = `/apps/${name}/collaborators`;
  const { user, token } = await person("friend@example.com");
  assert.equal((await get(`/apps/${name}`, token)).json.resource, "app");
  const added = await post(path, { user: "Friend@example.com", silent: true });
  assert.equal(added.status, 201);
  assert.deepEqual([added.json.role, added.json.user.email], [null, "friend@example.com"]);
  assert.deepEqual(names(added.json), ["view", "deploy", "operate"]);
  assert.equal((await get(`/apps/${name}`, token)).json.name, name);
  assert.deepEqual(
    (await get("/apps", token)).json.map((app: { name: string }) => app.name),
    [name],
  );
  assert.equal((await world.call("POST", "/filters/apps", { token, body: { in: { id: [id] } } })).json.length, 1);
  refused(await post(path, { user: user.id }), /already a collaborator/);
  refused(await post(path, { user: "~" }), /already a collaborator/);
  const changed = await patch(`${path}/friend%40example.com`, { permissions: ["manage"] });
  assert.deepEqual([changed.status, names(changed.json)], [200, ["view", "manage"]]);
  assert.equal((await world.call("PATCH", `/apps/${name}/config-vars`, { token, body: { A: "1" } })).status, 403);
  refused(await patch(`${path}/${added.json.id}`, { permissions: ["root"] }), /no permission root/);
  refused(await patch(`${path}/owner@example.com`, { permissions: [] }), /owns/);
  const roles = (await get(path)).json.map((each: { role: string | null; user: { email: string } }) => [
    each.role,
    each.user.email,
  ]);
  assert.deepEqual(new Set(roles.map(String)), new Set(["owner,owner@example.com", ",friend@example.com"]));
  assert.equal((await get(`${path}/${user.id}`)).json.id, added.json.id);
  refused(await remove(`${path}/owner@example.com`), /cannot leave/);
  assert.equal((await remove(`${path}/friend@example.com`)).json.id, added.json.id);
  assert.equal((await remove(`${path}/friend@example.com`)).json.resource, "collaborator");
  assert.equal((await get(`/apps/${name}`, token)).status, 404);
  assert.deepEqual(
    world.logs.textOf(id).filter((line) => line.includes("collaborator")),
    [
      "app[api]: Add collaborator friend@example.com with view, deploy, operate by user owner@example.com",
      "app[api]: Give collaborator friend@example.com view, manage by user owner@example.com",
      "app[api]: Remove collaborator friend@example.com by user owner@example.com",
    ],
  );
});

test("collaborators below /teams/apps, as clients of teams call them; who is not here cannot be added", async () => {
  const { name } = await world.deployed(newName());
  await person("team-friend@example.com");
  const path = `/teams/apps/${name}/collaborators`;
  const added = await post(path, { user: "team-friend@example.com", permissions: ["deploy"] });
  assert.deepEqual(names(added.json), ["view", "deploy"]);
  assert.equal((await get(path)).json.length, 2);
  assert.deepEqual(names((await patch(`${path}/team-friend@example.com`, { permissions: [] })).json), ["view"]);
  assert.equal((await remove(`${path}/team-friend@example.com`)).status, 200);
  const none = await post(path, { user: "nobody@example.com" });
  assert.deepEqual([none.status, none.json.resource], [404, "user"]);
  assert.match(none.json.message, /users:add/);
  assert.deepEqual(
    (await get("/teams/permissions")).json.map((each: { name: string }) => each.name),
    ["view", "deploy", "operate", "manage"],
  );
});

test("a log session of a collaborator ends with their part in the app", async () => {
  const { name } = await world.deployed(newName());
  const { user, token } = await person("reader@example.com");
  const part = await post(`/apps/${name}/collaborators`, { user: user.id, permissions: ["view"] });
  const session = await world.call("POST", `/apps/${name}/log-sessions`, { token, body: {} });
  assert.equal((await fetch(session.json.logplex_url)).status, 200);
  await remove(`/apps/${name}/collaborators/${part.json.id}`);
  assert.equal((await fetch(session.json.logplex_url)).status, 404);
});

test("users: an operator adds, lists, suspends and removes them; the installation's owner stays", async () => {
  const added = await post("/stator/users", { email: "New@example.com" });
  assert.deepEqual([added.status, added.json.email, added.json.operator], [201, "new@example.com", false]);
  refused(await post("/stator/users", { email: "new@example.com" }), /already/);
  refused(await post("/stator/users", { email: "no address" }), /not an e-mail/);
  const { token } = await person("new@example.com");
  const { name } = await world.deployed(newName());
  const app = (await world.call("POST", "/apps", { token, body: { name: newName() } })).json;
  const one = "/stator/users/new@example.com";
  assert.match((await patch(one, { suspended: true })).json.suspended_at, /^20/);
  assert.equal((await get("/account", token)).json.id, "suspended");
  assert.equal((await patch(one, { suspended: false, operator: true })).json.operator, true);
  assert.equal((await get("/stator/users", token)).status, 200);
  refused(await patch("/stator/users/owner@example.com", { suspended: true }), /owner of this installation/);
  refused(await patch("/stator/users/owner@example.com", { operator: false }), /owner of this installation/);
  refused(await remove("/stator/users/owner@example.com"), /owner of this installation/);
  refused(await remove(one), new RegExp(`owns ${app.name}`));
  await world.call("POST", `/apps/${app.name}/collaborators`, { token, body: { user: world.user.id } });
  for (const name of ["theirs", "both"]) await world.call("POST", "/pipelines", { token, body: { name } });
  const both = await post("/pipelines", { name: "both" });
  assert.equal((await remove(one, { apps_to: "owner@example.com" })).json.email, "new@example.com");
  assert.deepEqual(
    (await get("/pipelines")).json.map((each: { name: string }) => each.name),
    ["both", "theirs"],
  );
  assert.equal((await get("/pipelines/both")).json.id, both.json.id, "the heir keeps their own");
  assert.equal((await get(`/apps/${app.name}`)).json.owner.email, "owner@example.com");
  assert.equal((await get(`/apps/${app.name}/collaborators`)).json.length, 1, "an owner is no collaborator besides");
  assert.equal((await get("/account", token)).status, 401);
  assert.equal((await get(one)).json.resource, "user");
  const releases = (await get(`/apps/${app.name}/releases`)).json;
  assert.equal(releases[0].user.email, "new@example.com", "history goes on naming them");
  const back = await post("/stator/users", { email: "new@example.com" });
  assert.deepEqual([back.status, back.json.operator], [201, false]);
  assert.equal((await get("/account", token)).status, 401);
  assert.equal((await get(`/apps/${name}`)).status, 200);
});

test("the own account: changed, seen by every name, deleted", async () => {
  const { user, token } = await person("leaver@example.com");
  const change = { name: "Lea Ver", beta: true, allow_tracking: true };
  for (const path of ["/account", "/users/~", `/users/${user.id}`, "/users/leaver@example.com"]) {
    const { json } = await world.call("PATCH", path, { token, body: change });
    assert.deepEqual([json.name, json.beta, json.allow_tracking], ["Lea Ver", true, true], path);
  }
  assert.equal((await world.call("PATCH", "/account", { token, body: { name: null } })).json.name, null);
  assert.equal((await world.call("PATCH", "/users/owner@example.com", { token, body: change })).status, 404);
  const app = (await world.call("POST", "/apps", { token, body: { name: newName() } })).json;
  refused(await world.call("DELETE", "/account", { token }), /owns/);
  await world.call("DELETE", `/apps/${app.name}`, { token });
  assert.equal((await world.call("DELETE", "/account", { token })).json.email, "leaver@example.com");
  assert.equal((await get("/account", token)).status, 401);
});

const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFq5rGQ9SyTbGUWHrWAGsyqP4dHKn9YSVf9WW8ZkSXHv me@laptop";

test("keys: kept with their fingerprint, found by it, once on the whole platform; who adds one is told that git is HTTPS", async () => {
  const added = await post("/account/keys", { public_key: `${KEY}\n` });
  assert.deepEqual([added.status, added.json.comment, added.json.email], [201, "me@laptop", "owner@example.com"]);
  assert.equal(added.json.public_key, KEY);
  assert.match(added.headers.get("warning-message") ?? "", /git talks HTTPS here/);
  assert.equal((await get(`/account/keys/${added.json.fingerprint}`)).json.id, added.json.id);
  refused(await post("/account/keys", { public_key: KEY }), /already in use/);
  const { token } = await person("other-key@example.com");
  refused(await world.call("POST", "/account/keys", { token, body: { public_key: KEY } }), /already in use/);
  assert.equal((await world.call("DELETE", `/account/keys/${added.json.id}`, { token })).json.resource, "key");
  refused(await post("/account/keys", { public_key: "ssh-rsa x" }), /not one line of a \.pub file/);
  assert.equal((await get("/account/keys")).json.length, 1);
  assert.equal((await remove(`/account/keys/${added.json.id}`)).json.id, added.json.id);
  assert.deepEqual((await get("/account/keys")).json, []);
});

test("what others read on their terminals holds nothing that speaks to these", async () => {
  const bad = ["\u001b[2J", "two\nlines", "\u009b31m", "nul\0", "\u202eright to left"];
  for (const text of bad) {
    refused(await post("/oauth/authorizations", { description: text }), /description/);
    refused(await post("/oauth/clients", { name: text, redirect_uri: "https://x.example/" }), /name/);
    refused(await patch("/account", { name: text }), /name/);
  }
  const made = await post("/oauth/authorizations", { description: "Zoë's CI: build & deploy 🚀" });
  assert.equal(made.json.description, "Zoë's CI: build & deploy 🚀");
});

test("authorizations: described anew, their tokens made anew with the same life; the old ones are worth nothing", async () => {
  const made = (await post("/oauth/authorizations", { description: "ci", expires_in: "3600", scope: ["read"] })).json;
  const path = `/oauth/authorizations/${made.id}`;
  assert.equal((await patch(path, { description: "build server" })).json.description, "build server");
  clock.jump(1_800_000);
  const again = (await post(`${path}/actions/regenerate-tokens`)).json;
  assert.deepEqual([again.id, again.scope, again.access_token.expires_in], [made.id, ["read"], 3600]);
  assert.notEqual(again.access_token.token, made.access_token.token);
  assert.equal((await get("/apps", made.access_token.token)).status, 401);
  assert.equal((await get("/apps", again.access_token.token)).status, 200);
  clock.jump(3_600_000);
  assert.equal((await get("/apps", again.access_token.token)).status, 401);
  assert.equal((await get(path)).json.access_token.expires_in, 0);
});

test("clients: made, changed, given a new secret, removed with what was authorised for them; another's are not there", async () => {
  const client = (await post("/oauth/clients", { name: "Tool", redirect_uri: "https://tool.example/back" })).json;
  assert.match(client.secret, /^stator-client-[\w-]{43}$/);
  const path = `/oauth/clients/${client.id}`;
  assert.equal((await get(path)).json.secret, client.secret);
  assert.equal((await patch(path, { name: "Better" })).json.name, "Better");
  for (const redirect_uri of ["javascript:alert(1)", "http://tool.example/", "no uri", ""])
    refused(await patch(path, { redirect_uri }), /redirect_uri/);
  const rotated = (await post(`${path}/actions/rotate-credentials`)).json;
  assert.notEqual(rotated.secret, client.secret);
  const { token } = await person("client-thief@example.com");
  assert.equal((await get(path, token)).json.resource, "client");
  const grant = (await post("/oauth/authorizations", { client: client.id, scope: ["read"] })).json;
  assert.deepEqual([grant.access_token, grant.client.name, grant.grant.expires_in], [null, "Better", 300]);
  assert.equal((await remove(path)).json.id, client.id);
  assert.equal((await get(`/oauth/authorizations/${grant.id}`)).status, 404);
  assert.deepEqual((await get("/oauth/clients")).json, []);
});

test("oauth tokens: a grant is exchanged once and in time, with the client's secret; then the refresh token gives access tokens", async () => {
  const { secret, id } = (await post("/oauth/clients", { name: "Tool", redirect_uri: "https://tool.example/" })).json;
  const authorise = async () => (await post("/oauth/authorizations", { client: id, scope: ["identity"] })).json;
  const exchange = (body: unknown) => world.call("POST", "/oauth/tokens", { token: null, body });
  const grantOf = (code: string, given = secret) =>
    exchange({ client: { secret: given }, grant: { type: "authorization_code", code }, refresh_token: { token: "" } });
  const first = await authorise();
  assert.equal((await grantOf(first.grant.code, "stator-client-wrong")).status, 401);
  const { json } = await grantOf(first.grant.code);
  assert.deepEqual([json.authorization.id, json.access_token.expires_in], [first.id, 28_800]);
  assert.equal((await get("/account", json.access_token.token)).json.email, "owner@example.com");
  assert.equal((await get("/apps", json.access_token.token)).status, 403);
  assert.equal((await grantOf(first.grant.code)).status, 401, "a grant is worth something once");
  const late = await authorise();
  clock.jump(300_000);
  assert.equal((await grantOf(late.grant.code)).status, 401);
  const refresh = (token: string, given = secret) =>
    exchange({ client: { secret: given }, grant: { type: "refresh_token" }, refresh_token: { token } });
  clock.jump(28_800_000);
  assert.equal((await get("/account", json.access_token.token)).status, 401);
  assert.equal((await refresh(json.refresh_token.token, "x")).status, 401);
  assert.equal((await refresh("HRKU-SRwrong")).status, 401);
  const next = (await refresh(json.refresh_token.token)).json;
  assert.equal(next.refresh_token.token, json.refresh_token.token);
  assert.equal((await get("/account", next.access_token.token)).status, 200);
  assert.equal((await exchange({ client: { secret }, grant: { type: "password" } })).status, 422);
  const listed = (await get(`/oauth/authorizations/${first.id}`)).json;
  assert.match(listed.refresh_token.token, /\*{10}/);
  const removed = await remove(`/oauth/tokens/${first.id}`);
  assert.deepEqual([removed.status, removed.json.id, removed.json.user], [200, first.id, { id: world.user.id }]);
  assert.match(removed.json.access_token.token, /\*{3}/, "its text is not told again");
  assert.equal((await refresh(json.refresh_token.token)).status, 401);
});

test("sessions: the tokens that were handed out at a login, each ended by its id, the own one by ~", async () => {
  const { user } = await person("sessions@example.com");
  const fresh = { userId: user.id, description: "laptop", scopes: ["global"], expiresAt: null };
  const [one, two] = await Promise.all([1, 2].map(() => world.store.tokens.create({ ...fresh, isSession: true })));
  const plain = await world.store.tokens.create(fresh);
  const token = one?.text ?? "";
  assert.match((await get("/account", token)).json.last_login, /^\d{4}-.*Z$/, "when the newest was begun");
  assert.equal((await get("/users/sessions@example.com")).json.last_login, null, "nobody else's business");
  const listed = (await get("/oauth/sessions", token)).json;
  assert.equal(listed.length, 2);
  assert.deepEqual(Object.keys(listed[0]).toSorted(), ["created_at", "description", "expires_in", "id", "updated_at"]);
  const authorizations = (await get("/oauth/authorizations", token)).json;
  const session = (id = "") => authorizations.find((each: { id: string }) => each.id === id)?.session;
  assert.equal(session(plain.token.id), null);
  const end = (which: string, by: string) => world.call("DELETE", `/oauth/sessions/${which}`, { token: by });
  assert.equal((await end("~", plain.text)).json.resource, "session");
  assert.equal((await end(session(two?.token.id).id, token)).status, 200);
  assert.equal((await get("/account", two?.text)).status, 401);
  assert.equal((await end("~", token)).json.description, "laptop");
  assert.equal((await get("/account", token)).status, 401);
});
