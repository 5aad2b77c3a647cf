import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { execAddressOf, isExecAddress } from "./exec-address.ts";

test("an instance's address is a loopback address of its own, never one that the machine's names have", () => {
  assert.equal(execAddressOf("0a1b2c"), "127.74.27.44");
  assert.notEqual(execAddressOf("0a1b2c"), execAddressOf("0a1b2d"));
  const hex = fc.integer({ min: 0, max: 0xffffff }).map((value) => value.toString(16).padStart(6, "0"));
  fc.assert(fc.property(hex, (id) => isExecAddress(execAddressOf(id))));
});

test("what a setting may say", () => {
  for (const good of ["127.1.2.3", "127.255.0.255"]) assert.equal(isExecAddress(good), true, good);
  for (const bad of [
    "127.0.0.1",
    "127.0.5.5",
    "127.255.255.255",
    "10.0.0.1",
    "127.1.2",
    "127.1.2.300",
    "127.01.2.3",
    "x",
    "",
  ])
    assert.equal(isExecAddress(bad), false, bad);
});
