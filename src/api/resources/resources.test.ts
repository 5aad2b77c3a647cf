import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, afterEach, before, test } from "node:test";
import { type Answer, openWorld, type World } from "../../../test/support/api-world.ts";
import { dynoRecord } from "../../../test/support/dyno.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { NO_MANIFEST } from "../../model/app-manifest.ts";

/** Every answer here is also checked against its schema: the world has `checkResponses` on. */
let world: World;
before(async () => {
  world = await openWorld();
});
after(() => world[Symbol.asyncDispose]());
afterEach(() => {
  world.supervision.isHolding = false;
});

let number = 0;
const newName = () => `app-${++number}`;
const get = (path: string, range?: string) =>
  world.call("GET", path, range === undefined ? {} : { headers: { Range: range } });
const post = (path: string, body?: unknown) => world.call("POST", path, { body });
const patch = (path: string, body: unknown) => world.call("PATCH", path, { body });
const logOf = async (name: string) => world.logs.textOf((await world.store.apps.find(name))?.id ?? "");
const refused = (answer: Answer, pattern: RegExp) => {
  assert.equal(answer.status, 422, answer.text);
  assert.equal(answer.json.id, "invalid_params");
  assert.match(answer.json.message, pattern);
};

test("apps: created with what clients need, listed, renamed with their domain, destroyed with all that was kept", async () => {
  const name = newName();
  const made = await post("/apps", { name, region: "us", kernel: "ignored" });
  assert.equal(made.status, 201);
  const { json } = made;
  assert.deepEqual([json.name, json.create_status, json.acm, json.region.name], [name, "complete", false, "us"]);
  assert.deepEqual(
    [json.stack.name, json.build_stack.name, json.owner.email],
    ["debian-12", "debian-12", "owner@example.com"],
  );
  assert.equal(json.web_url, `http://${name}.localhost:8080/`);
  assert.equal(json.git_url, `${world.url}/${name}.git`);
  assert.deepEqual(await logOf(name), [
    "app[api]: Initial release by user owner@example.com",
    "app[api]: Release v1 created by user owner@example.com",
    "app[api]: Enable Logplex by user owner@example.com",
    "app[api]: Release v2 created by user owner@example.com",
  ]);
  assert.equal((await get(`/apps/${json.id}`)).json.name, name);
  assert.ok((await get("/users/~/apps")).json.some((app: { name: string }) => app.name === name));
  assert.deepEqual((await post("/filters/apps", { in: { id: [json.id] } })).json.length, 1);

  const renamed = await patch(`/apps/${name}`, { name: `${name}-b` });
  assert.equal(renamed.json.name, `${name}-b`);
  assert.deepEqual((await get(`/apps/${name}-b/domains`)).json[0].hostname, `${name}-b.localhost`);
  assert.equal((await get(`/apps/${name}`)).status, 404);

  assert.equal((await world.call("DELETE", `/apps/${name}-b`)).json.name, `${name}-b`);
  assert.equal((await get(`/apps/${name}-b`)).status, 404);
  await eventually(() => world.supervision.asked.includes(`removeApp ${json.id}`));
});

test("apps: names are found, and bad ones, taken ones, other stacks and other regions refused", async () => {
  const made = await post("/apps", {});
  assert.match(made.json.name, /^[a-z]+-[a-z]+-\d{5}$/);
  refused(await post("/apps", { name: made.json.name }), /already taken/);
  refused(await post("/apps", { name: "Not a name" }), /Name must start with a letter/);
  refused(await post("/apps", { name: newName(), stack: "heroku-24" }), /Available stacks: debian-12/);
  refused(await post("/apps", { name: newName(), region: "eu" }), /region \(eu\)/);
  refused(await patch(`/apps/${made.json.name}`, { build_stack: "container" }), /stack \(container\)/);
});

test("egress rules: added, listed, taken away; the engine is told each time, and what is no rule is refused", async () => {
  const { name, id } = await world.deployed(newName());
  const path = `/apps/${name}/egress-rules`;
  const all = (await post(path, { action: "deny", cidr: "0.0.0.0/0" })).json;
  assert.deepEqual([all.action, all.cidr, all.port, all.app.name], ["deny", "0.0.0.0/0", null, name]);
  const one = await post(path, { action: "allow", cidr: "203.0.113.0/24", port: 443 });
  assert.equal(one.status, 201);
  assert.deepEqual((await get(path)).json.map((rule: { cidr: string }) => rule.cidr).toSorted(), [
    "0.0.0.0/0",
    "203.0.113.0/24",
  ]);
  const asked = () => world.supervision.asked.filter((each) => each.startsWith(`setEgress ${id}`)).at(-1) ?? "";
  assert.match(asked(), /deny 0\.0\.0\.0\/0:null, allow 203\.0\.113\.0\/24:443/);
  refused(await post(path, { action: "deny", cidr: "0.0.0.0/0" }), /has this rule already/);
  refused(await post(path, { action: "deny", cidr: "10.0.0.1/8" }), /10\.0\.0\.1\/8 is written 10\.0\.0\.0\/8/);
  refused(await post(path, { action: "deny", cidr: "example.com; flush ruleset" }), /is not an IPv4 block/);
  refused(await post(path, { action: "deny", cidr: "10.0.0.0/8", port: 70_000 }), /70000 is not a port/);
  assert.ok((await post(path, { action: "route", cidr: "10.0.0.0/8" })).status >= 400);
  assert.equal((await world.call("DELETE", `${path}/${all.id}`)).json.id, all.id);
  assert.doesNotMatch(asked(), /0\.0\.0\.0\/0/);
  assert.equal((await world.call("DELETE", `${path}/${all.id}`)).status, 404);
});

