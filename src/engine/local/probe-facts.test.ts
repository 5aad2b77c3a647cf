import assert from "node:assert/strict";
import { test } from "node:test";
import { findModules, hasCapability, parseCgroupMounts, parseDroppingTables } from "./probe-facts.ts";

test("the kind of cgroup hierarchy is read from the mounts", () => {
  const v2 = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
  const v1 = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ncgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw 0 0\n";
  assert.equal(parseCgroupMounts(v2).kind, "v2");
  assert.deepEqual(parseCgroupMounts(v1), { kind: "v1", v1: ["memory", "cpu", "cpuacct"] });
  assert.equal(parseCgroupMounts(`${v1}cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n`).kind, "hybrid");
  assert.equal(parseCgroupMounts("proc /proc proc rw 0 0\n").kind, "none");
});

test("capabilities are bits of the bounding set", () => {
  assert.ok(hasCapability("CapBnd:\t000001ffffffffff\n", 24n));
  assert.ok(!hasCapability("CapBnd:\t000001fffeffffff\n", 24n));
  assert.ok(!hasCapability("", 24n));
});

test("a module counts when it is there, built in, or can be loaded", () => {
  const lists = "kernel/fs/btrfs/btrfs.ko\nkernel/fs/overlayfs/overlay.ko.xz: kernel/x.ko\n";
  assert.deepEqual(findModules(["erofs", "btrfs", "overlay", "x", "fs"], "nodev proc\n\terofs\n", lists), [
    "erofs",
    "btrfs",
    "overlay",
    "x",
  ]);
});

test("tables of others that drop forwarded packets are found, ours is not among them", () => {
  const chain = (table: string, hook: string, policy: string) => ({
    chain: { family: "ip", table, name: "F", hook, policy },
  });
  const json = JSON.stringify({
    nftables: [
      { metainfo: {} },
      chain("filter", "forward", "drop"),
      chain("ufw", "input", "drop"),
      chain("open", "forward", "accept"),
      chain("stator_abc", "forward", "drop"),
    ],
  });
  assert.deepEqual(parseDroppingTables(json, "stator_abc"), ["ip filter"]);
  assert.deepEqual(parseDroppingTables("{}", "stator_abc"), []);
});
