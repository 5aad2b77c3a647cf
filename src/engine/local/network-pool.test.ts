import assert from "node:assert/strict";
import { test } from "node:test";
import { markerOf, ratesOf } from "./network-pool.ts";

const layout = {
  range: { octet: 7 },
  prefix6: undefined,
  netnsPrefix: "a-",
  interfacePrefix: "a-",
  localhostPorts: undefined,
};
const rates = { inMbit: 250, outMbit: 250 };

test("of a namespace that is ready just that is known which it was held to when it was made", () => {
  for (const innerRules of [undefined, "table inet x {}"]) {
    const settings = { layout, innerRules };
    assert.deepEqual(ratesOf(markerOf(settings, rates), settings), rates);
    assert.equal(ratesOf(markerOf(settings, null), settings), null, "where the kernel holds nothing to rates");
  }
});

test("a namespace made with other settings, by a program that noted other things, or not to its end is not reused", () => {
  const settings = { layout, innerRules: "table inet x {}" };
  const whole = markerOf(settings, rates);
  const others = [
    markerOf({ ...settings, innerRules: undefined }, rates),
    markerOf({ ...settings, layout: { ...layout, range: { octet: 8 } } }, null),
    JSON.stringify({ ...settings, rates: { dyno: rates, build: rates } }),
    JSON.stringify(settings),
    whole.slice(0, -3),
    "",
    "null",
  ];
  for (const marker of others) assert.equal(ratesOf(marker, settings), undefined, marker);
});
