import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { HaproxySocket } from "../../src/host/haproxy-socket.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { eventually } from "../support/eventually.ts";
import { type App, Echo, RouterRig } from "./router-rig.ts";

/** The router with many apps in it: what costs a reload, and what a reload costs. Needs root. Speed: `npm run bench:router`. */
const APPS = 200;
const DOMAINS = 5;
/** Fewer than there are for a start with no app. */
const SPARE_AT_START = 40;
let rig: RouterRig;
let apps: readonly App[];
let dyno: string;
before(async () => {
  rig = await RouterRig.open({ spareAtStart: SPARE_AT_START });
  dyno = await rig.dyno("web.1");
  apps = Array.from({ length: APPS }, () => rig.app());
});
after(() => rig[Symbol.asyncDispose]());

test("a storm of 200 new apps with 1,000 domains and 500 dynos is gathered into few reloads, and each answers", async () => {
  const before = await rig.reloads();
  const { address, port } = rig.dynos.get(dyno) ?? { address: "", port: 0 };
  await Promise.all(
    apps.map((app, index) =>
      app.set({
        hosts: Array.from({ length: DOMAINS }, (_, each) => (each === 0 ? app.host : `www${each}.${app.host}`)),
        dynoIds: [dyno, ...Array.from({ length: 1 + (index % 2) }, () => rig.dynoAt("web.2", address, port))],
      }),
    ),
  );
  const reloads = (await rig.reloads()) - before;
  assert.ok(reloads >= 1 && reloads <= 5, `${reloads} reloads`); // the first 64 need none
  for (const app of apps) {
    const { status } = await app.ask({ headers: { Host: `www${DOMAINS - 1}.${app.host}` } });
    assert.equal(status, 200);
  }
});

test("among them dynos, domains and states come and go without a reload, and only where they should", async () => {
  const before = await rig.reloads();
  const [one, other] = [apps[7], apps[8]];
  assert.ok(one && other);
  const { dynoIds } = one.route;
  let round3: readonly string[] = [];
  for (let round = 0; round < 20; round++) {
    const young = [await rig.dyno("web.3")];
    if (round === 3) round3 = young;
    await one.set({ dynoIds: young });
    await other.set({ hosts: [other.host, `moving.${one.host}`] });
    assert.equal((await other.ask({ headers: { Host: `moving.${one.host}` } })).status, 200);
    await one.set({ dynoIds, hosts: [one.host, `moving.${one.host}`] });
    await other.set({ hosts: [other.host] });
    assert.equal((await one.ask({ headers: { Host: `moving.${one.host}` } })).status, 200);
  }
  await other.set({ state: "maintenance" });
  assert.deepEqual([(await one.ask()).status, (await other.ask()).status], [200, 503]);
  await rig.haproxy?.removeRoute(other.id);
  assert.deepEqual([(await one.ask()).status, (await other.ask()).status], [200, 404]);
  assert.equal(await rig.reloads(), before);
  // Those that went are deleted within a second, and can come again.
  const { current } = await rig.workers();
  const socket = new HaproxySocket(join(rig.layout.socketFolder, "master.sock"), systemClock);
  for (const until = performance.now() + 5_000; ; await pause(50)) {
    const { servers } = await socket.look(current, rig.layout);
    if ([...servers.values()].every(({ up }) => up)) break;
    assert.ok(performance.now() < until, "servers that nobody wants are still there");
  }
  await one.set({ dynoIds: round3 });
  assert.equal((await one.ask()).status, 200);
  assert.deepEqual(rig.warnings, []);
});

test("a reload with all of them breaks no WebSocket, nor does the next one", async () => {
  const server = Echo.server().listen(0, "127.78.1.2");
  await once(server, "listening");
  const app = rig.app();
  await app.set({ dynoIds: [rig.dynoAt("web.1", "127.78.1.2", (server.address() as AddressInfo).port)] }); // a TCP server has one
  const echoes = await Promise.all(Array.from({ length: 5 }, () => Echo.open(rig.layout.httpPort, app.host)));
  const before = await rig.workers();
  for (const round of ["first", "second"]) {
    await rig.haproxy?.reload();
    for (const echo of echoes) await echo.say(round);
    assert.equal((await apps[0]?.ask())?.status, 200);
  }
  const now = await rig.workers();
  assert.notEqual(now.current, before.current);
  assert.ok(now.old.includes(before.current), "the worker that has them goes on");
  for (const echo of echoes) echo.close();
  server.close();
});

