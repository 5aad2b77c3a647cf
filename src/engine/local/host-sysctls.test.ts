import assert from "node:assert/strict";
import { test } from "node:test";
import { machineLimits } from "./host-sysctls.ts";
import { NAMESPACE_LIMITS } from "./user-limits.ts";

const atLeast = (path: string, memoryBytes = 8 * 1024 ** 3) =>
  machineLimits(memoryBytes).find((each) => each.path === path)?.atLeast ?? assert.fail(path);

test("decision 14: the machine's counters hold the share of many dynos", () => {
  assert.ok(atLeast("fs/inotify/max_user_instances") >= 500 * NAMESPACE_LIMITS.max_inotify_instances);
  assert.ok(atLeast("fs/inotify/max_user_watches") >= 500 * NAMESPACE_LIMITS.max_inotify_watches);
  assert.ok(atLeast("kernel/pty/max") >= 500 * 64);
});

test("the table of connections takes no more than a 32nd of a small machine's memory, and a million entries of a large one's", () => {
  assert.equal(atLeast("net/netfilter/nf_conntrack_max", 1024 ** 3), Math.floor(1024 ** 3 / 32 / 320));
  assert.equal(atLeast("net/netfilter/nf_conntrack_max", 1024 ** 4), 1_048_576);
});
