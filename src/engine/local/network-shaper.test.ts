import assert from "node:assert/strict";
import { test } from "node:test";
import { qdisc } from "./network-shaper.ts";

test("a bucket holds what the kernel sends at once, and a hundredth of a second", () => {
  const burst = (mbit: number) => Number(qdisc("eth0", mbit)[9]);
  assert.equal(qdisc("eth0", 100).join(" "), "qdisc replace dev eth0 root tbf rate 100mbit burst 262144 latency 100ms");
  assert.ok(burst(1) >= 2 * 65_536);
  assert.equal(burst(1000), 1_250_000);
});
