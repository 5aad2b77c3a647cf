import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { DEFAULT_ROUTING } from "../model/routing.ts";
import type { AppRoute, RouteOptions } from "../router/routes.ts";
import { backendOf } from "./haproxy-config.ts";
import { RouteTable, SPARE_MIN } from "./route-table.ts";

const folder = mkdtempSync(join(tmpdir(), "stator-table-"));
after(() => rmSync(folder, { recursive: true }));

const id = (number: number) => `11111111-2222-3333-4444-${String(number).padStart(12, "0")}`;
const route = (number: number, change: Partial<AppRoute> = {}): AppRoute => ({
  appId: id(number),
  hosts: [`h${number}.localhost`],
  state: "serve",
  dynoIds: [id(1000 + number)],
  ...change,
});
const backends = (table: RouteTable) => table.apps().map((appId) => [appId, table.row(appId)?.backend]);

test("a table is remembered by whole and by change, whatever was cut off at its end", async () => {
  const path = join(folder, "routes.json");
  const table = (await RouteTable.load([path])).refill();
  assert.equal(table.needsBegin, true);
  table.set(route(1));
  await table.begin(path);
  assert.equal(table.needsBegin, false);
  const whole = readFileSync(path, "utf8").length;
  table.set(route(2));
  table.set(route(1, { state: "maintenance" }));
  table.set(route(3));
  table.remove(id(2));
  table.remember();
  assert.ok(readFileSync(path, "utf8").length > whole);
  const length = readFileSync(path, "utf8").length;
  table.remember();
  assert.equal(readFileSync(path, "utf8").length, length, "nothing twice");
  appendFileSync(path, JSON.stringify(route(4)).slice(0, 40));

  const again = await RouteTable.load([join(folder, "none"), path]);
  assert.deepEqual(backends(again), [
    [id(1), 0],
    [id(3), 2],
  ]);
  assert.equal(again.row(id(1))?.state, "maintenance");
  assert.equal(again.needsBegin, true, "nothing may be added behind what was cut off");
  again.set(route(5));
  assert.equal(again.row(id(5))?.backend, 3, "the number of an app that went is never used again");
  assert.deepEqual(again.appsWith(id(1003)), [id(3)]);
  assert.deepEqual(again.appsWith(id(1002)), []);
});

test("a host name is its latest claimant's, and goes back when that one lets go, in whatever order they are told", async () => {
  const hostsOf = (table: RouteTable) =>
    table.snapshot(() => undefined).apps.map(({ appId, hosts }) => [appId.slice(-1), ...hosts].join(" "));
  const path = join(folder, "moves.json");
  const table = (await RouteTable.load([path])).refill();
  await table.begin(path);
  const told = (number: number, hosts: readonly string[]) =>
    table.set(route(number, { hosts })).map((appId) => appId.slice(-1));
  assert.deepEqual(told(1, ["m", "a"]), ["1"]);
  assert.deepEqual(told(2, ["m"]), ["2", "1"], "the first one loses it");
  assert.deepEqual(hostsOf(table), ["1 a", "2 m"]);
  assert.deepEqual(told(1, ["a", "m"]), ["1"], "told again it wins nothing");
  assert.deepEqual(hostsOf(table), ["1 a", "2 m"]);
  assert.deepEqual(told(1, ["a"]), ["1"]);
  assert.deepEqual(hostsOf(table), ["1 a", "2 m"]);
  assert.deepEqual(told(1, ["a", "m"]), ["1", "2"], "late, as told before it let go");
  table.remember();
  for (const each of [table, await RouteTable.load([path])]) {
    assert.deepEqual(hostsOf(each), ["1 a m", "2"]);
    assert.deepEqual(
      each.set(route(1, { hosts: ["a"] })).map((appId) => appId.slice(-1)),
      ["1", "2"],
    );
    assert.deepEqual(hostsOf(each), ["1 a", "2 m"]);
    assert.deepEqual(each.remove(id(2)), [id(2)]);
    assert.deepEqual(hostsOf(each), ["1 a"]);
  }
});