test("maintenance", async () => {
  const { name } = await world.deployed(newName());
  assert.equal((await patch(`/apps/${name}`, { maintenance: true })).json.maintenance, true);
  assert.equal((await world.store.apps.find(name))?.maintenance, true);
});

test("spec 4.5: several config vars in one call are one release; the answer is all of them", async () => {
  const { name } = await world.deployed(newName());
  const path = `/apps/${name}/config-vars`;
  assert.deepEqual((await patch(path, { B: "2", A: "1" })).json, { A: "1", B: "2" });
  await eventually(async () => (await get(`/apps/${name}/releases/4`)).json.status === "succeeded");
  assert.deepEqual((await patch(path, { A: null, GONE: null, C: "" })).json, { B: "2", C: "" });
  const newest = await get(`/apps/${name}/releases`, "version ..; order=desc,max=1");
  assert.deepEqual([newest.status, newest.json.length, newest.json[0].version], [206, 1, 5]);
  assert.equal(newest.json[0].description, "Set C and remove A config vars");
  assert.deepEqual((await get(`/apps/${name}/releases/4/config-vars`)).json, { A: "1", B: "2" });
  assert.ok((await logOf(name)).includes("app[api]: Set B, A config vars by user owner@example.com"));
  await patch(path, { B: "2", NEVER_THERE: null });
  assert.equal((await get(`/apps/${name}/releases`)).json.length, 5, "nothing changed: no release");
  refused(await patch(path, { "not-a-name": "1" }), /not-a-name/);
  refused(await patch(path, { A: 1 }), /A/);
});

test("isolation: a change is a release with the app's code, and only its dynos run with it; asked again it is none", async () => {
  const app = await world.deployed(newName());
  const path = `/apps/${app.name}/stator/isolation`;
  const choices = [
    { name: "container", refusal: null },
    { name: "gvisor", refusal: null },
  ];
  assert.deepEqual((await get(path)).json, { isolation: "container", current: "container", choices });
  world.supervision.isHolding = true;
  assert.deepEqual((await patch(path, { isolation: "gvisor" })).json, {
    isolation: "gvisor",
    current: "container",
    choices,
  });
  assert.equal((await get(`/apps/${app.name}`)).json.isolation, "gvisor");
  const releases = await world.store.releases.list(app.id);
  assert.deepEqual(
    releases.map(({ version, isolation, status }) => [version, isolation, status]),
    [
      [4, "gvisor", "pending"],
      [3, "container", "succeeded"],
      [2, "container", "succeeded"],
      [1, "container", "succeeded"],
    ],
  );
  assert.deepEqual([releases[0]?.slugId, releases[0]?.description], [releases[1]?.slugId, "Set isolation to gvisor"]);
  assert.ok((await logOf(app.name)).includes("app[api]: Set isolation to gvisor by user owner@example.com"));
  await patch(path, { isolation: "gvisor" });
  assert.equal((await get(`/apps/${app.name}/releases`)).json.length, 4, "nothing changed: no release");
  world.supervision.isHolding = false;
  await patch(`/apps/${app.name}/config-vars`, { A: "1" });
  assert.equal((await world.store.releases.newest(app.id))?.isolation, "gvisor", "later releases keep it");
});

test("isolation: a word that is none is refused, and a class that the machine cannot give, with what to do; nothing is changed", async () => {
  await using other = await openWorld();
  other.supervision.isolationRefusals.gvisor = "runsc is not installed: stator isolation:install.";
  const { name } = await other.deployed("walls");
  const path = `/apps/${name}/stator/isolation`;
  for (const isolation of ["kvm", "", "GVISOR", "--platform=kvm"])
    refused(await other.call("PATCH", path, { body: { isolation } }), /container or gvisor/);
  refused(await other.call("PATCH", path, { body: { isolation: "gvisor" } }), /stator isolation:install/);
  const { json } = await other.call("GET", path);
  assert.deepEqual(
    [json.isolation, json.choices[1].refusal],
    ["container", "runsc is not installed: stator isolation:install."],
  );
  assert.equal((await other.store.releases.list((await other.store.apps.find(name))?.id ?? "")).length, 3);
});

