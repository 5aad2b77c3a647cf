import assert from "node:assert/strict";
import { test } from "node:test";
import { checkEgressRule, type EgressRule, isDenied, withoutNestedRules } from "./egress-rule.ts";

test("a block, an address or all; one way to write each", () => {
  for (const cidr of ["0.0.0.0/0", "10.0.0.0/8", "203.0.113.7"]) checkEgressRule({ cidr, port: null });
  checkEgressRule({ cidr: "203.0.113.7", port: 65_535 });
  const hostile = [
    "",
    "10.0.0.1/8",
    "203.0.113.7/32",
    "10.0.0.0/33",
    "::/0",
    "localhost",
    "0.0.0.0/0 }; flush ruleset",
    "1.2.3.4\n",
  ];
  for (const cidr of hostile)
    assert.throws(() => checkEgressRule({ cidr, port: null }), { id: "invalid_params" }, JSON.stringify(cidr));
  for (const port of [0, 65_536, 1.5, Number.NaN])
    assert.throws(() => checkEgressRule({ cidr: "10.0.0.0/8", port }), { id: "invalid_params" });
});

test("blocks within blocks of the same action and port go; others stay", () => {
  const rule = (action: "allow" | "deny", cidr: string, port: number | null = null): EgressRule => ({
    action,
    cidr,
    port,
  });
  const all = rule("deny", "0.0.0.0/0");
  const rules = [rule("deny", "10.0.0.0/8"), all, rule("allow", "10.0.0.0/8"), rule("deny", "10.1.1.1", 80), all];
  assert.deepEqual(withoutNestedRules(rules), [all, rule("allow", "10.0.0.0/8"), rule("deny", "10.1.1.1", 80)]);
});

test("what an allow rule names is not denied, by whichever port; the order does not matter", () => {
  const rules: readonly EgressRule[] = [
    { action: "allow", cidr: "203.0.113.0/24", port: 443 },
    { action: "deny", cidr: "0.0.0.0/0", port: null },
  ];
  for (const all of [rules, rules.toReversed()]) {
    assert.equal(isDenied(all, "203.0.113.7:443"), false);
    assert.equal(isDenied(all, "203.0.113.7:80"), true);
    assert.equal(isDenied(all, "203.0.113.7"), true);
    assert.equal(isDenied(all, "10.0.0.1:443"), true);
  }
  assert.equal(isDenied([], "10.0.0.1:443"), false);
});

test("decision 16: what denies anything denies all of IPv6", () => {
  const deny: EgressRule = { action: "deny", cidr: "203.0.113.0/24", port: 443 };
  const allow: EgressRule = { ...deny, action: "allow", cidr: "0.0.0.0/0", port: null };
  for (const destination of ["[2600::1]:443", "[fd53:1:2:1::1]:80", "2600::1"]) {
    assert.equal(isDenied([deny, allow], destination), true, destination);
    assert.equal(isDenied([allow], destination), false, destination);
  }
});
