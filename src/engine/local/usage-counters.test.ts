import assert from "node:assert/strict";
import { test } from "node:test";
import { ceilingOf, ioOfV1, ioOfV2, memoryOfV1, memoryOfV2, stateOf, trafficOf, volumesOf } from "./usage-counters.ts";

const V1 = `cache 1
rss 2
total_cache 83820544
total_rss 16297984
total_shmem 20544
total_swap 4096
total_pgpgin 24836
total_pgpgout 1168
`;

test("version 1: shared memory counts as used, the rest of the cache does not; groups inside are in the totals", () => {
  assert.deepEqual(memoryOfV1(V1), {
    rssBytes: 16_297_984 + 20_544,
    cacheBytes: 83_800_000,
    swapBytes: 4096,
    pagesIn: 24_836,
    pagesOut: 1168,
  });
});

test("version 2: the kernel's memory for the dyno counts but for the slabs that it can take back", () => {
  const stat =
    "anon 1000\nfile 500\nkernel 999\nkernel_stack 10\npagetables 20\npercpu 1\nsock 2\nshmem 100\nslab_reclaimable 70\nslab_unreclaimable 7\n";
  const io = { readBytes: 8192, writeBytes: 4096, reads: 2, writes: 1 };
  assert.deepEqual(memoryOfV2(stat, "4096\n", io), {
    rssBytes: 1000 + 100 + 40,
    cacheBytes: 470,
    swapBytes: 4096,
    pagesIn: 2,
    pagesOut: 1,
  });
  assert.deepEqual(memoryOfV2("anon 1\n", undefined, null), {
    rssBytes: 1,
    cacheBytes: 0,
    swapBytes: 0,
    pagesIn: null,
    pagesOut: null,
  });
});

test("a ceiling of max, or of version 1's largest number, is none", () => {
  assert.deepEqual(["536870912\n", "max\n", "9223372036854771712\n"].map(ceilingOf), [536_870_912, null, null]);
});

test("I/O through a loop device is not counted again on the disk below it", () => {
  const bytes =
    "7:0 Read 4096\n7:0 Write 8192\n7:1 Read 100\n8:0 Read 4000\n8:0 Write 9000\n8:0 Total 13000\nTotal 25388\n";
  const counts = "7:0 Read 1\n7:0 Write 2\n7:1 Read 1\n8:0 Read 9\n8:0 Write 1\nTotal 14\n";
  assert.deepEqual(ioOfV1(bytes, counts), { readBytes: 4196, writeBytes: 9000, reads: 9, writes: 2 });
  assert.deepEqual(ioOfV1("Total 0\n", "Total 0\n"), { readBytes: 0, writeBytes: 0, reads: 0, writes: 0 });
  const stat = "8:0 rbytes=5 wbytes=1 rios=1 wios=1 dbytes=0 dios=0\n7:3 rbytes=3 wbytes=2 rios=1 wios=2\n9:1\n";
  assert.deepEqual(ioOfV2(stat), { readBytes: 5, writeBytes: 2, reads: 1, writes: 2 });
  assert.deepEqual(ioOfV2(""), { readBytes: 0, writeBytes: 0, reads: 0, writes: 0 });
});

test("bytes of each interface, of each volume", () => {
  const net =
    "Inter-|   Receive  |  Transmit\n face |bytes packets errs |bytes\n    lo: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\nst12-7:3 1 0 0 0 0 0 0 4 1 0 0 0 0 0 0\n";
  assert.deepEqual(
    [...trafficOf(net)],
    [
      ["lo", { inBytes: 10, outBytes: 20 }],
      ["st12-7", { inBytes: 3, outBytes: 4 }],
    ],
  );
  const groups = `Qgroupid    Referenced    Exclusive   Path
--------    ----------    ---------   ----
0/5              16384        16384   <toplevel>
0/344            16385        16384   dyno-360b0bdd-e3f7-49dd-9606-23614935d291
0/345                0            0   <stale>
1/0                  7            7   dyno-x
`;
  const volumes = volumesOf(groups);
  assert.equal(volumes.get("dyno-360b0bdd-e3f7-49dd-9606-23614935d291"), 16_385);
  assert.equal(volumes.get("dyno-x"), undefined);
});

test("a process may call itself anything", () => {
  assert.equal(stateOf("12 (a) D (b)) R 1 2"), "R");
});
