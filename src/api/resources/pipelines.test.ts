import assert from "node:assert/strict";
import { test } from "node:test";
import { openWorld, type World } from "../../../test/support/api-world.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { SimClock } from "../../lib/sim-clock.ts";

const PLACE = { stack: "debian-12", domain: "localhost" };

async function strangersToken(world: World): Promise<string> {
  const { id } = await world.store.users.ensure("stranger@example.com");
  return (await world.store.tokens.create({ userId: id, description: "", scopes: ["global"], expiresAt: null })).text;
}

test("pipelines: made, found by name and id, renamed, destroyed; nobody else sees them", async () => {
  await using world = await openWorld();
  const owner = { id: world.user.id, type: "user" };
  const body = { name: "shop", owner, generation: { name: "cedar" } };
  const made = await world.call("POST", "/pipelines", { body });
  assert.equal(made.status, 201);
  assert.deepEqual([made.json.name, made.json.owner, made.json.generation.name], ["shop", owner, "cedar"]);
  assert.equal((await world.call("GET", "/pipelines/shop")).json.id, made.json.id);
  assert.equal((await world.call("GET", `/pipelines/${made.json.id}`)).json.name, "shop");
  assert.equal((await world.call("GET", "/pipelines?eq[name]=shop")).json.length, 1);
  assert.deepEqual((await world.call("GET", "/pipelines?eq[name]=other")).json, []);
  const token = await strangersToken(world);
  assert.deepEqual((await world.call("GET", "/pipelines", { token })).json, []);
  for (const method of ["GET", "PATCH", "DELETE"]) {
    assert.equal((await world.call(method, `/pipelines/${made.json.id}`, { token })).status, 404);
  }
  assert.equal((await world.call("POST", "/pipelines", { body, token })).status, 422, "for somebody else");
  assert.equal((await world.call("POST", "/pipelines", { body })).status, 422, "taken");
  for (const name of ["", "A", "a b", "-x", "x".repeat(31), "a\n"]) {
    assert.equal((await world.call("POST", "/pipelines", { body: { name } })).status, 422, JSON.stringify(name));
  }
  assert.match(
    (await world.call("POST", "/pipelines", { body: { name: "abc", owner: { type: "team" } } })).json.message,
    /no teams/,
  );
  assert.equal((await world.call("PATCH", "/pipelines/shop", { body: { name: "store" } })).json.name, "store");
  assert.equal((await world.call("DELETE", "/pipelines/store", { body: { name: "store" } })).json.id, made.json.id);
  assert.equal((await world.call("GET", "/pipelines/store")).status, 404);
});

test("a pipeline is given away: its owner changes at once, their apps in it are offered, others' stay", async () => {
  await using world = await openWorld();
  const token = await strangersToken(world);
  const stranger = (await world.store.users.byEmail("stranger@example.com")) ?? assert.fail();
  const own = await world.deployed("shop-staging");
  const { id } = (await world.call("POST", "/pipelines", { body: { name: "shop" } })).json;
  const theirs = await world.store.apps.create({ ...PLACE, name: "their-shop", ownerId: stranger.id });
  for (const appId of [own.id, theirs.id])
    await world.store.pipelines.couple({ pipelineId: id, appId, stage: "staging" });
  const give = (body: object, as = world.token) =>
    world.call("POST", "/pipeline-transfers", { body: { pipeline: { id }, ...body }, token: as });
  const toThem = { new_owner: { id: stranger.id, type: "user" } };

  assert.match((await give({ new_owner: { id: stranger.id, type: "team" } })).json.message, /There are no teams here/);
  assert.match((await give({ new_owner: { id: world.user.id, type: "user" } })).json.message, /shop is yours already/);
  assert.equal((await give({ new_owner: { id: own.id, type: "user" } })).json.resource, "user");
  const stolen = await give(toThem, token);
  assert.deepEqual([stolen.status, stolen.json.resource], [404, "pipeline"], "only its owner gives it");
  await world.call("POST", "/pipelines", { body: { name: "shop" }, token });
  assert.match((await give(toThem)).json.message, /They have a pipeline called shop already/);
  assert.deepEqual((await world.call("GET", "/account/app-transfers")).json, [], "and nothing was offered");
  await world.call("DELETE", "/pipelines/shop", { token });

  const given = await give(toThem);
  assert.deepEqual(
    [given.status, given.json],
    [201, { new_owner: toThem.new_owner, pipeline: { id }, previous_owner: { id: world.user.id, type: "user" } }],
  );
  assert.match(given.headers.get("warning-message") ?? "", /apps:transfers:accept: shop-staging$/);
  assert.equal((await world.call("GET", "/pipelines/shop")).status, 404);
  assert.deepEqual((await world.call("GET", `/pipelines/${id}`, { token })).json.owner, toThem.new_owner);
  assert.equal((await world.call("GET", "/apps/shop-staging")).json.owner.id, world.user.id, "until it is accepted");
  await world.call("PATCH", "/account/app-transfers/shop-staging", { body: { state: "accepted" }, token });
  assert.equal((await world.call("GET", "/apps/shop-staging", { token })).json.owner.id, stranger.id);
  assert.equal((await world.call("GET", "/apps/shop-staging/pipeline-couplings", { token })).json.pipeline.id, id);
});

