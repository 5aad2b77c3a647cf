import assert from "node:assert/strict";
import { test } from "node:test";
import { withFilter } from "./ready-filter.ts";

test("a compiled filter stands in the profile's place, and nothing else of the bundle changes", () => {
  const bundle = { root: {}, linux: { seccomp: { defaultAction: "SCMP_ACT_ERRNO" }, resources: { pids: 1 } } };
  assert.deepEqual(withFilter(bundle, "AAAA"), {
    root: {},
    linux: { resources: { pids: 1 } },
    annotations: { "run.oci.seccomp_bpf_data": "AAAA" },
  });
});

test("without a compiled filter the profile stays: no dyno is ever without one", () => {
  const bundle = { linux: { seccomp: { defaultAction: "SCMP_ACT_ERRNO" } } };
  assert.equal(withFilter(bundle, null), bundle);
});