test("numbers go on where they were, also after the spare ones", async () => {
  const path = join(folder, "numbers.json");
  const table = (await RouteTable.load([path])).refill();
  await table.begin(path);
  for (let number = 0; number < SPARE_MIN + 3; number++) table.set(route(number));
  const used = table.apps().map((appId) => table.row(appId)?.backend);
  for (let number = 0; number < SPARE_MIN + 3; number++) table.remove(id(number));
  table.remember();
  const again = await RouteTable.load([path]);
  again.set(route(0));
  const number = again.row(id(0))?.backend;
  assert.ok(number !== undefined && !used.includes(number), `${number} was used before`);
});

test("spare numbers are short while some are left, until there are more", async () => {
  const table = (await RouteTable.load([])).refill();
  let news = 0;
  for (; !table.isShort; news++) table.set(route(news));
  assert.ok(news > SPARE_MIN / 2 && news < SPARE_MIN - 8, String(news));
  assert.equal(table.refill().isShort, false);
});

test("what an earlier program has written is read; what is no table is passed over", async () => {
  const [old, bad] = [join(folder, "old.json"), join(folder, "bad.json")];
  writeFileSync(old, JSON.stringify({ next: 9, spare: [7, 8], routes: [{ ...route(1), backend: 3 }] }));
  writeFileSync(bad, `{"next":1,"spare":[]}\n${JSON.stringify({ ...route(1), hosts: ["a b"], backend: 0 })}\n`);
  const table = await RouteTable.load([bad, old]);
  assert.deepEqual(backends(table), [[id(1), 3]]);
  table.set(route(2));
  assert.equal(table.row(id(2))?.backend, 7);
});

test("an app takes another backend when it chooses or speaks otherwise, and for no other change; none is used twice", async () => {
  const path = join(folder, "kinds.json");
  const usual = { sessionAffinity: false, users: [], errorPage: null, maintenancePage: null };
  const table = (await RouteTable.load([path])).refill();
  await table.begin(path);
  const used = new Set<number>();
  const backend = (change?: Partial<RouteOptions>): string => {
    table.set(route(1, change && { options: { ...DEFAULT_ROUTING, ...usual, ...change } }));
    const row = table.row(id(1));
    assert.ok(row);
    used.add(row.backend);
    return backendOf(row);
  };
  const first = backend();
  assert.match(first, /^a\d+$/);
  assert.equal(backend({ sessionAffinity: true, firstByteSeconds: 5 }), first);
  const least = backend({ balance: "least-connections" });
  assert.match(least, /^l\d+$/);
  assert.equal(backend({ balance: "least-connections", httpsRedirect: true }), least);
  const spoken = backend({ dynoProtocol: "h2c" });
  assert.ok(
    spoken !== first && table.wanted(id(1), (dynoId) => ({ dynoId, address: "10.0.0.1", port: 1 }))?.servers[0]?.h2c,
  );
  assert.deepEqual(table.backendsOf(id(1)), [spoken, least, first], "what is open there is still the app's");
  for (let i = 0; i < 2 * SPARE_MIN; i++) backend(i % 2 === 0 ? { balance: "least-connections" } : {});
  assert.equal(used.size, 3 + 2 * SPARE_MIN, "also when all that were spare are used up");
  table.remember();

  const again = await RouteTable.load([path]);
  assert.deepEqual(again.row(id(1)), table.row(id(1)));
  assert.deepEqual([again.backendsOf(id(1)).length, again.backendsOf(id(2))], [9, []]);
  const { spare, leastSpare = [] } = again.refill().snapshot(() => undefined);
  const free = [...spare, ...leastSpare];
  assert.equal(new Set(free).size, free.length);
  assert.ok(free.every((number) => !used.has(number)));
});