test("while a reload takes its time, a new app is served by the worker that is still there, and after it by the next", async () => {
  const app = rig.app();
  assert.ok(rig.haproxy);
  process.kill(rig.pid, "SIGSTOP"); // the master: it neither begins anew nor answers
  const reloaded = rig.haproxy.reload();
  const told = app.set({ dynoIds: [dyno] });
  try {
    for (const until = performance.now() + 5_000; (await app.ask()).status !== 200; await pause(20))
      assert.ok(performance.now() < until, "the new app waits for the reload");
  } finally {
    process.kill(rig.pid, "SIGCONT");
  }
  await Promise.all([reloaded, told]);
  assert.equal((await app.ask()).status, 200);
});

test("spare backends are made before the last one is taken", async () => {
  const [head = ""] = readFileSync(join(rig.folder, "routes.json"), "utf8").split("\n");
  const { spare } = JSON.parse(head) as { readonly spare: readonly number[] };
  const before = await rig.reloads();
  let news = 0;
  for (; (await rig.reloads()) === before; news++) {
    assert.ok(news < spare.length, "all were used up");
    await rig.app().set({ dynoIds: [dyno] });
  }
  assert.ok(news > spare.length / 2, `a reload after ${news} of ${spare.length}`);
});

test("after a crash HAProxy starts with few spare backends, and a reload that breaks nothing brings the others", async () => {
  const [some] = apps;
  assert.ok(some);
  const backends = async (): Promise<number> => {
    const socket = new HaproxySocket(join(rig.layout.socketFolder, "master.sock"), systemClock);
    return (await socket.look((await socket.workers()).current, rig.layout)).backends.size;
  };
  const before = await backends();
  const dead = rig.pid;
  process.kill(dead, "SIGKILL");
  await eventually(() => rig.haproxy?.pid !== undefined && rig.pid !== dead);
  const answers: number[] = [];
  await eventually(async () => (await some.ask().catch(() => undefined))?.status === 200);
  await eventually(async () => {
    answers.push((await some.ask()).status);
    return (await backends().catch(() => 0)) >= before;
  });
  assert.deepEqual(new Set(answers), new Set([200]));
});

test("what has changed is remembered, for a host side that comes back", async () => {
  const app = rig.app();
  await app.set({ dynoIds: [dyno] });
  const [before, known] = [await rig.reloads(), await rig.haproxy?.listRoutes()];
  await rig.haproxy?.[Symbol.asyncDispose](); // what a kill -9 leaves is the same: files, and HAProxy
  await rig.startHost();
  assert.deepEqual(await rig.haproxy?.listRoutes(), known);
  await app.set({ state: "maintenance" });
  assert.equal((await app.ask()).status, 503);
  assert.equal(await rig.reloads(), before);
});

test("requests are counted by app and dyno, with those that were held and those that were tried again", async () => {
  const app = rig.app();
  await app.set({});
  const held = app.ask();
  await app.ask({ signal: AbortSignal.timeout(300) }).catch(() => {}); // leaves: H27, and the other one has waited as long
  const [one, two] = [await rig.dyno("web.1"), await rig.dyno("web.2")];
  await app.set({ dynoIds: [one] });
  assert.equal((await held).status, 200);
  for (let count = 0; count < 3; count++) await app.ask({ path: `/one/${count}` });
  await app.set({ dynoIds: [two, rig.dynoAt("web.3", "127.78.1.1", 9)] });
  for (let count = 0; count < 12; count++) await app.ask({ path: `/two/${count}` });
  await app.line(/\/two\/11/);
  const found = rig.requests?.requestsOf(app.id);
  assert.ok(found);
  assert.deepEqual([found.requests, found.held, found.statuses["2xx"], found.codes], [17, 2, 16, { H27: 1 }]);
  assert.ok(found.retries >= 1, "of 12 requests none went to the dyno that refuses first");
  assert.deepEqual([found.byDyno.get(one)?.requests, found.byDyno.get(one)?.name], [4, "web.1"]);
  assert.deepEqual([found.byDyno.get(two)?.requests, found.byDyno.get(two)?.retries], [12, found.retries]);
  assert.ok(found.service !== null && found.service.p50 <= found.service.p99);
  assert.equal(rig.requests?.linesLost, 0);
});
