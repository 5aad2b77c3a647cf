import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../lib/clock.ts";
import { silentLogger } from "../../lib/logger.ts";
import { sizeNamed } from "../../model/size.ts";
import type { Cgroups } from "./cgroup.ts";
import { peakMemoryBytes } from "./cgroup.ts";
import { UsageLook, type UsedDyno } from "./usage.ts";

const ID = "1f0c3c4e-0000-4000-a000-000000000001";
const MIB = 1024 * 1024;

/** Folders as the kernel would show them; `files`: of the dyno's group, by hierarchy. The watchers' group has the same ones. */
function groups(kind: Cgroups["kind"], files: Readonly<Record<string, Readonly<Record<string, string>>>>) {
  const root = mkdtempSync(join(tmpdir(), "stator-groups-"));
  for (const [hierarchy, all] of Object.entries(files))
    for (const group of [ID, "conmon"]) {
      mkdirSync(join(root, hierarchy, group), { recursive: true });
      for (const [name, text] of Object.entries(all)) writeFileSync(join(root, hierarchy, group, name), text);
    }
  const folders = Object.keys(files).map((hierarchy) => join(root, hierarchy));
  const cgroups = { kind, hybridMount: null, swapLimit: true, path: "/x", folders } as unknown as Cgroups; // all that is read
  return { cgroups, remove: () => rmSync(root, { recursive: true, force: true }) };
}

const size = sizeNamed("Basic") ?? assert.fail();
const dyno = (id = ID): UsedDyno => ({
  labels: { id, appId: "app", kind: "formation", name: "web.1" },
  size,
  state: { kind: "running", since: 1, listening: true, address: null },
  network: { index: 7 },
});

async function look(cgroups: Cgroups, dynos: readonly UsedDyno[], tasksOf: readonly string[] = []) {
  const usage = new UsageLook({
    cgroups,
    store: { used: async () => new Map([[`dyno-${ID}`, 4096]]) },
    network: { traffic: async () => new Map([[7, { inBytes: 1, outBytes: 2 }]]) },
    clock: systemClock,
    logger: silentLogger,
  });
  return usage.of(dynos, new Set(tasksOf));
}

test("version 1: each file from the hierarchy that has it, tasks not from systemd's; a dyno without a group has ended", async () => {
  const { cgroups, remove } = groups("v1", {
    systemd: { tasks: "" },
    memory: {
      tasks: `${process.pid}\n`,
      "memory.stat": `total_rss ${3 * MIB}\ntotal_cache ${MIB}\n`,
      "memory.limit_in_bytes": `${512 * MIB}\n`,
      "memory.max_usage_in_bytes": "77\n",
    },
    cpuacct: { "cpuacct.usage": "2500000000\n", tasks: "" },
    pids: { "pids.current": "4\n", tasks: `${process.pid}\n` },
    blkio: {
      "blkio.throttle.io_service_bytes_recursive": "7:0 Read 10\nTotal 10\n",
      "blkio.throttle.io_serviced_recursive": "7:0 Read 1\nTotal 1\n",
    },
  });
  const gone = dyno("1f0c3c4e-0000-4000-a000-000000000002");
  const ended: UsedDyno = { ...dyno(), state: { kind: "ended", at: 1, status: 0, outOfMemory: false } };
  const [usage, ...others] = await look(cgroups, [dyno(), gone, ended], ["app"]);
  assert.equal(others.length, 0);
  assert.deepEqual([usage?.cpuMs, usage?.processes, usage?.diskBytes], [2500, 4, 4096]);
  assert.deepEqual(usage?.io, { readBytes: 10, writeBytes: 0, reads: 1, writes: 0 });
  assert.deepEqual(usage?.network, { inBytes: 1, outBytes: 2 });
  assert.deepEqual(
    [usage?.memory.rssBytes, usage?.memory.quotaBytes, usage?.memory.ceilingBytes],
    [3 * MIB, 512 * MIB, 512 * MIB],
  );
  assert.equal(usage?.tasks?.uninterruptible, 0);
  assert.ok((usage?.tasks?.waitedMs ?? -1) >= 0);
  assert.equal(await peakMemoryBytes(cgroups, ID), 77);
  assert.equal(await peakMemoryBytes(cgroups, "gone"), null);
  remove();
});

test("version 2: one folder has it all; what the host does not count is null", async () => {
  const files = {
    "memory.stat": "anon 1048576\nfile 8192\nshmem 0\n",
    "memory.max": `${1024 * MIB}\n`,
    "memory.swap.current": "4096\n",
    "memory.peak": "99\n",
    "cpu.stat": "usage_usec 1500\nuser_usec 1000\n",
    "pids.current": "2\n",
    "cgroup.threads": "999999999\n",
  };
  const { cgroups, remove } = groups("v2", { unified: files });
  const [usage] = await look(cgroups, [dyno()]);
  assert.deepEqual([usage?.cpuMs, usage?.processes, usage?.io, usage?.tasks], [1.5, 2, null, null]);
  assert.deepEqual(usage?.memory, {
    rssBytes: MIB,
    cacheBytes: 8192,
    swapBytes: 4096,
    pagesIn: null,
    pagesOut: null,
    quotaBytes: 512 * MIB,
    ceilingBytes: 1024 * MIB,
  });
  const [watched] = await look(cgroups, [dyno()], ["app"]);
  assert.deepEqual(watched?.tasks, { waitedMs: 0, uninterruptible: 0 }, "a task that is gone");
  assert.equal(await peakMemoryBytes(cgroups, ID), 99);
  remove();
});