test("of another user whoever knows the address learns the id, to give them something, and nothing else", async () => {
  await using world = await openWorld();
  const token = await strangersToken(world);
  await world.call("PATCH", "/account", { body: { name: "Ann Owner", beta: true } });
  const other = (await world.call("GET", "/users/owner@example.com", { token })).json;
  assert.deepEqual([other.id, other.email, other.name, other.beta], [world.user.id, "owner@example.com", null, false]);
  assert.equal((await world.call("GET", "/users/owner@example.com")).json.name, "Ann Owner");
  assert.equal((await world.call("GET", "/users/nobody@example.com", { token })).status, 404);
  const narrow = { userId: world.user.id, description: "", scopes: ["identity"], expiresAt: null };
  const { text } = await world.store.tokens.create(narrow);
  assert.equal((await world.call("GET", "/users/stranger@example.com", { token: text })).status, 404);
});

test("the official pipelines:diff, which would take its token elsewhere, is stopped at the pipeline it asks for", async () => {
  await using world = await openWorld();
  const { id } = (await world.call("POST", "/pipelines", { body: { name: "shop" } })).json;
  const ask = (ids: string, agent = "heroku-cli/11.10.0 linux-x64", variant = ".pipelines") =>
    world.call("GET", `/pipelines/${id}`, {
      headers: { "User-Agent": agent, Accept: `application/vnd.heroku+json; version=3${variant}`, "Request-Id": ids },
    });
  assert.equal((await ask("one")).status, 200, "pipelines:info asks for it first of all");
  const { status, json } = await ask("two,one");
  assert.deepEqual([status, json.id], [422, "invalid_params"]);
  assert.match(json.message, /type stator pipelines:diff\.$/);
  assert.equal((await ask("two,one", "heroku-go/v5")).status, 200);
  assert.equal((await ask("two,one", undefined, "")).status, 200);
});

test("who may deploy in apps of another's pipeline sees it with those apps, and promotes among them; to change it is its owner's", async () => {
  await using world = await openWorld();
  const apps = await Promise.all(["shop-staging", "shop", "shop-secret"].map((name) => world.deployed(name)));
  const { id } = (await world.call("POST", "/pipelines", { body: { name: "shop" } })).json;
  for (const [at, stage] of ["staging", "production", "production"].entries())
    await world.call("POST", "/pipeline-couplings", { body: { app: apps[at]?.id, pipeline: id, stage } });
  const token = await strangersToken(world);
  assert.equal((await world.call("GET", `/pipelines/${id}`, { token })).status, 404);
  for (const app of ["shop-staging", "shop"])
    await world.call("POST", `/apps/${app}/collaborators`, { body: { user: "stranger@example.com" } });
  assert.equal((await world.call("GET", `/pipelines/${id}`, { token })).json.name, "shop");
  const seen = (await world.call("GET", `/pipelines/${id}/pipeline-couplings`, { token })).json;
  const names = seen.map(({ app }: { app: { name: string } }) => app.name);
  assert.deepEqual(names.toSorted(), ["shop", "shop-staging"]);
  const promote = (to: string | undefined) => {
    const places = { source: { app: { id: apps[0]?.id } }, targets: [{ app: { id: to } }] };
    return world.call("POST", "/pipeline-promotions", { body: { pipeline: { id }, ...places }, token });
  };
  const promoted = await promote(apps[1]?.id);
  assert.equal(promoted.status, 201, promoted.text);
  const path = `/pipeline-promotions/${promoted.json.id}`;
  assert.equal((await world.call("GET", `${path}/promotion-targets`, { token })).json.length, 1);
  assert.equal((await promote(apps[2]?.id)).status, 404, "an app they do not see");
  const secret = await world.call("POST", "/pipeline-promotions", {
    body: { pipeline: { id }, source: { app: { id: apps[0]?.id } }, targets: [{ app: { id: apps[2]?.id } }] },
  });
  assert.equal((await world.call("GET", `/pipeline-promotions/${secret.json.id}`, { token })).status, 404);
  for (const [method, body] of [
    ["PATCH", { name: "mine" }],
    ["DELETE", undefined],
  ] as const)
    assert.equal((await world.call(method, `/pipelines/${id}`, { token, ...(body && { body }) })).status, 404);
  assert.deepEqual((await world.call("GET", "/pipelines", { token })).json, [], "it is not among theirs");
});

