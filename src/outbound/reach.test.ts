import assert from "node:assert/strict";
import { test } from "node:test";
import { parseBlock } from "../model/address-block.ts";
import { parseDestination } from "../model/destination.ts";
import { isReachable, type Reach } from "./reach.ts";

const NOTHING: Reach = { allowed: [], own: ["203.0.114.7", "2600:1::7"], dynos: parseBlock("10.7.0.0/16") };
const allowing = (...texts: readonly string[]): Reach => ({ ...NOTHING, allowed: texts.map(parseDestination) });

test("decision 16: the internet is open but for mail; all else is refused, and so are the host's own addresses", () => {
  for (const address of ["1.1.1.1", "93.184.216.34", "2606:4700::1111"]) {
    assert.ok(isReachable(address, 443, NOTHING), address);
    assert.ok(!isReachable(address, 25, NOTHING), `${address} port 25`);
  }
  const refused = `127.0.0.1 127.8.8.8 0.0.0.0 10.0.0.5 10.7.0.9 172.16.3.4 192.168.1.1 169.254.169.254 100.64.0.1 224.0.0.1
    255.255.255.255 203.0.114.7 2600:1::7 ::1 :: fe80::1 fd00::5 ::ffff:127.0.0.1 ::ffff:93.184.216.34 64:ff9b::7f00:1
    2002:7f00:1::1 2001:0:53aa:64c::1 ff02::1`;
  for (const address of refused.split(/\s+/)) assert.ok(!isReachable(address, 443, NOTHING), address);
});

test("what the operator allowed the app is open, to that port; the host, the metadata service and dynos only by their very address", () => {
  const some = allowing("10.0.0.5:5432", "192.168.0.0/16", "169.254.169.254:80", "10.0.0.0/8:6514", "172.31.0.1");
  assert.ok(isReachable("10.0.0.5", 5432, some));
  assert.ok(!isReachable("10.0.0.5", 5433, some));
  assert.ok(isReachable("192.168.44.1", 514, some));
  assert.ok(isReachable("10.9.9.9", 6514, some));
  assert.ok(!isReachable("10.7.0.9", 6514, some), "a dyno's address, in a block");
  assert.ok(!isReachable("10.9.9.9", 6514, { ...some, dynos: undefined }), "nobody knows where dynos are");
  assert.ok(isReachable("169.254.169.254", 80, some));
  assert.ok(!isReachable("169.254.169.254", 80, allowing("169.254.0.0/16")), "nobody means it by a block");
  assert.ok(isReachable("172.31.0.1", 1, { ...some, own: ["172.31.0.1"] }), "the host's own, allowed by name");
  assert.ok(!isReachable("192.168.0.2", 1, { ...some, own: ["192.168.0.2"] }), "the host's own, in a block");
  assert.ok(isReachable("10.7.0.9", 80, allowing("10.7.0.9")));
});
