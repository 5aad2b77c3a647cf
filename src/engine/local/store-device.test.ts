import assert from "node:assert/strict";
import { test } from "node:test";
import { numbersOf, sourceOf } from "./store-device.ts";

const mountinfo = `21 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw
30 21 0:45 / /var/lib/stator/host/store rw,noatime shared:5 - btrfs /dev/loop7 rw,space_cache=v2
31 21 0:46 / /mnt/a\\040b rw - btrfs /dev/sdb rw
32 21 0:47 / /mnt/a\\040b rw - btrfs /dev/sdc rw
`;

test("block I/O is limited on the device of the nearest mount", () => {
  assert.equal(sourceOf(mountinfo, "/var/lib/stator/host/store/dyno-1"), "/dev/loop7");
  assert.equal(sourceOf(mountinfo, "/var/lib/stator/host/store"), "/dev/loop7");
  assert.equal(sourceOf(mountinfo, "/var/lib/stator/host/storeroom"), "/dev/vda1");
  assert.equal(sourceOf(mountinfo, "/mnt/a b/c"), "/dev/sdc", "mounted over");
});

test("device numbers as the kernel packs them", () => {
  assert.deepEqual(numbersOf(0xfe01), { major: 254, minor: 1 });
  assert.deepEqual(numbersOf(259 * 256 + 0), { major: 259, minor: 0 });
  assert.deepEqual(numbersOf(0x712), { major: 7, minor: 18 });
  assert.deepEqual(numbersOf(8 * 256 + 0x100000 + 5), { major: 8, minor: 256 + 5 });
});