/** A look at one dyno whose files a test changes, with a clock that it moves, and a count of the programs that told its disk. */
function oneDyno() {
  const state = { cpuUsec: 1_000_000, anon: 10 * MIB, processes: 2, now: 1_000_000_000, disks: 0 };
  const { cgroups, remove } = groups("v2", { unified: { "memory.max": "max\n", "pids.current": "2\n" } });
  const write = (name: string, text: string) => writeFileSync(join(cgroups.folders[0] ?? "", ID, name), text);
  const { folders } = cgroups;
  for (const name of ["memory.stat", "cpu.stat"]) writeFileSync(join(folders[0] ?? "", "conmon", name), "");
  const usages = new UsageLook({
    cgroups,
    store: { used: async () => (state.disks++, new Map([[`dyno-${ID}`, state.disks]])) },
    network: { traffic: async () => new Map() },
    clock: { ...systemClock, now: () => state.now },
    logger: silentLogger,
  });
  const look = async (tasksOf: readonly string[] = []) => {
    state.now += 20_000;
    write("cpu.stat", `usage_usec ${state.cpuUsec}\n`);
    write("memory.stat", `anon ${state.anon}\n`);
    write("pids.current", `${state.processes}\n`);
    const [usage] = await usages.of([dyno()], new Set(tasksOf));
    return { cpuMs: usage?.cpuMs, rss: usage?.memory.rssBytes, processes: usage?.processes, disk: usage?.diskBytes };
  };
  return { state, look, [Symbol.dispose]: remove };
}

test("of a dyno that did nothing its processor time alone is read; once it has run all is read again", async () => {
  using one = oneDyno();
  const { state, look } = one;
  assert.deepEqual(await look(), { cpuMs: 1000, rss: 10 * MIB, processes: 2, disk: 1 });
  Object.assign(state, { cpuUsec: 1_001_900, anon: 11 * MIB, processes: 3 });
  const { rss, processes, cpuMs } = await look();
  assert.deepEqual({ rss, processes, cpuMs }, { rss: 10 * MIB, processes: 2, cpuMs: 1001.9 });
  state.cpuUsec += 1_000; // what it ran little by little is added up
  const ran = await look();
  assert.deepEqual([ran.rss, ran.processes], [11 * MIB, 3]);
  state.anon = 12 * MIB;
  assert.equal((await look(["app"])).rss, 12 * MIB, "whoever logs its figures gets them as they are");
});

test("spec 6.1: what is near its quota or above is read each time, and all is after three minutes", async () => {
  using one = oneDyno();
  const { state, look } = one;
  state.anon = 384 * MIB;
  await look();
  state.anon = 600 * MIB;
  assert.equal((await look()).rss, 600 * MIB);
  state.anon = 10 * MIB; // the kernel took it back
  assert.equal((await look()).rss, 10 * MIB);
  state.anon = 9 * MIB;
  for (let at = 1; at < 9; at++) assert.equal((await look()).rss, 10 * MIB, String(at));
  assert.equal((await look()).rss, 9 * MIB);
});

test("disks are not asked for again once nothing has run for as long as the file system takes to count; the clock may go back", async () => {
  using one = oneDyno();
  const { state, look } = one;
  const seen: unknown[] = [];
  for (let at = 0; at < 5; at++) seen.push((await look()).disk);
  assert.deepEqual(seen, [1, 2, 3, 3, 3]);
  state.cpuUsec += 5_000;
  assert.equal((await look()).disk, 4);
  state.now -= 86_400_000;
  assert.deepEqual([(await look()).disk, (await look()).disk], [5, 6]);
});

test("500 dynos are looked at without starving what else the process does", async () => {
  const { cgroups, remove } = groups("v2", {
    unified: { "memory.stat": "anon 1\n", "memory.max": "max\n", "cpu.stat": "usage_usec 1\n", "pids.current": "1\n" },
  });
  let turns = 0;
  let isDone = false;
  const others = (async () => {
    for (; !isDone; turns++) await new Promise(setImmediate);
  })();
  const usages = await look(
    cgroups,
    Array.from({ length: 500 }, () => dyno()),
  );
  isDone = true;
  await others;
  assert.equal(usages.length, 500);
  assert.ok(turns >= 500 / 16 - 1, `${turns} turns`);
  remove();
});
