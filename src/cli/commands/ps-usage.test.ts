import assert from "node:assert/strict";
import { test } from "node:test";
import type { UsageJson } from "../api.ts";
import { format } from "./ps-usage.ts";

const MIB = 1024 * 1024;
const USAGE: UsageJson = {
  name: "web.1",
  type: "web",
  size: "Basic",
  memory_rss_bytes: 600 * MIB,
  memory_cache_bytes: 1.5 * MIB,
  memory_swap_bytes: 46 * MIB,
  memory_quota_bytes: 512 * MIB,
  memory_percent: 126.17,
  cpu_percent: 3.21,
  processes: 5,
  processes_max: 256,
  disk_used_bytes: 16_384,
  disk_quota_bytes: 2048 * MIB,
  io_read_bytes: null,
  io_write_bytes: 0,
  network_in_bytes: 1234,
  network_out_bytes: 10_000_000,
};

test("ps:usage: a row for each dyno, against its limits, with what is not counted as -", () => {
  assert.deepEqual(format([USAGE, { ...USAGE, name: "worker.12" }]), [
    "DYNO       MEMORY              CACHE  SWAP  CPU   PROCESSES  DISK    READ  WRITTEN  IN    OUT",
    "web.1      646M/512M (126.2%)  1.5M   46M   3.2%  5/256      16K/2G  -     0B       1.2K  9.5M",
    "worker.12  646M/512M (126.2%)  1.5M   46M   3.2%  5/256      16K/2G  -     0B       1.2K  9.5M",
  ]);
});
