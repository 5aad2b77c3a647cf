import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../../test/support/api-world.ts";
import { parseAppManifest } from "../../model/app-manifest.ts";
import { healthOf, NOT_PROBED } from "../../model/health.ts";
import { parseChecks } from "../../model/health-check.ts";

/** Promise of docs/dynos.md, "Health checks": what app.json says can be replaced for the app, and taken back. */
let world: World;
before(async () => {
  world = await openWorld();
});
after(() => world[Symbol.asyncDispose]());

const path = (app: string, type = "web") => `/apps/${app}/formation/${type}/health-checks`;

async function withManifest(name: string, text: string) {
  const app = await world.deployed(name);
  const release = await world.store.releases.newest(app.id);
  const slug = (await world.store.slugs.byId(release?.slugId ?? "")) ?? assert.fail();
  const next = await world.store.slugs.create({ ...slug, manifest: parseAppManifest(text) });
  const { id: userId } = world.user;
  const made = { appId: app.id, slugId: next.id, description: "Deploy", userId, status: "pending" } as const;
  await world.store.releases.create(made);
  await world.supervision.settleAll(app.id);
  return app;
}

test("what app.json says is shown with every default; PUT stands for it, DELETE gives it back", async () => {
  await withManifest("shown", '{"healthchecks": {"web": [{"type": "readiness", "path": "/up"}]}}');
  const first = (await world.call("GET", path("shown"))).json;
  assert.deepEqual([first.type, first.source, first.dynos], ["web", "app.json", []]);
  assert.deepEqual(first.checks, [
    {
      attempts: 3,
      command: null,
      content: null,
      httpHeaders: [],
      initialDelay: 0,
      name: null,
      path: "/up",
      status: null,
      successes: 1,
      timeout: 5,
      type: "readiness",
      wait: 5,
    },
  ]);
  const command = ["bin/check", "--fast"];
  const put = await world.call("PUT", path("shown"), {
    body: { checks: [...first.checks, { type: "liveness", command }] },
  });
  assert.equal(put.status, 200, put.text);
  assert.deepEqual([put.json.source, put.json.checks.length, put.json.checks[1].command], ["app", 2, command]);
  const again = await world.call("PUT", path("shown"), { body: { checks: put.json.checks } });
  assert.deepEqual(again.json.checks, put.json.checks, "what is shown can be given");
  const none = await world.call("PUT", path("shown"), { body: { checks: [] } });
  assert.deepEqual([none.json.source, none.json.checks], ["app", []]);
  const cleared = await world.call("DELETE", path("shown"));
  assert.deepEqual([cleared.json.source, cleared.json.checks], ["app.json", first.checks]);
  const app = await world.store.apps.find("shown");
  const said = world.logs.textOf(app?.id ?? "").filter((line: string) => line.includes("health checks"));
  assert.deepEqual(said, [
    "app[api]: Set 2 health checks of web by user owner@example.com",
    "app[api]: Set 2 health checks of web by user owner@example.com",
    "app[api]: Set 0 health checks of web by user owner@example.com",
    "app[api]: Cleared health checks of web by user owner@example.com",
  ]);
});

test("what cannot be is refused in a sentence, and nothing is changed", async () => {
  await world.deployed("refusing");
  const put = (checks: unknown, type = "web") => world.call("PUT", path("refusing", type), { body: { checks } });
  const one = await put([{ type: "liveness", path: "/ HTTP/1.1\r\nX: y" }]);
  assert.equal(one.status, 422);
  assert.match(one.json.message, /^checks\[0\] has a "path" that is no text that starts with/);
  assert.match((await put([{ type: "liveness", path: "/" }], "worker")).json.message, /only web dynos have a port/);
  assert.match((await put([{ type: "liveness", path: "/", port: 22 }])).json.message, /checks go to \$PORT/);
  assert.equal((await put({})).status, 422);
  assert.equal((await put([], "nosuch")).status, 404);
  assert.equal((await world.call("GET", path("refusing", "__proto__"))).status, 404);
  const { json } = await world.call("GET", path("refusing"));
  assert.deepEqual([json.source, json.checks], ["none", []]);
});

test("the latest result of each dyno", async () => {
  const app = await world.deployed("latest");
  const [dyno] = (await world.store.dynos.list(app.id)).filter(({ name }) => name === "web.1");
  const checks = parseChecks(
    "web",
    [
      { type: "readiness", path: "/up", name: "up" },
      { type: "liveness", command: "x" },
    ],
    "",
  );
  const latest = { passed: false, text: "answered 503", at: Date.UTC(2026, 0, 1) };
  const failing = { verdict: "failing", passes: 0, failures: 4, latest } as const;
  world.supervision.healths = { [dyno?.id ?? ""]: healthOf(checks, [failing, NOT_PROBED]) };
  const { json } = await world.call("GET", path("latest"));
  assert.deepEqual(json.dynos, [
    {
      id: dyno?.id,
      name: "web.1",
      ready: false,
      started: true,
      results: [
        {
          at: "2026-01-01T00:00:00Z",
          check: "GET /up",
          failures: 4,
          name: "up",
          passed: false,
          passes: 0,
          result: "answered 503",
          type: "readiness",
          verdict: "failing",
        },
        {
          at: null,
          check: "`x`",
          failures: 0,
          name: null,
          passed: null,
          passes: 0,
          result: null,
          type: "liveness",
          verdict: "pending",
        },
      ],
    },
  ]);
  await world.store.dynos.update(dyno?.id ?? "", { ready: false });
  const shown = (await world.call("GET", "/apps/latest/dynos")).json;
  assert.deepEqual(
    shown.map((each: { name: string; ready: boolean }) => [each.name, each.ready]),
    [["web.1", false]],
  );
});