test("couplings: one for an app, one object by app, a list by pipeline", async () => {
  await using world = await openWorld();
  const app = await world.deployed("shop-staging");
  const { id } = (await world.call("POST", "/pipelines", { body: { name: "shop" } })).json;
  assert.equal((await world.call("GET", "/apps/shop-staging/pipeline-couplings")).json.resource, "pipeline_coupling");
  const body = { app: "shop-staging", pipeline: id, stage: "development" };
  const made = await world.call("POST", "/pipeline-couplings", { body });
  assert.equal(made.status, 201);
  assert.deepEqual(made.json.app, { id: app.id, name: "shop-staging" });
  assert.deepEqual(made.json.pipeline, { id, name: "shop" });
  assert.match((await world.call("POST", "/pipeline-couplings", { body })).json.message, /in a pipeline already/);
  assert.equal((await world.call("POST", "/pipeline-couplings", { body: { ...body, stage: "beta" } })).status, 422);
  assert.equal((await world.call("POST", "/pipeline-couplings", { body: { ...body, app: "nobody" } })).status, 404);
  const one = `/pipeline-couplings/${made.json.id}`;
  assert.equal((await world.call("PATCH", one, { body: { stage: "staging" } })).json.stage, "staging");
  assert.equal((await world.call("GET", "/apps/shop-staging/pipeline-couplings")).json.stage, "staging");
  for (const list of ["/pipeline-couplings", `/pipelines/${id}/pipeline-couplings`, "/users/~/pipeline-couplings"]) {
    assert.deepEqual(
      (await world.call("GET", list)).json.map((each: { id: string }) => each.id),
      [made.json.id],
      list,
    );
  }
  const token = await strangersToken(world);
  assert.equal((await world.call("DELETE", one, { token })).status, 404);
  assert.equal((await world.call("GET", one, { token })).status, 404);
  assert.equal((await world.call("DELETE", one)).json.id, made.json.id);
  assert.equal((await world.call("GET", one)).status, 404);
  await world.call("POST", "/pipeline-couplings", { body });
  await world.call("DELETE", "/pipelines/shop");
  assert.equal((await world.call("GET", "/apps/shop-staging/pipeline-couplings")).status, 404);
  assert.equal((await world.call("GET", "/apps/shop-staging")).status, 200, "the app stays");
});

