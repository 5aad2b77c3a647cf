import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../../test/support/api-world.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { parseAppManifest } from "../../model/app-manifest.ts";

/** Every answer here is also checked against its schema: the world has `checkResponses` on. */
let world: World;
before(async () => {
  world = await openWorld({ program: async ({ command }) => (command === "fails" ? 3 : 0) });
});
after(() => world[Symbol.asyncDispose]());

test("schedules through the API: made, listed, changed, run, removed, each with a line in the app's log", async () => {
  const app = await world.deployed("hello", { tidy: "node tidy.js" });
  const path = "/apps/hello/schedules";
  const body = { command: "tidy --all", schedule: "0 4 * * *", timezone: "Europe/Berlin" };
  const made = await world.call("POST", path, { body });
  assert.equal(made.status, 201, made.text);
  const { id, created_at: _c, updated_at: _u, next_run_at: next, app: _a, ...rest } = made.json;
  assert.deepEqual(rest, {
    command: "tidy --all",
    concurrency_policy: "forbid",
    enabled: true,
    last_run: null,
    name: "tidy-all",
    running: [],
    schedule: "0 4 * * *",
    size: null,
    source: "api",
    timezone: "Europe/Berlin",
  });
  assert.ok(Date.parse(next) > Date.now());
  assert.equal((await world.call("POST", path, { body })).json.name, "tidy-all-2", "a name is made up");
  const taken = await world.call("POST", path, { body: { ...body, name: "tidy-all" } });
  assert.deepEqual([taken.status, taken.json.id], [422, "invalid_params"]);

  const changed = await world.call("PATCH", `${path}/${id}`, {
    body: { enabled: false, name: "tidy", command: "fails" },
  });
  assert.deepEqual(
    [changed.json.enabled, changed.json.name, changed.json.next_run_at, changed.json.timezone],
    [false, "tidy", null, "Europe/Berlin"],
  );
  const run = await world.call("POST", `${path}/tidy/runs`);
  assert.equal(run.status, 201, run.text);
  assert.deepEqual([run.json.outcome, run.json.due_at, run.json.schedule.name], ["started", null, "tidy"]);
  await eventually(async () => (await world.call("GET", `${path}/tidy`)).json.last_run.exit_status === 3);
  const runs = await world.call("GET", `${path}/tidy/runs`);
  assert.deepEqual(
    runs.json.map((each: { dyno: { name: string } }) => each.dyno.name),
    [run.json.dyno.name],
  );

  assert.equal((await world.call("DELETE", `${path}/tidy`)).json.id, id);
  assert.equal((await world.call("GET", `${path}/tidy`)).status, 404);
  assert.deepEqual(
    (await world.call("GET", path)).json.map((each: { name: string }) => each.name),
    ["tidy-all-2"],
  );
  const said = world.logs.textOf(app.id).filter((line) => line.startsWith("app[api]"));
  assert.deepEqual(said, [
    "app[api]: Add schedule tidy-all (0 4 * * * Europe/Berlin) by user owner@example.com",
    "app[api]: Add schedule tidy-all-2 (0 4 * * * Europe/Berlin) by user owner@example.com",
    "app[api]: Update schedule tidy (0 4 * * * Europe/Berlin, off) by user owner@example.com",
    "app[api]: Starting process with command `fails` by user owner@example.com",
    "app[api]: Remove schedule tidy by user owner@example.com",
  ]);
});

for (const [body, why] of [
  [{ schedule: "@daily" }, /command/],
  [{ command: "x", schedule: "often" }, /^Invalid parameters: schedule "often" has one field/],
  [{ command: "x", schedule: "* * * * *", timezone: "Moon" }, /^Invalid parameters: timezone "Moon" is not known/],
  [{ command: "x", schedule: "* * * * *", size: "huge" }, /^Invalid parameters: size "huge" is no dyno size/],
  [{ command: "x", schedule: "* * * * *", overlap: true }, /overlap|additional/],
] as const)
  test(`a schedule ${JSON.stringify(body)} is refused in words`, async () => {
    const name = `no-${Math.abs(JSON.stringify(body).length)}-app`;
    await world.deployed(name);
    const answer = await world.call("POST", `/apps/${name}/schedules`, { body });
    assert.equal(answer.status, 422, answer.text);
    assert.match(answer.json.message, why);
  });

test("a schedule of app.json is shown, and changed nowhere but there", async () => {
  const app = await world.deployed("filed");
  const manifest = parseAppManifest('{"cron": [{"command": "x", "schedule": "@yearly", "name": "x"}]}');
  const slug = await world.store.slugs.create({
    appId: app.id,
    digest: "1".repeat(64),
    sizeBytes: 1,
    processTypes: {},
    stack: "debian-12",
    commit: null,
    buildpackDescription: null,
    manifest,
  });
  const release = { appId: app.id, slugId: slug.id, description: "Deploy", userId: world.user.id } as const;
  await world.store.releases.create({ ...release, status: "pending" });
  await world.supervision.settleAll(app.id);
  const [schedule] = (await world.call("GET", "/apps/filed/schedules")).json;
  assert.deepEqual([schedule.name, schedule.source], ["x", "app.json"]);
  for (const [method, body] of [
    ["PATCH", { enabled: false }],
    ["DELETE", undefined],
  ] as const) {
    const answer = await world.call(method, "/apps/filed/schedules/x", { body });
    assert.deepEqual(
      [answer.status, answer.json.message],
      [422, "x is in the app's app.json: change it there, and deploy."],
    );
  }
  const own = await world.call("POST", "/apps/filed/schedules", {
    body: { command: "y", schedule: "@daily", name: "x" },
  });
  assert.equal(own.status, 201);
  assert.match(
    (await world.call("GET", "/apps/filed/schedules/x")).json.message,
    /^2 schedules are called x; name one by its id/,
  );
});

test("an app without code runs nothing", async () => {
  await world.call("POST", "/apps", { body: { name: "empty" } });
  await world.call("POST", "/apps/empty/schedules", { body: { command: "x", schedule: "@daily" } });
  const answer = await world.call("POST", "/apps/empty/schedules/x/runs");
  assert.equal(answer.status, 422);
  assert.match(answer.json.message, /empty has no code to run yet/);
});
