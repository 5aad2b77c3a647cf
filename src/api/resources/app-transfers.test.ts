import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../../test/support/api-world.ts";

let world: World;
let other = "";
before(async () => {
  world = await openWorld();
  const user = await world.store.users.ensure("other@example.com");
  const fresh = { userId: user.id, description: "", scopes: ["global"], expiresAt: null };
  other = (await world.store.tokens.create(fresh)).text;
});
after(() => world[Symbol.asyncDispose]());

const PATH = "/account/app-transfers";
const offer = (app: string, recipient = "other@example.com") =>
  world.call("POST", PATH, { body: { app, recipient, silent: true } });

test("an app is offered, accepted, and given back: its owner changes, who owned it stays as a collaborator", async () => {
  const app = await world.deployed("given");
  const offered = await offer("given");
  assert.deepEqual([offered.status, offered.json.state], [201, "pending"]);
  assert.deepEqual(
    [offered.json.owner.email, offered.json.recipient.email],
    ["owner@example.com", "other@example.com"],
  );
  assert.ok(
    world.logs.textOf(app.id).includes("app[api]: Offer the app to other@example.com by user owner@example.com"),
  );
  assert.equal((await world.call("GET", "/apps/given", { token: other })).status, 404, "an offer lets nobody in");
  const { id } = offered.json;
  for (const token of [world.token, other]) {
    for (const named of [id, "given", app.id])
      assert.equal((await world.call("GET", `${PATH}/${named}`, { token })).json.id, id);
    assert.equal((await world.call("GET", PATH, { token })).json.length, 1);
  }
  const mine = await world.call("PATCH", `${PATH}/${id}`, { body: { state: "accepted" } });
  assert.deepEqual([mine.status, mine.json.id], [403, "forbidden"]);
  const accepted = await world.call("PATCH", `${PATH}/given`, { body: { state: "accepted" }, token: other });
  assert.equal(accepted.json.state, "accepted");
  assert.equal((await world.call("GET", "/apps/given", { token: other })).json.owner.email, "other@example.com");
  const { json } = await world.call("GET", "/apps/given/collaborators");
  const parts = json.map((each: { user: { email: string }; role: string | null; permissions: { name: string }[] }) => [
    each.user.email,
    each.role,
    each.permissions.length,
  ]);
  assert.deepEqual(parts.toSorted(), [
    ["other@example.com", "owner", 4],
    ["owner@example.com", null, 3],
  ]);
  const again = await world.call("PATCH", `${PATH}/${id}`, { body: { state: "declined" }, token: other });
  assert.match(again.json.message, /was accepted already/);
  assert.match((await offer("given")).json.message, /Only the owner of given/);
  const back = { app: "given", recipient: "owner@example.com" };
  await world.call("POST", PATH, { body: back, token: other });
  await world.call("PATCH", `${PATH}/given`, { body: { state: "accepted" } });
  assert.equal((await world.call("GET", "/apps/given")).json.owner.email, "owner@example.com");
  const others = await world.store.collaborators.list(app.id);
  assert.deepEqual(
    others.map(({ userId }) => userId),
    [offered.json.recipient.id],
    "once each",
  );
});

test("an offer is declined, cancelled, or goes with its app and its people; one at a time", async () => {
  await world.deployed("offered");
  const { json: first } = await offer("offered");
  assert.match((await offer("offered")).json.message, /offered is being transferred already/);
  await world.call("PATCH", `${PATH}/${first.id}`, { body: { state: "declined" }, token: other });
  const { json: second } = await offer("offered");
  assert.equal((await world.call("GET", `${PATH}/${first.id}`)).status, 404, "of each app the newest is kept");
  assert.equal((await world.call("DELETE", `${PATH}/${second.id}`)).json.state, "pending");
  assert.equal((await world.call("GET", `${PATH}/offered`)).status, 404);
  await offer("offered");
  await world.store.apps.remove((await world.store.apps.find("offered"))?.id ?? "");
  assert.ok(
    (await world.call("GET", PATH)).json.every((each: { app: { name: string } }) => each.app.name !== "offered"),
  );
  await world.deployed("left");
  const leaver = await world.store.users.ensure("leaver@example.com");
  await offer("left", "leaver@example.com");
  await world.store.users.remove(leaver.id, null);
  assert.equal((await world.call("GET", `${PATH}/left`)).status, 404);
});