test("a changed config var is a pending release at once; the next takes its code on", async () => {
  const app = await world.deployed(newName());
  world.supervision.isHolding = true;
  await patch(`/apps/${app.name}/config-vars`, { A: "1" });
  const [release] = (await get(`/apps/${app.name}/releases`, "version ..; order=desc,max=1")).json;
  assert.deepEqual([release.version, release.status, release.current], [4, "pending", false]);
  const slug = await world.store.slugs.create({ ...SLUG, appId: app.id, digest: "1".repeat(64) });
  await world.store.releases.create({
    appId: app.id,
    slugId: slug.id,
    description: "Deploy",
    userId: app.ownerId,
    status: "pending",
  });
  await patch(`/apps/${app.name}/config-vars`, { A: "2" });
  const [newest] = (await get(`/apps/${app.name}/releases`, "version ..; order=desc,max=1")).json;
  assert.deepEqual([newest.version, newest.slug.id], [6, slug.id]);
});

test("an app without code: config vars make releases that succeed at once", async () => {
  const name = newName();
  await post("/apps", { name });
  await patch(`/apps/${name}/config-vars`, { A: "1" });
  const { json } = await get(`/apps/${name}/releases/v3`);
  assert.deepEqual(
    [json.status, json.current, json.slug, json.eligible_for_rollback],
    ["succeeded", true, null, false],
  );
});

test("spec 9.6: a rollback is a new release with the old code and the old config vars", async () => {
  const { name } = await world.deployed(newName());
  await patch(`/apps/${name}/config-vars`, { A: "1" });
  await eventually(async () => (await get(`/apps/${name}/releases/4`)).json.current);
  const [, , v3] = (await get(`/apps/${name}/releases`)).json;
  assert.equal(v3.eligible_for_rollback, true);
  const made = await post(`/apps/${name}/releases`, { release: v3.id });
  assert.deepEqual([made.status, made.json.version, made.json.description], [201, 5, "Rollback to v3"]);
  assert.deepEqual((await get(`/apps/${name}/config-vars`)).json, {});
  assert.ok((await logOf(name)).includes("app[api]: Rollback to v3 by user owner@example.com"));
  const [v1] = (await get(`/apps/${name}/releases`)).json;
  refused(await post(`/apps/${name}/releases`, { release: v1.id }), /no code/);
  refused(await post(`/apps/${name}/releases`, {}), /release to roll back to/);
  const other = await world.deployed(newName());
  const [foreign] = await world.store.releases.list(other.id);
  assert.equal((await post(`/apps/${name}/releases`, { release: foreign?.id })).status, 404);
  assert.equal((await get(`/apps/${name}/releases/99`)).json.resource, "release");
});

test("spec 9.6: a release that is still coming up can be rolled back too: clients take the second newest", async () => {
  const { name } = await world.deployed(newName());
  world.supervision.isHolding = true;
  await patch(`/apps/${name}/config-vars`, { A: "1" });
  const list = (await get(`/apps/${name}/releases`, "version ..; order=desc,max=10")).json;
  const eligible = list.filter((release: { eligible_for_rollback: boolean }) => release.eligible_for_rollback);
  assert.deepEqual([eligible[0].status, eligible[1].version, eligible[1].current], ["pending", 3, true]);
  const made = await post(`/apps/${name}/releases`, { release: eligible[1].id });
  assert.deepEqual([made.status, made.json.description], [201, "Rollback to v3"]);
  assert.deepEqual((await get(`/apps/${name}/config-vars`)).json, {});
});

test("a slug can be seen and released again", async () => {
  const { name } = await world.deployed(newName());
  const { slug } = (await get(`/apps/${name}/releases/3`)).json;
  const { json } = await get(`/apps/${name}/slugs/${slug.id}`);
  assert.deepEqual([json.process_types.web, json.commit], ["node server.js", "abcdef0123456789"]);
  const again = await post(`/apps/${name}/releases`, { slug: slug.id, description: "Retry of v3: Deploy" });
  assert.deepEqual([again.json.version, again.json.description], [4, "Retry of v3: Deploy"]);
});

