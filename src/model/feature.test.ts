import assert from "node:assert/strict";
import { test } from "node:test";
import { FEATURES, isFeatureOn } from "./feature.ts";

const switched = (name: string, enabled: boolean) => [{ name, enabled, createdAt: 0, updatedAt: 0 }];

test("spec 12: a feature is as it was switched, else at its default", () => {
  assert.equal(isFeatureOn("log-runtime-metrics", []), false);
  assert.equal(isFeatureOn("log-runtime-metrics", switched("log-runtime-metrics", true)), true);
  assert.equal(isFeatureOn("log-runtime-metrics", switched("log-runtime-metrics", false)), false);
  assert.equal(isFeatureOn("log-runtime-metrics", switched("preboot", true)), false);
});

test("what is fixed stays as it is, whatever an older program stored", () => {
  for (const { name, control, isOnByDefault } of FEATURES)
    if (control.kind === "fixed") assert.equal(isFeatureOn(name, switched(name, !isOnByDefault)), isOnByDefault, name);
});

test("each feature has one name", () => {
  assert.equal(new Set(FEATURES.map(({ name }) => name)).size, FEATURES.length);
});
