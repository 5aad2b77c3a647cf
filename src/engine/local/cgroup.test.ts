import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { type CgroupKind, memoryKillOf } from "./cgroup.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "stator-cgroup-"));
  mkdirSync(join(folder, "dyno"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function killOf(kind: CgroupKind, file: string, text: string) {
  writeFileSync(join(folder, "dyno", file), text);
  const facts = { hybridMount: null, swapLimit: true, tcpLimit: false, ioLimit: true, path: "/s", folders: [folder] };
  return memoryKillOf({ kind, ...facts }, "dyno");
}

/** As the kernel writes it. */
const events = (oom: number, kills: number) =>
  `low 0\nhigh 0\nmax 12\noom ${oom}\noom_kill ${kills}\noom_group_kill 0\nsock_throttled 0\n`;

test("version 2: a kill is the dyno's own only where its own limit was met", () => {
  assert.equal(killOf("v2", "memory.events", events(0, 0)), undefined);
  assert.equal(killOf("v2", "memory.events", events(2, 0)), undefined);
  assert.equal(killOf("v2", "memory.events", events(1, 3)), "own");
  assert.equal(killOf("v2", "memory.events", events(0, 3)), "machine");
});

test("version 1 does not tell one from the other", () => {
  assert.equal(killOf("v1", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), "own");
  assert.equal(killOf("v1", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"), undefined);
});

test("a group that is gone tells nothing", () => {
  assert.equal(killOf("v2", "other", ""), undefined);
});