test("platform-api 5.4: quantities as numbers, strings, differences; sizes by name in any case, or id", async () => {
  const { name } = await world.deployed(newName());
  const path = `/apps/${name}/formation`;
  const scaled = async (update: unknown) => {
    const { status, json } = await patch(path, { updates: [{ type: "web", ...(update as object) }] });
    assert.equal(status, 200, JSON.stringify(json));
    return [json[0].quantity, json[0].size, json[0].dyno_size.name];
  };
  assert.deepEqual(await scaled({ quantity: 2 }), [2, "Basic", "Basic"]);
  assert.deepEqual(await scaled({ quantity: "3" }), [3, "Basic", "Basic"]);
  assert.deepEqual(await scaled({ quantity: "+1", size: "standard-2x" }), [4, "Standard-2X", "Standard-2X"]);
  assert.deepEqual(await scaled({ quantity: "-3", dyno_size: { name: "Eco" } }), [1, "Eco", "Eco"]);
  const [basic] = (await get("/dyno-sizes")).json.filter((size: { name: string }) => size.name === "Basic");
  assert.deepEqual(await scaled({ dyno_size: { id: basic.id } }), [1, "Basic", "Basic"]);
  const one = await patch(`${path}/worker`, { quantity: 2 });
  assert.deepEqual([one.json.type, one.json.quantity, one.json.command], ["worker", 2, "node worker.js"]);
  assert.equal((await get(`${path}/${one.json.id}`)).json.type, "worker");
  assert.equal((await logOf(name)).at(-1), "app[api]: Scaled to web@1:Basic worker@2:Basic by user owner@example.com");
  refused(await patch(path, { updates: [{ type: "nope", quantity: 1 }] }), /Couldn't find that process type \(nope\)/);
  refused(await patch(path, { updates: [{ type: "web", quantity: "many" }] }), /2, \+1 or -1/);
  refused(await patch(path, { updates: [{ type: "web", quantity: "-5" }] }), /Cannot scale web to -4/);
  refused(await patch(path, { updates: [{ type: "web", size: "huge" }] }), /size \(huge\)/);
  refused(await patch(path, { updates: [{ type: "web", docker_image: "sha256:0" }] }), /git push/);
  const both = [
    { type: "web", quantity: 5 },
    { type: "nope", quantity: 1 },
  ];
  refused(await patch(path, { updates: both }), /nope/);
  assert.equal((await get(`${path}/web`)).json.quantity, 1, "all of a batch, or nothing");
});

test("dynos: listed, seen by name and id, restarted and stopped by name, type and all", async () => {
  const { name } = await world.deployed(newName());
  const [web] = (await get(`/apps/${name}/dynos`)).json;
  assert.deepEqual([web.name, web.type, web.state, web.size, web.release.version], ["web.1", "web", "up", "Basic", 3]);
  assert.equal((await get(`/apps/${name}/dynos/${web.id}`)).json.name, "web.1");
  assert.equal((await get(`/apps/${name}/dynos/web.9`)).json.resource, "dyno");
  const timeline = await get(`/apps/${name}/dynos/web.9/start-timeline`);
  assert.equal(timeline.json.resource, "dyno");
  const { asked } = world.supervision;
  asked.length = 0;
  for (const [method, path] of [
    ["DELETE", "/dynos"],
    ["DELETE", "/dynos/web.1"],
    ["DELETE", "/formations/web"],
    ["POST", "/dynos/web.1/actions/stop"],
    ["POST", "/formations/web/actions/stop"],
  ] as const) {
    assert.equal((await world.call(method, `/apps/${name}${path}`)).status, 202, path);
  }
  assert.deepEqual(asked, ["restart all", "restart web.1", "restart web", "stop web.1", "stop web"]);
  assert.equal((await world.call("DELETE", `/apps/${name}/formations/nope`)).status, 404);
});

test("how an app's dynos live: seen, changed in part, told in the log; what is unknown or out of range is refused", async () => {
  const { id, name } = await world.deployed(newName());
  const path = `/apps/${name}/runtime`;
  const { updated_at, ...before } = (await get(path)).json;
  const defaults = { boot_timeout: 60, preboot_delay: 120, stop_grace: 30, restart_policy: "steady", rollout: "surge" };
  const others = { release_timeout: 3600, daily_cycling: false, cycling_hour: null, sleep_after: null };
  assert.deepEqual(before, { app: { id, name }, asleep_since: null, ...defaults, ...others });
  const change = { boot_timeout: 90, preboot_delay: 0, restart_policy: "heroku", daily_cycling: true, cycling_hour: 3 };
  assert.deepEqual({ ...(await patch(path, change)).json, updated_at }, { updated_at, ...before, ...change });
  const said =
    "Set runtime boot-timeout=90 preboot-delay=0 restart-policy=heroku daily-cycling=true cycling-hour=3 by user ";
  assert.ok((await logOf(name)).some((line) => line.startsWith(`app[api]: ${said}`)));
  for (const bad of [{ boot_timeout: 0 }, { preboot_delay: 1801 }, { cycling_hour: 24 }])
    refused(await patch(path, bad), /say a number from/);
  for (const bad of [{ rollout: "never" }, { restart_policy: null }, { daily_cycling: "maybe" }, { no_such: 1 }]) {
    assert.ok((await patch(path, bad)).status >= 400, JSON.stringify(bad));
  }
  assert.deepEqual({ ...(await get(path)).json, updated_at }, { updated_at, ...before, ...change });
});

test("the dynos of an app that sleeps are shown as idle, by name and id, and can be restarted", async () => {
  const { id, name } = await world.deployed(newName());
  const release = (await world.store.apps.byId(id))?.currentReleaseId ?? assert.fail();
  await world.store.apps.sleep(id);
  const idle = {
    ...dynoRecord({ id: randomUUID(), appId: id, releaseId: release, name: "web.9" }, Date.now()),
    state: "idle",
  } as const;
  world.supervision.asleep = [idle];
  const shown = (await get(`/apps/${name}/dynos`)).json as unknown as readonly { name: string; state: string }[];
  assert.deepEqual(
    shown.filter((each) => each.state === "idle").map((each) => each.name),
    ["web.9"],
  );
  for (const wanted of ["web.9", idle.id])
    assert.equal((await get(`/apps/${name}/dynos/${wanted}`)).json.state, "idle");
  assert.equal((await world.call("DELETE", `/apps/${name}/dynos/web.9`)).status, 202);
  assert.equal((await world.call("POST", `/apps/${name}/dynos/web.9/actions/stop`)).status, 202);
  for (const inVain of [
    await get(`/apps/${name}/dynos/web.9/start-timeline`),
    await world.call("POST", `/apps/${name}/dynos/web.9`, { body: { command: "ls" } }),
    await world.call("POST", `/apps/${name}/dynos/${idle.id}`, { body: { file: "Procfile" } }),
  ]) {
    assert.deepEqual([inVain.status, inVain.json.resource], [404, "dyno"]);
    assert.equal(inVain.json.message, `web.9 does not run: ${name} sleeps. A request, or ps:restart, wakes it.`);
  }
  await world.store.apps.wake(id);
  assert.equal((await get(`/apps/${name}/dynos/web.9`)).status, 404);
  world.supervision.asleep = [];
});

test("when an app sleeps: from 0 to a week of minutes, or null; since when it does is shown, and cannot be set", async () => {
  const { id, name } = await world.deployed(newName());
  const path = `/apps/${name}/runtime`;
  for (const sleep_after of [30, 0, 10_080, null])
    assert.equal((await patch(path, { sleep_after })).json.sleep_after, sleep_after);
  assert.ok((await logOf(name)).some((line) => line.startsWith("app[api]: Set runtime sleep-after=none by user ")));
  for (const sleep_after of [-1, 10_081]) refused(await patch(path, { sleep_after }), /say a number from 0 to 10080/);
  for (const bad of [{ sleep_after: "soon" }, { sleep_after: 1.5 }, { asleep_since: null }])
    assert.ok((await patch(path, bad)).status >= 400, JSON.stringify(bad));
  await world.store.apps.sleep(id);
  assert.match((await get(path)).json.asleep_since, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  await world.store.apps.wake(id);
  assert.equal((await get(path)).json.asleep_since, null);
});

test("spec 3.9: ended one-off dynos leave the list and stay readable with their exit status", async () => {
  const app = await world.deployed(newName());
  const run = (await post(`/apps/${app.name}/dynos`, { command: "false" })).json;
  await world.supervision.exited(run.id, AbortSignal.timeout(10_000));
  await world.store.dynos.update(run.id, { exit: { at: 5, status: 3 } });
  const listed = (await get(`/apps/${app.name}/dynos`)).json;
  assert.ok(!listed.some(({ id }: { id: string }) => id === run.id));
  const [ended, ...rest] = (await get(`/apps/${app.name}/ended-dynos`)).json;
  assert.deepEqual([ended.name, ended.exit_status, ended.type, rest], [run.name, 3, "run", []]);
});

test("who asks how a dyno ended is answered once it has, or when they have waited long enough", async () => {
  const app = await world.deployed(newName());
  const [web] = (await get(`/apps/${app.name}/dynos`)).json;
  const path = `/apps/${app.name}/dynos/${web.id}/exit`;
  const nothing = { ended_at: null, exit_status: null, id: web.id, name: "web.1" };
  assert.deepEqual((await get(path)).json, nothing);
  const since = performance.now();
  assert.deepEqual((await get(`${path}?wait=1`)).json, nothing);
  assert.ok(performance.now() - since > 900, "it has waited");
  await world.store.dynos.update(web.id, { exit: { at: 5, status: null } });
  assert.deepEqual((await get(path)).json, { ...nothing, ended_at: "1970-01-01T00:00:00Z" }, "nobody saw it end");
  const run = (await post(`/apps/${app.name}/dynos`, { command: "false" })).json;
  const { json: exit } = await get(`/apps/${app.name}/dynos/${run.id}/exit?wait=60`);
  assert.deepEqual([exit.id, exit.name, exit.exit_status], [run.id, run.name, 0]);
  assert.notEqual(exit.ended_at, null);
  for (const wait of ["61", "-1", "1.5", "", "1e1", "soon"])
    assert.equal((await get(`/apps/${app.name}/dynos/${run.id}/exit?wait=${wait}`)).status, 400, wait);
  assert.equal((await get(`/apps/${app.name}/dynos/web.7/exit`)).status, 404);
});

test("of calls that wait for ends 50 of one user's are held at a time: the next is told so, and who leaves makes room", async () => {
  const app = await world.deployed(newName());
  const [web] = (await get(`/apps/${app.name}/dynos`)).json;
  const path = `/apps/${app.name}/dynos/${web.id}/exit`;
  const gone = new AbortController();
  const headers = { Accept: "application/vnd.heroku+json; version=3", Authorization: `Bearer ${world.token}` };
  const waiting = Array.from({ length: 50 }, () =>
    fetch(`${world.url}${path}?wait=60`, { headers, signal: gone.signal }).catch(() => "left"),
  );
  await eventually(async () => (await get(`${path}?wait=1`)).status !== 200);
  const one = await get(`${path}?wait=1`);
  assert.deepEqual([one.status, one.json.id], [429, "rate_limit"]);
  assert.match(one.json.message, /50 of your calls wait/);
  assert.equal((await get(path)).status, 200, "who does not wait is answered");
  gone.abort();
  assert.deepEqual(new Set(await Promise.all(waiting)), new Set(["left"]));
  await eventually(async () => (await get(`${path}?wait=1`)).status === 200);
});

test("after a failed release the dynos that run carry its number, so that ps:wait ends; not while one is pending", async () => {
  const app = await world.deployed(newName());
  const shown = async () => {
    const [web] = (await get(`/apps/${app.name}/dynos`)).json;
    return [web.release.id, web.release.version];
  };
  assert.deepEqual(await shown(), [app.currentReleaseId, 3]);
  const release = { appId: app.id, slugId: null, description: "Deploy", userId: world.user.id } as const;
  const bad = await world.store.releases.create({ ...release, status: "pending" });
  assert.deepEqual(await shown(), [app.currentReleaseId, 3]);
  await world.store.releases.setStatus(bad.id, "failed", "web.1 exited with status 1 before it came up");
  assert.deepEqual(await shown(), [app.currentReleaseId, 4]);
});

test("domains: the app's own name stays; custom ones are added and removed, others' and ours refused", async () => {
  const { name } = await world.deployed(newName());
  const path = `/apps/${name}/domains`;
  const host = `www.${name}.example.com`;
  const added = await post(path, { hostname: host.toUpperCase(), sni_endpoint: null });
  assert.deepEqual(
    [added.status, added.json.hostname, added.json.kind, added.json.status],
    [201, host, "custom", "none"],
  );
  assert.equal(added.json.cname, `${name}.localhost`);
  assert.equal((await get(`${path}/${host}`)).json.id, added.json.id);
  const other = await world.deployed(newName());
  refused(await post(`/apps/${other.name}/domains`, { hostname: host }), /in use/);
  for (const bad of ["free.localhost", "localhost", "no host", "127.0.0.1/x", "-"])
    refused(await post(path, { hostname: bad }), /./);
  refused(await post(path, { hostname: "x.example.com", sni_endpoint: "crt" }), /crt/);
  assert.equal((await world.call("DELETE", `${path}/${host}`)).json.hostname, host);
  refused(await world.call("DELETE", `${path}/${name}.localhost`), /own name/);
});

test("features say what is so, and refuse what would do nothing", async () => {
  const { name } = await world.deployed(newName());
  const path = `/apps/${name}/features`;
  const all = (await get(path)).json.map((each: { name: string; enabled: boolean }) => [each.name, each.enabled]);
  assert.deepEqual(Object.fromEntries(all), {
    "daily-cycling": false,
    "http-end-to-end-continue": false,
    "http-session-affinity": false,
    "log-runtime-metrics": false,
    preboot: true,
    "runtime-dyno-build-metadata": true,
    "runtime-dyno-metadata": true,
    "runtime-heroku-exec": true,
  });
  assert.equal((await patch(`${path}/preboot`, { enabled: true })).json.enabled, true);
  refused(await patch(`${path}/runtime-dyno-metadata`, { enabled: false }), /cannot be turned off/);
  assert.equal((await patch(`${path}/http-session-affinity`, { enabled: true })).json.enabled, true);
  assert.equal((await get(`${path}/nope`)).json.resource, "app_feature");
  assert.equal((await patch(`${path}/nope`, { enabled: true })).status, 404);
  assert.equal((await get("/account/features/nope")).status, 404);
});

test("spec 12, 3.5, 3.7: preboot and daily cycling are words for the app's settings", async () => {
  const { name } = await world.deployed(newName());
  const turned = async (feature: string, enabled: boolean) =>
    (await patch(`/apps/${name}/features/${feature}`, { enabled })).json.enabled;
  const runtime = async () => (await get(`/apps/${name}/runtime`)).json;
  assert.equal(await turned("preboot", false), false);
  assert.equal((await runtime()).rollout, "stop-start");
  assert.equal(await turned("preboot", true), true);
  assert.equal((await runtime()).rollout, "surge");
  assert.equal(await turned("daily-cycling", true), true);
  assert.equal((await runtime()).daily_cycling, true);
  await patch(`/apps/${name}/runtime`, { daily_cycling: false });
  assert.equal((await get(`/apps/${name}/features/daily-cycling`)).json.enabled, false);
});

test("spec 12: a feature is turned on and off for one app, and the log says by whom", async () => {
  const { name } = await world.deployed(newName());
  const other = await world.deployed(newName());
  const path = `/apps/${name}/features/log-runtime-metrics`;
  assert.deepEqual([(await get(path)).json.enabled, (await get(path)).json.state], [false, "beta"]);
  const on = await patch(path, { enabled: true });
  assert.deepEqual([on.status, on.json.enabled], [200, true]);
  await patch(path, { enabled: true });
  assert.equal((await get(`/apps/${name}/features/${on.json.id}`)).json.enabled, true, "by its id too");
  assert.equal((await get(`/apps/${other.name}/features/log-runtime-metrics`)).json.enabled, false);
  assert.equal((await patch(path, { enabled: false })).json.enabled, false);
  const said = (await logOf(name)).filter((line) => line.includes("log-runtime-metrics"));
  assert.deepEqual(said, [
    "app[api]: Enable log-runtime-metrics feature by user owner@example.com",
    "app[api]: Disable log-runtime-metrics feature by user owner@example.com",
  ]);
  refused(await patch(path, { enabled: "yes" }), /enabled/);
});

test("authorizations: made with scope and expiry, shown once, listed redacted, revoked", async () => {
  const made = await post("/oauth/authorizations", { description: "ci", expires_in: "3600", scope: ["read", "read"] });
  assert.deepEqual([made.status, made.json.scope, made.json.access_token.expires_in], [201, ["read"], 3600]);
  const { token } = made.json.access_token;
  assert.match(token, /^HRKU-/);
  assert.equal((await world.call("GET", "/apps", { token })).status, 200);
  const found = (await get("/oauth/authorizations")).json.find((each: { id: string }) => each.id === made.json.id);
  assert.match(found.access_token.token, /\*{10}/);
  assert.ok(!JSON.stringify(found).includes(token));
  assert.deepEqual((await post("/oauth/authorizations", {})).json.scope, ["global"]);
  assert.equal((await get("/oauth/authorizations/~")).json.description, "test");
  refused(await post("/oauth/authorizations", { scope: ["root"] }), /scope root/);
  refused(await post("/oauth/authorizations", { expires_in: "soon" }), /expires_in/);
  assert.equal((await world.call("DELETE", `/oauth/authorizations/${made.json.id}`)).json.description, "ci");
  assert.equal((await world.call("GET", "/apps", { token })).status, 401);
  assert.equal((await world.call("DELETE", "/oauth/sessions/~")).json.resource, "session");
  const other = await world.store.users.ensure("other@example.com");
  const foreign = await world.store.tokens.create({
    userId: other.id,
    description: "",
    scopes: ["global"],
    expiresAt: null,
  });
  assert.equal((await world.call("DELETE", `/oauth/authorizations/${foreign.token.id}`)).status, 404);
});

test("what is not here answers as clients need it: empty lists, 404 with a resource, refusals in a sentence", async () => {
  const { name } = await world.deployed(newName());
  for (const list of ["addons", "addon-attachments", "sni-endpoints", "buildpack-installations"]) {
    assert.deepEqual((await get(`/apps/${name}/${list}`)).json, [], list);
  }
  for (const list of ["/teams", "/spaces", "/addons", "/addon-attachments", "/pipelines?eq[name]=x", "/account/keys"]) {
    assert.deepEqual((await get(list)).json, [], list);
  }
  assert.equal((await get(`/apps/${name}/pipeline-couplings`)).json.resource, "pipeline_coupling");
  const [me] = (await get(`/apps/${name}/collaborators`)).json;
  assert.deepEqual([me.role, me.user.email], ["owner", "owner@example.com"]);
  assert.equal((await get(`/apps/${name}/collaborators/owner%40example.com`)).json.id, me.id);
});

test("what is constant: account, sizes, stacks, regions, generations, status", async () => {
  assert.equal((await get("/account")).json.email, "owner@example.com");
  assert.equal((await get("/users/~")).json.email, "owner@example.com");
  assert.equal((await get("/dyno-sizes/standard-1x")).json.memory, 0.5);
  assert.equal((await get("/stacks")).json[0].name, "debian-12");
  assert.equal((await get("/stacks/heroku-24")).status, 404);
  assert.equal((await get("/regions/us")).json.name, "us");
  assert.equal((await get("/generations")).json[0].name, "cedar");
  assert.equal((await get("/generations/cedar")).json.name, "cedar");
  assert.equal((await get("/generations/fir")).json.resource, "generation");
  const status = await world.call("GET", "/api/v4/current-status", { token: null });
  assert.equal(status.json.status[0].status, "green");
  assert.match((await get("/stator/status")).json.version, /^\d/);
});

test("builds: listed, and their output is fetched without a token by a URL that cannot be guessed", async () => {
  const app = await world.deployed(newName());
  const build = await world.store.builds.create({ appId: app.id, userId: app.ownerId, commit: "abc" });
  const { json } = await get(`/apps/${app.name}/builds/${build.id}`);
  assert.deepEqual([json.status, json.source_blob.version], ["pending", "abc"]);
  assert.equal((await get(`/apps/${app.name}/builds`)).json.length, 1);
  const output = await fetch(json.output_stream_url);
  assert.equal(await output.text(), "-----> Building\ndone\n");
  assert.equal((await fetch(json.output_stream_url.slice(0, -1))).status, 404);
  assert.equal((await get(`/apps/${app.name}/builds/${build.id}/output`)).text, "-----> Building\ndone\n");
  refused(await post(`/apps/${app.name}/builds`, { source_blob: { url: "x" } }), /get_url of POST \/sources/);
  assert.equal((await get(`/apps/${app.name}/releases/3/stator/image`)).text, "tar");
});

test("spec 5.3: a release's command: where its output is, whose releases run it, and that it is not scaled", async () => {
  const app = await world.deployed(newName(), { web: "node server.js", release: "./migrate" });
  const path = `/apps/${app.name}`;
  assert.equal((await get(`${path}/releases/3`)).json.output_stream_url, null, "made without its command");
  await world.store.formation.ensure(app.id, "release");
  refused(await patch(`${path}/formation/release`, { quantity: 1 }), /Cannot scale release/);
  world.supervision.isHolding = true;
  try {
    const { slug } = (await get(`${path}/releases/3`)).json;
    const retried = await post(`${path}/releases`, { slug: slug.id, description: "Retry of v3: Deploy" });
    assert.deepEqual([retried.status, retried.json.status, retried.json.version], [201, "pending", 4]);
    assert.match(retried.json.output_stream_url, /\/stator\/release-output\//);
    assert.ok((await logOf(app.name)).includes("app[api]: Running release v4 commands by user owner@example.com"));
    world.builds.commandOutputs.set(retried.json.id, "migrating\ndone\n");
    assert.equal(await (await fetch(retried.json.output_stream_url)).text(), "migrating\ndone\n");
    assert.equal((await fetch(retried.json.output_stream_url.slice(0, -1))).status, 404);
    await patch(`${path}/config-vars`, { A: "1" });
    const taken = (await get(`${path}/releases/5`)).json;
    assert.notEqual(taken.output_stream_url, null, "its code has not run yet, so its command is to");
    await world.store.releases.setPhase(taken.id, "done");
    await patch(`${path}/config-vars`, { A: "2" });
    assert.equal((await get(`${path}/releases/6`)).json.output_stream_url, null, "it has by now");
    const back = await post(`${path}/releases`, { release: "v3" });
    assert.notEqual(back.json.output_stream_url, null, "a rollback runs it");
    assert.equal((await fetch(back.json.output_stream_url)).status, 404, "it has not begun");
    await world.store.releases.setStatus(back.json.id, "failed", "its release command could not be started");
    assert.match(await (await fetch(back.json.output_stream_url)).text(), /could not be started/);
  } finally {
    world.supervision.isHolding = false;
  }
  world.supervision.nudge(app.id);
  await world.supervision.idle();
  await patch(`${path}/config-vars`, { A: "3" });
  assert.equal((await get(`${path}/releases/8`)).json.output_stream_url, null, "code that runs needs no command");
});

test("git: the body goes to builds as it came, whatever its type and size", async () => {
  const { name } = await world.deployed(newName());
  world.builds.asked.length = 0;
  const answer = await world.call("POST", `/${name}.git/git-receive-pack`, {
    body: "p".repeat(3_000_000),
    headers: { "Content-Type": "application/x-git-receive-pack-request" },
  });
  assert.deepEqual([answer.status, answer.text], [200, "git"]);
  await world.call("GET", `/${name}.git/info/refs?service=git-upload-pack`);
  assert.deepEqual(world.builds.asked, [`POST ${name} git-receive-pack 3000000`, `GET ${name} info/refs 0`]);
});

const SLUG = {
  sizeBytes: 1,
  processTypes: { web: "node two.js" },
  stack: "debian-12",
  commit: null,
  buildpackDescription: null,
  manifest: NO_MANIFEST,
} as const;
