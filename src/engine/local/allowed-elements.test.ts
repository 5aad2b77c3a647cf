import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDestination } from "../../model/destination.ts";
import { AllowedElements, NO_ELEMENTS, renderChange } from "./allowed-elements.ts";

const allowed = (texts: Readonly<Record<string, readonly string[]>>) =>
  new Map(Object.entries(texts).map(([appId, all]) => [appId, all.map(parseDestination)]));

test("each of an app's dynos has an element for each of its destinations, in the set for their kind", () => {
  const elements = new AllowedElements({ octet: 9 }, undefined, new Map([[5, "one"]]));
  elements.setAllowed(allowed({ one: ["10.0.0.5:5432", "10.0.0.6", "172.16.0.0/12:80", "192.168.0.0/16"] }));
  elements.setOwner(256 + 6, "one");
  elements.setOwner(7, "two");
  assert.deepEqual(elements.of(5), [
    "allowed_port { 10.9.0.5 . 10.0.0.5 . 5432 }",
    "allowed { 10.9.0.5 . 10.0.0.6 }",
    "allowed_block_port { 10.9.0.5 . 172.16.0.0/12 . 80 }",
    "allowed_block { 10.9.0.5 . 192.168.0.0/16 }",
  ]);
  assert.equal(elements.of(262)[1], "allowed { 10.9.1.6 . 10.0.0.6 }");
  assert.deepEqual([...elements.all().keys()], [5, 262]);
  assert.deepEqual(elements.of(7), []);
});

test("an address is its new owner's alone, and nobody's once given back", () => {
  const elements = new AllowedElements({ octet: 9 }, undefined, new Map());
  elements.setAllowed(allowed({ one: ["10.0.0.5"], two: ["10.0.0.6"] }));
  elements.setOwner(5, "one");
  elements.setOwner(5, "two");
  assert.deepEqual(elements.of(5), ["allowed { 10.9.0.5 . 10.0.0.6 }"]);
  elements.setOwner(5, undefined);
  assert.equal(elements.all().size, 0);
});

test("an app that denies anything gets no IPv6, of which its rules do not speak; builds are left alone", () => {
  const elements = new AllowedElements(
    { octet: 9 },
    "fd53:00ab:cd09:1",
    new Map([
      [5, "one"],
      [6, "two"],
      [0xf001, "one"],
    ]),
  );
  elements.setEgress(
    new Map([
      ["one", [{ action: "deny", cidr: "0.0.0.0/0", port: null } as const]],
      ["two", [{ action: "allow", cidr: "25.0.0.0/8", port: 443 } as const]],
    ]),
  );
  assert.deepEqual(elements.of(5), [
    "egress_deny { 10.9.0.5 . 0.0.0.0-255.255.255.255 }",
    "egress_deny_6 { fd53:00ab:cd09:1::5 }",
  ]);
  assert.deepEqual(elements.of(6), ["egress_allow_port { 10.9.0.6 . 25.0.0.0/8 . 443 }"]);
  assert.deepEqual(elements.of(0xf001), []);
});

test("a change takes away first, and says only what differs", () => {
  const before = new Map([[5, ["allowed { a }", "allowed { b }"]]]);
  const after = new Map([
    [5, ["allowed { b }"]],
    [6, ["allowed { c }"]],
  ]);
  assert.equal(
    renderChange("t", before, after),
    "delete element inet t allowed { a }\nadd element inet t allowed { c }\n",
  );
  assert.equal(renderChange("t", after, after), "");
  assert.equal(renderChange("t", NO_ELEMENTS, NO_ELEMENTS), "");
});

test("an owner's egress rules are elements for each of the app's dynos, but no build dyno's and no other app's", () => {
  const elements = new AllowedElements(
    { octet: 7 },
    undefined,
    new Map([
      [2, "one"],
      [0xf001, "one"],
      [3, "two"],
    ]),
  );
  elements.setEgress(
    new Map([
      [
        "one",
        [
          { action: "deny", cidr: "10.0.0.0/8", port: null },
          { action: "deny", cidr: "0.0.0.0/0", port: null },
          { action: "allow", cidr: "203.0.113.7", port: 443 },
        ],
      ],
    ]),
  );
  const own = [
    "egress_deny { 10.7.0.2 . 0.0.0.0-255.255.255.255 }",
    "egress_allow_port { 10.7.0.2 . 203.0.113.7 . 443 }",
  ];
  assert.deepEqual([...elements.all()], [[2, own]]);
  elements.setEgress(new Map());
  assert.deepEqual([...elements.all()], []);
});
