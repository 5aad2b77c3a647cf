import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempDisposable } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { dynoRecord } from "../../test/support/dyno.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { Logger } from "../lib/logger.ts";
import { SimClock } from "../lib/sim-clock.ts";
import { parseAppManifest } from "../model/app-manifest.ts";
import type { IdleDyno } from "../model/dyno.ts";
import { openStore } from "../store/sqlite.ts";
import { Sleeper } from "./sleeper.ts";

const MINUTE = 60_000;

/** An app with one web dyno that is up, a worker, and a Sleeper, over a real store, a real socket and a simulated clock. */
async function world() {
  const stack = new AsyncDisposableStack();
  const folder = stack.use(await mkdtempDisposable(join(tmpdir(), "stator-sleep-")));
  const clock = new SimClock();
  const store = stack.use(await openStore({ path: ":memory:", key: [new Uint8Array(32)], clock }));
  const owner = await store.users.ensure("me@example.com");
  const app = await store.apps.create({ name: "hello", ownerId: owner.id, stack: "debian-12", domain: "localhost" });
  const slug = await store.slugs.create({
    appId: app.id,
    digest: "ab".repeat(32),
    sizeBytes: 1,
    stack: "debian-12",
    processTypes: { web: "run", worker: "work" },
    commit: null,
    buildpackDescription: null,
    manifest: parseAppManifest("{}"),
  });
  const release = await store.releases.create({
    appId: app.id,
    slugId: slug.id,
    userId: owner.id,
    description: "Deploy",
    status: "succeeded",
  });
  await store.apps.update(app.id, { currentReleaseId: release.id, sleepAfterMinutes: 5 });
  await store.formation.sync(app.id, ["web", "worker"]);
  await store.formation.change(app.id, [{ type: "worker", quantity: 1 }]);
  await store.dynos.create(
    dynoRecord(
      { id: "11111111-1111-4111-8111-111111111111", appId: app.id, releaseId: release.id, state: "up" },
      clock.now(),
    ),
  );
  const lines: string[] = [];
  const state = {
    latest: undefined as number | undefined,
    busy: false,
    /** The dyno that somebody is in. */
    visited: "",
    /** What happens while the router is asked. */
    meanwhile: async (_appId: string): Promise<unknown> => undefined,
  };
  const warnings: string[] = [];
  const logger = { warn: (event: string) => void warnings.push(event) } as unknown as Logger; // all that is called of it
  const sleeper = stack.use(
    await Sleeper.open({
      store,
      supervision: { idleDynos: async () => ["web.1", "worker.1"].map((name) => ({ name }) as IdleDyno) }, // all that is read of them
      requests: { lastRequestAt: () => state.latest },
      target: {
        isBusy: async (appId) => {
          await state.meanwhile(appId);
          return state.busy;
        },
      },
      sessions: { isIn: (dynoId) => dynoId === state.visited },
      sink: { append: (_, line) => void lines.push(`${line.process}: ${line.text}`) },
      instance: { paths: { daemonRun: folder.path } },
      clock,
      monotonicMs: () => clock.elapsed,
      logger,
    }),
  );
  const isAsleep = async () => (await store.apps.byId(app.id))?.asleepSince !== null;
  const say = async (text: string) => {
    const socket = connect(join(folder.path, "wake.sock"));
    socket.end(text);
    await once(socket, "close");
  };
  return { stack, clock, store, owner, app, release, lines, warnings, state, sleeper, isAsleep, say };
}

test("an app sleeps once nobody has asked for it for as long as it says; requests and open connections put it off", async () => {
  const { stack, clock, state, isAsleep } = await world();
  await using _stack = stack;
  await clock.advance(4 * MINUTE);
  assert.equal(await isAsleep(), false);
  state.latest = clock.now();
  await clock.advance(4 * MINUTE);
  assert.equal(await isAsleep(), false);
  state.busy = true;
  await clock.advance(30 * MINUTE);
  assert.equal(await isAsleep(), false, "a WebSocket is open");
  state.busy = false;
  state.latest = clock.now(); // as it ends, HAProxy writes its line
  await clock.advance(4 * MINUTE);
  assert.equal(await isAsleep(), false, "it was a moment ago");
  await clock.advance(2 * MINUTE);
  assert.equal(await isAsleep(), true);
});

test("no app sleeps while a release comes up, or that has no web dyno up, or that says it never does", async () => {
  const { stack, clock, store, app, release, isAsleep } = await world();
  await using _stack = stack;
  const pending = {
    appId: app.id,
    slugId: release.slugId,
    userId: app.ownerId,
    description: "x",
    status: "pending",
  } as const;
  const { id } = await store.releases.create(pending);
  await clock.advance(20 * MINUTE);
  assert.equal(await isAsleep(), false);
  await store.releases.setStatus(id, "failed");
  await store.dynos.update("11111111-1111-4111-8111-111111111111", { state: "crashed" });
  await clock.advance(20 * MINUTE);
  assert.equal(await isAsleep(), false);
  await store.dynos.update("11111111-1111-4111-8111-111111111111", { state: "up", stateSince: clock.now() });
  await store.apps.update(app.id, { sleepAfterMinutes: 0 });
  await clock.advance(20 * MINUTE);
  assert.equal(await isAsleep(), false);
  await store.apps.update(app.id, { sleepAfterMinutes: 5 });
  await clock.advance(MINUTE);
  assert.equal(await isAsleep(), true);
});

