import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestCountsJson } from "../api.ts";
import { format } from "./routing-metrics.ts";

const COUNTS: RequestCountsJson = {
  codes: { H12: 1, H27: 2 },
  held: 3,
  per_second: 1.56,
  requests: 100,
  retries: 4,
  service_ms: { max: 900, p50: 12, p95: 300, p99: 880 },
  statuses: { "1xx": 1, "2xx": 90, "3xx": 5, "4xx": 1, "5xx": 1, other: 2 },
};

test("routing:metrics: a row for each dyno and one for all, and the codes", () => {
  const dynos = [{ ...COUNTS, id: "x", name: "web.1", service_ms: null }];
  assert.deepEqual(format({ ...COUNTS, dynos, lines_lost: 0, window_seconds: 64.2 }), [
    "In the last 64 s:",
    "DYNO   REQUESTS  RATE   2XX  3XX  4XX  5XX  OTHER  P50   P95    P99    HELD  RETRIES",
    "web.1  100       1.6/s  90   5    1    1    3      -     -      -      3     4",
    "all    100       1.6/s  90   5    1    1    3      12ms  300ms  880ms  3     4",
    "Codes: H12 1, H27 2",
  ]);
});