test("spec 9.7: a promotion copies the code, keeps the targets' config vars, and says what became of each", async () => {
  await using world = await openWorld();
  const [source, first, second] = [
    await world.deployed("staging"),
    await world.deployed("prod-a"),
    await world.deployed("prod-b"),
  ];
  const { id } = (await world.call("POST", "/pipelines", { body: { name: "shop" } })).json;
  for (const [app, stage] of [
    [source, "staging"],
    [first, "production"],
  ] as const) {
    await world.call("POST", "/pipeline-couplings", { body: { app: app.id, pipeline: id, stage } });
  }
  await world.store.config.change(first.id, { KEPT: "yes" });
  const promote = (targets: readonly { readonly id: string }[]) => {
    const body = {
      pipeline: { id },
      source: { app: { id: source.id } },
      targets: targets.map((app) => ({ app: { id: app.id } })),
    };
    return world.call("POST", "/pipeline-promotions", { body });
  };
  assert.match((await promote([second])).json.message, /prod-b is not in the pipeline shop/);
  assert.match((await promote([source])).json.message, /Cannot promote from an app to itself/);
  assert.equal((await promote([])).status, 422);
  await world.call("POST", "/pipeline-couplings", { body: { app: second.id, pipeline: id, stage: "production" } });
  world.supervision.isHolding = true;
  const made = await promote([first, second]);
  assert.deepEqual([made.status, made.json.status], [201, "pending"]);
  assert.deepEqual(made.json.source.app, { id: source.id });
  const targets = async () => (await world.call("GET", `/pipeline-promotions/${made.json.id}/promotion-targets`)).json;
  assert.deepEqual(
    (await targets()).map((each: { status: string }) => each.status),
    ["pending", "pending"],
  );
  const [a, b] = [await world.store.releases.newest(first.id), await world.store.releases.newest(second.id)];
  assert.equal(a?.description, "Promote staging v3 abcdef01");
  assert.deepEqual(await world.store.releases.config(a.id), { KEPT: "yes" });
  assert.equal((await world.store.slugs.byId(a.slugId ?? ""))?.appId, first.id);
  await world.store.releases.setStatus(b?.id ?? "", "failed", "web.1 exited");
  world.supervision.isHolding = false;
  world.supervision.nudge(first.id);
  const status = async () => (await world.call("GET", `/pipeline-promotions/${made.json.id}`)).json.status;
  await eventually(async () => (await status()) === "completed");
  const ended = (await targets()) as readonly { app: { id: string }; status: string; error_message: string | null }[];
  const of = (app: { id: string }) => ended.find((each) => each.app.id === app.id);
  assert.deepEqual([of(first)?.status, of(first)?.error_message], ["succeeded", null]);
  assert.deepEqual([of(second)?.status, of(second)?.error_message], ["failed", "web.1 exited"]);
  await world.store.apps.remove(source.id);
  assert.equal((await world.store.apps.byId(first.id))?.id, first.id, "what was promoted does not hang on its source");
});

test("a promotion was updated when the last of its targets was", async () => {
  const clock = new SimClock(1_700_000_000_000);
  await using world = await openWorld({ clock });
  const [source, target] = await Promise.all(["one", "two"].map((name) => world.deployed(name)));
  const { id } = (await world.call("POST", "/pipelines", { body: { name: "shop" } })).json;
  for (const app of [source, target])
    await world.call("POST", "/pipeline-couplings", { body: { app: app?.id, pipeline: id, stage: "staging" } });
  world.supervision.isHolding = true;
  const places = { source: { app: { id: source?.id } }, targets: [{ app: { id: target?.id } }] };
  const { json } = await world.call("POST", "/pipeline-promotions", { body: { pipeline: { id }, ...places } });
  assert.equal(json.updated_at, json.created_at);
  clock.jump(60_000);
  const release = await world.store.releases.newest(target?.id ?? "");
  await world.store.releases.setStatus(release?.id ?? "", "failed", "web.1 exited");
  const { created_at, updated_at } = (await world.call("GET", `/pipeline-promotions/${json.id}`)).json;
  assert.equal(Date.parse(updated_at) - Date.parse(created_at), 60_000);
});

test("an app without code has nothing to promote", async () => {
  await using world = await openWorld();
  const { id } = (await world.call("POST", "/pipelines", { body: { name: "shop" } })).json;
  for (const name of ["empty", "target"]) {
    await world.call("POST", "/apps", { body: { name } });
    await world.call("POST", "/pipeline-couplings", { body: { app: name, pipeline: "shop", stage: "staging" } });
  }
  const body = { pipeline: { id }, source: { app: { id: "empty" } }, targets: [{ app: { id: "target" } }] };
  const { status, json } = await world.call("POST", "/pipeline-promotions", { body });
  assert.equal(status, 422);
  assert.match(json.message, /empty has no release with code/);
});
