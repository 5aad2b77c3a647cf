import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { errorCode } from "./error-codes.ts";
import { type Counted, RequestMetrics } from "./request-metrics.ts";

const NOW = 1_700_000_000_000 - (1_700_000_000_000 % 15_000); // a span begins
const request = (change: Partial<Counted> = {}): Counted => ({
  dynoId: "d1",
  code: undefined,
  status: 200,
  serviceMs: 10,
  isHeld: false,
  retries: 0,
  ...change,
});

test("requests are counted by app and dyno: rate, statuses, codes, held, retries, service times", () => {
  const metrics = new RequestMetrics(NOW - 1_000_000);
  for (let ms = 1; ms <= 100; ms++) metrics.add("a", NOW - 30_000, request({ serviceMs: ms }));
  metrics.add("a", NOW - 1, request({ dynoId: "d2", status: 302, isHeld: true, retries: 2, serviceMs: 1 }));
  metrics.add("a", NOW - 1, request({ dynoId: null, status: 503, code: errorCode("H14"), serviceMs: null }));
  metrics.add("a", NOW - 1, request({ status: 504, code: errorCode("H12"), serviceMs: 30_000 }));
  metrics.add("a", NOW - 1, request({ status: -1, code: errorCode("H27"), serviceMs: 5 }));
  metrics.add("a", NOW - 1, request({ status: 101, serviceMs: 3_600_000 }));
  metrics.add("b", NOW - 1, request());
  const { byDyno, ...all } = metrics.requestsOf("a", NOW);
  assert.deepEqual(all, {
    requests: 105,
    perSecond: 105 / 60,
    statuses: { "1xx": 1, "2xx": 100, "3xx": 1, "4xx": 0, "5xx": 2, other: 1 },
    service: { p50: 50, p95: 97, p99: 101, max: 30_000 },
    held: 1,
    retries: 2,
    codes: { H12: 1, H14: 1, H27: 1 },
    windowSeconds: 60,
  });
  assert.deepEqual([...byDyno.keys()].sort(), ["d1", "d2"]);
  assert.deepEqual([byDyno.get("d1")?.requests, byDyno.get("d2")?.requests], [103, 1]);
});

test("what is older than the window is in no count, whenever it is told", () => {
  const metrics = new RequestMetrics(0);
  metrics.add("a", NOW - 61_000, request());
  metrics.add("a", NOW + 20_000, request());
  metrics.add("a", NOW - 60_000, request()); // late: its span is used again
  assert.equal(metrics.requestsOf("a", NOW + 20_000).requests, 1);
  assert.equal(metrics.requestsOf("a", NOW + 100_000).requests, 0);
  assert.equal(metrics.requestsOf("nobody", NOW).requests, 0);
});

test("the rate of a router that has just started is over its own time", () => {
  const metrics = new RequestMetrics(NOW);
  for (let count = 0; count < 50; count++) metrics.add("a", NOW + 4_000, request());
  assert.equal(metrics.requestsOf("a", NOW + 5_000).perSecond, 10);
});

test("counts by dyno add up to the app's, and memory is for those that had requests lately", () => {
  const event = fc.record({ app: fc.nat(2), dyno: fc.nat(4), after: fc.nat(20_000), serviceMs: fc.nat(5_000) });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const metrics = new RequestMetrics(0);
      let now = NOW;
      const all: { app: string; at: number }[] = [];
      for (const { app, dyno, after, serviceMs } of events) {
        now += after;
        metrics.add(`a${app}`, now, request({ dynoId: `a${app}d${dyno}`, serviceMs }));
        all.push({ app: `a${app}`, at: now });
      }
      const from = now - (now % 15_000) - 60_000;
      for (const app of ["a0", "a1", "a2"]) {
        const { requests, byDyno } = metrics.requestsOf(app, now);
        assert.equal(requests, all.filter((each) => each.app === app && each.at >= from).length);
        assert.equal(
          [...byDyno.values()].reduce((sum, each) => sum + each.requests, 0),
          requests,
        );
      }
    }),
  );
});

test("however many dynos there are, a limit of them is counted, the newest among them", () => {
  const metrics = new RequestMetrics(0);
  for (let app = 0; app < 10_000; app++) metrics.add(`a${app}`, NOW, request());
  assert.equal(metrics.size, 4_096);
  assert.equal(metrics.requestsOf("a9999", NOW).requests, 1);
  metrics.add("a9999", NOW + 120_000, request());
  assert.equal(metrics.size, 1, "the silent ones are forgotten");
  assert.deepEqual(metrics.apps(), ["a9999"]);
});