test("somebody in one of its dynos keeps the app awake, until they leave and for as long as after a request", async () => {
  const { stack, clock, store, app, release, state, isAsleep } = await world();
  await using _stack = stack;
  const of = { appId: app.id, releaseId: release.id };
  const worker = { ...of, id: "22222222-2222-4222-8222-222222222222", name: "worker.1", type: "worker" };
  const oneOff = { ...of, id: "33333333-3333-4333-8333-333333333333", name: "run.1", type: "run" };
  await store.dynos.create(dynoRecord(worker, clock.now()));
  await store.dynos.create(dynoRecord({ ...oneOff, kind: "run" }, clock.now()));
  state.visited = worker.id;
  await clock.advance(20 * MINUTE + 5_000);
  assert.equal(await isAsleep(), false);
  state.visited = oneOff.id;
  await clock.advance(4 * MINUTE);
  assert.equal(await isAsleep(), false, "they left a moment ago");
  await clock.advance(MINUTE + 15_000);
  assert.equal(await isAsleep(), true, "a one-off dyno lives on while its app sleeps");
});

test("what people do while the router is asked keeps the app awake", async () => {
  const web = "11111111-1111-4111-8111-111111111111";
  for (const what of [
    "scale",
    "never",
    "later",
    "maintenance",
    "restart",
    "another",
    "request",
    "session",
    "destroy",
  ] as const) {
    const { stack, clock, store, app, release, state, warnings } = await world();
    await using _stack = stack;
    let asked = 0;
    state.meanwhile = async () => {
      if (asked++ > 0) return;
      const at = clock.now();
      if (what === "scale") await store.formation.change(app.id, [{ type: "web", quantity: 0 }]);
      if (what === "never") await store.apps.update(app.id, { sleepAfterMinutes: 0 });
      if (what === "later") await store.apps.update(app.id, { sleepAfterMinutes: 60 });
      if (what === "maintenance") await store.apps.update(app.id, { maintenance: true });
      const stopping = { since: at, reason: "restart", killed: false } as const;
      if (what === "restart") await store.dynos.update(web, { stopping });
      if (what === "another") {
        const second = { id: "22222222-2222-4222-8222-222222222222", appId: app.id, releaseId: release.id };
        await store.dynos.create(dynoRecord({ ...second, name: "web.2", stopping }, at));
      }
      if (what === "request") state.latest = at;
      if (what === "session") state.visited = web;
      if (what === "destroy") await store.apps.remove(app.id);
    };
    await clock.advance(5 * MINUTE + 20_000);
    assert.deepEqual([asked, (await store.apps.byId(app.id))?.asleepSince ?? null], [1, null], what);
    assert.deepEqual(warnings, []);
  }
});

test("an app of which the router cannot tell is looked at again later, and keeps no other one awake", async () => {
  const { stack, clock, store, owner, app, state, warnings, isAsleep } = await world();
  await using _stack = stack;
  const more: string[] = [];
  for (const name of ["a-first", "z-last"]) {
    const made = await store.apps.create({ name, ownerId: owner.id, stack: "debian-12", domain: "localhost" });
    await store.apps.update(made.id, { sleepAfterMinutes: 5 });
    await store.formation.sync(made.id, ["web"]);
    const dyno = { id: made.id, appId: made.id, releaseId: made.currentReleaseId ?? "", state: "up" } as const;
    await store.dynos.create(dynoRecord(dyno, clock.now()));
    more.push(made.id);
  }
  const isEachAsleep = async () =>
    Promise.all(more.map(async (id) => (await store.apps.byId(id))?.asleepSince !== null));
  state.meanwhile = async (appId) => {
    if (appId === app.id || appId === more[0]) throw new Error("it is away");
  };
  await clock.advance(5 * MINUTE + 10_000);
  assert.deepEqual([await isAsleep(), await isEachAsleep()], [false, [false, true]]);
  assert.deepEqual(warnings, ["apps.sleep_failed"], "once for both");
  state.meanwhile = async () => undefined;
  await clock.advance(15_000);
  assert.deepEqual([await isAsleep(), await isEachAsleep()], [true, [true, true]]);
});

test("a clock that is set back keeps no app awake, and one that is set forward puts none to sleep", async () => {
  const { stack, clock, store, app, state, isAsleep } = await world();
  await using _stack = stack;
  state.latest = clock.now() + 60_000; // the next is set back before it
  await clock.advance(60_000);
  clock.jump(-24 * 60 * MINUTE);
  await clock.advance(4 * MINUTE);
  assert.equal(await isAsleep(), false);
  await clock.advance(MINUTE + 30_000);
  assert.equal(await isAsleep(), true, "counted from when the clock was set");

  await store.apps.wake(app.id);
  state.latest = clock.now();
  await clock.advance(MINUTE);
  clock.jump(24 * 60 * MINUTE);
  await clock.advance(4 * MINUTE);
  assert.equal(await isAsleep(), false);
  await clock.advance(MINUTE + 30_000);
  assert.equal(await isAsleep(), true);
});

test("what HAProxy says wakes the app, once, and its log says so; what else comes wakes nobody", async () => {
  const { stack, store, app, lines, isAsleep, say, sleeper } = await world();
  await using _stack = stack;
  await store.apps.sleep(app.id);
  for (const text of ["x\n", "\n", "", "a".repeat(500), `${app.id}`, "11111111-1111-4111-8111-111111111112\n"])
    await say(text);
  assert.equal(await isAsleep(), true);
  await say(`${app.id}\n`);
  await eventually(async () => !(await isAsleep()));
  await say(`${app.id}\n`);
  await sleeper.wake(app.id);
  assert.deepEqual(lines, [
    "web.1: Unidling",
    "web.1: State changed from down to starting",
    "worker.1: Unidling",
    "worker.1: State changed from down to starting",
  ]);
});
