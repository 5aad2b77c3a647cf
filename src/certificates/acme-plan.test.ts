import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { AcmState } from "../model/acm.ts";
import type { Domain } from "../model/app.ts";
import { retryAfter } from "./acme-http.ts";
import { dueAt, type ManagedDomain, managedDomains, plan, retryMs } from "./acme-plan.ts";

const DAY_MS = 86_400_000;
const NOW = Date.UTC(2026, 10, 27);

function managed(domainId: string, change: Partial<ManagedDomain> = {}): ManagedDomain {
  return { domainId, appId: "app", hostname: `${domainId}.example`, current: null, state: undefined, ...change };
}
function state(change: Partial<AcmState> = {}): AcmState {
  return {
    domainId: "d",
    hostname: "d.example",
    status: "in-progress",
    reason: null,
    failures: 0,
    nextAt: 0,
    orderUrl: null,
    updatedAt: 0,
    ...change,
  };
}
const quarter = { startsAt: NOW, expiresAt: NOW + 90 * DAY_MS };

test("renewed at two thirds of its life, up to a thirtieth sooner, the same at every look and not all at once", () => {
  const times = Array.from({ length: 200 }, (_, n) => dueAt(managed(`d${n}`, { current: quarter })) - NOW);
  for (const time of times) assert.ok(time > 57 * DAY_MS - 1 && time <= 60 * DAY_MS, `${time / DAY_MS} days`);
  assert.ok(new Set(times).size > 190);
  assert.equal(dueAt(managed("d1", { current: quarter })) - NOW, times[1]);
  const short = { startsAt: NOW, expiresAt: NOW + 6 * DAY_MS };
  assert.ok(dueAt(managed("d", { current: short })) <= NOW + 4 * DAY_MS);
});

test("nothing yet, or an order under way: at once, but not before the wait after a failure", () => {
  assert.equal(dueAt(managed("d")), 0);
  assert.equal(dueAt(managed("d", { state: state({ nextAt: NOW + 5 }) })), NOW + 5);
  assert.equal(dueAt(managed("d", { current: quarter, state: state({ orderUrl: "x", nextAt: 7 }) })), 7);
  const late = state({ nextAt: NOW + 80 * DAY_MS });
  assert.equal(dueAt(managed("d", { current: quarter, state: late })), NOW + 80 * DAY_MS);
});

test("a few at once, the longest due first; a pause holds for all", () => {
  const domains = ["a", "b", "c", "d"].map((id, n) => managed(id, { state: state({ nextAt: n + 1 }) }));
  const at = (change: Partial<Parameters<typeof plan>[0]>) => {
    const { due, nextAt } = plan({ domains, now: NOW, pausedUntil: null, busy: new Set(), max: 2, ...change });
    return [due.map(({ domainId }) => domainId).join(""), nextAt];
  };
  assert.deepEqual(at({}), ["ab", null]);
  assert.deepEqual(at({ busy: new Set(["a"]) }), ["b", null]);
  assert.deepEqual(at({ busy: new Set(["a", "b"]) }), ["", null]);
  assert.deepEqual(at({ now: 2 }), ["ab", 3]);
  assert.deepEqual(at({ pausedUntil: NOW + 9 }), ["", NOW + 9]);
});

test("waits after failures grow from 5 minutes to 12 hours, and a fifth by chance", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1000 }), fc.uuid(), (failures, id) => {
      const plain = Math.min(12 * 3_600_000, 300_000 * 2 ** (failures - 1));
      const wait = retryMs(failures, id);
      assert.ok(wait >= plain && wait <= plain * 1.2 + 1);
    }),
  );
});

test("a user's own certificate is left alone; names that no authority can look at too; another name begins anew", () => {
  const domain = (id: string, hostname: string, sniEndpointId: string | null): Domain => ({
    id,
    appId: "app",
    hostname,
    kind: "custom",
    createdAt: 0,
    updatedAt: 0,
    sniEndpointId,
  });
  const endpoints = [
    { id: "own", isAutomatic: false, facts: { ...quarter, names: ["a.example"] } },
    { id: "got", isAutomatic: true, facts: { ...quarter, names: ["b.example"] } },
  ];
  const domains = [
    domain("1", "a.example", "own"),
    domain("2", "b.example", "got"),
    domain("3", "c.example", "got"),
    domain("4", "*.d.example", null),
    domain("5", "app.localhost", null),
    domain("6", "f.example", null),
  ];
  const states = [state({ domainId: "6", hostname: "old.example" }), state({ domainId: "2", hostname: "b.example" })];
  const found = managedDomains(domains, endpoints, states);
  assert.deepEqual(
    found.map((each) => [each.hostname, each.current !== null, each.state !== undefined]),
    [
      ["b.example", true, true],
      ["c.example", false, false],
      ["f.example", false, false],
    ],
  );
});

test("RFC 9110, 10.2.3: Retry-After in seconds or as a date", () => {
  assert.equal(retryAfter("120", NOW), 120_000);
  assert.equal(retryAfter(new Date(NOW + 5000).toUTCString(), NOW), 5000);
  assert.equal(retryAfter(new Date(NOW - 5000).toUTCString(), NOW), 0);
  for (const text of [undefined, "soon", "-1x"]) assert.equal(retryAfter(text, NOW), null);
});