test("what cannot be: to nobody, to oneself, of an app that is not there, by a stranger", async () => {
  await world.deployed("kept");
  assert.match((await offer("kept", "nobody@example.com")).json.message, /no user nobody@example\.com here/);
  assert.match((await offer("kept", "owner@example.com")).json.message, /theirs already/);
  assert.equal((await offer("not-there")).status, 404);
  const stolen = { app: "kept", recipient: "other@example.com" };
  assert.equal((await world.call("POST", PATH, { body: stolen, token: other })).status, 404);
  const { json } = await offer("kept");
  const stranger = await world.store.users.ensure("stranger@example.com");
  const fresh = { userId: stranger.id, description: "", scopes: ["global"], expiresAt: null };
  const { text } = await world.store.tokens.create(fresh);
  for (const method of ["GET", "DELETE"])
    assert.equal((await world.call(method, `${PATH}/${json.id}`, { token: text })).status, 404);
  const body = { state: "accepted" };
  assert.equal((await world.call("PATCH", `${PATH}/${json.id}`, { body, token: text })).status, 404);
  assert.equal((await world.call("PATCH", `${PATH}/${json.id}`, { body: { state: "pending" } })).status, 422);
});

test("account features: listed, switched, and what they mean for new apps; another word is none", async () => {
  const path = "/account/features/heroku-defaults";
  const [feature] = (await world.call("GET", "/account/features", { token: other })).json;
  assert.deepEqual([feature.name, feature.enabled, feature.state], ["heroku-defaults", false, "beta"]);
  const runtimeOf = async (name: string) => {
    await world.call("POST", "/apps", { body: { name }, token: other });
    const { restart_policy, rollout, daily_cycling } = (
      await world.call("GET", `/apps/${name}/runtime`, { token: other })
    ).json;
    return [restart_policy, rollout, daily_cycling];
  };
  assert.deepEqual(await runtimeOf("as-ever"), ["steady", "surge", false]);
  assert.equal((await world.call("PATCH", path, { body: { enabled: true }, token: other })).json.enabled, true);
  assert.equal((await world.call("GET", `/account/features/${feature.id}`, { token: other })).json.enabled, true);
  assert.equal((await world.call("GET", path)).json.enabled, false, "of one account");
  assert.deepEqual(await runtimeOf("as-heroku"), ["heroku", "stop-start", true]);
  await world.call("PATCH", path, { body: { enabled: false }, token: other });
  assert.deepEqual(await runtimeOf("as-before"), ["steady", "surge", false]);
  const none = await world.call("GET", "/account/features/preboot");
  assert.deepEqual([none.status, none.json.resource], [404, "account_feature"]);
});

test("teams, spaces and add-ons: lists are empty, one is not found, changes are refused in a sentence", async () => {
  await world.deployed("alone");
  for (const path of ["/teams", "/spaces", "/addons", "/addon-attachments", "/apps/alone/addons"])
    assert.deepEqual((await world.call("GET", path)).json, [], path);
  for (const [method, path, resource] of [
    ["GET", "/teams/x/members", "team"],
    ["DELETE", "/spaces/x", "space"],
    ["GET", "/addons/x/config", "add_on"],
    ["DELETE", "/apps/alone/addons/x", "add_on"],
    ["DELETE", "/addon-attachments/x", "add_on attachment"],
  ] as const) {
    const answer = await world.call(method, path);
    assert.deepEqual([answer.status, answer.json.resource], [404, resource], path);
  }
  for (const [path, words] of [
    ["/teams", /There are no teams here/],
    ["/spaces", /There are no spaces here/],
    ["/apps/alone/addons", /There are no add-ons here/],
  ] as const) {
    const answer = await world.call("POST", path, { body: {} });
    assert.equal(answer.status, 422);
    assert.match(answer.json.message, words);
  }
  const team = await world.call("GET", "/teams/apps/alone");
  assert.deepEqual([team.json.name, team.json.locked, team.json.joined], ["alone", false, true]);
  const lock = await world.call("PATCH", "/teams/apps/alone", { body: { locked: true } });
  assert.match(lock.json.message, /cannot be locked here/);
  const toTeam = await world.call("PATCH", "/teams/apps/alone", { body: { owner: "acme" } });
  assert.match(toTeam.json.message, /There are no teams here\. An app goes to another user/);
});
