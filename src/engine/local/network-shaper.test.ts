import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../../lib/logger.ts";
import { qdisc, Shaper } from "./network-shaper.ts";

test("a bucket holds what the kernel sends at once, and a hundredth of a second", () => {
  const burst = (mbit: number) => Number(qdisc("eth0", mbit)[9]);
  assert.equal(qdisc("eth0", 100).join(" "), "qdisc replace dev eth0 root tbf rate 100mbit burst 262144 latency 100ms");
  assert.ok(burst(1) >= 2 * 65_536);
  assert.equal(burst(1000), 1_250_000);
});

test("a namespace whose rates are known costs no program at a start; other rates, and one whose rates were forgotten, do", async () => {
  const names = { netnsPrefix: "no-such-", interfacePrefix: "no-such-" };
  const shaper = new Shaper(
    { range: { octet: 255 }, prefix6: undefined, localhostPorts: undefined, ...names },
    silentLogger,
  );
  const usual = { inMbit: 100, outMbit: 200 };
  shaper.know(7, usual);
  assert.equal(await shaper.apply(7, { ...usual }), true);
  await assert.rejects(shaper.apply(7, { ...usual, inMbit: 50 }));
  shaper.know(7, usual);
  shaper.forget(7);
  await assert.rejects(shaper.apply(7, usual));
});
