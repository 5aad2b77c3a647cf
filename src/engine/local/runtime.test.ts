import assert from "node:assert/strict";
import { mkdtempDisposable } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../lib/clock.ts";
import { Runtime } from "./runtime.ts";

/** A program in the runtime's place: what a dyno's processes meet is never the installed one (CVE-2019-5736). */
test("what is run inside a dyno is run by the same copy of the runtime that makes dynos", async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), "stator-runtime-"));
  const of = (path: string) =>
    new Runtime({ name: "crun", bundles: folder.path, namespace: null, programs: { path: () => path } });
  const files = { id: "x", process: "p.json", pidFile: join(folder.path, "pid") };
  const [program, args] = of("/copy/crun").execCommand({ ...files, console: null });
  assert.deepEqual([program, args.includes("exec")], ["/copy/crun", true]);
  assert.deepEqual(of("/copy/crun").command(["state", "x"])[0], "/copy/crun");
  const probe = { ...files, timeoutMs: 10_000, clock: systemClock, signal: new AbortController().signal };
  for (const [path, status] of [
    ["/usr/bin/true", 0],
    ["/usr/bin/false", 1],
  ] as const)
    assert.equal(await of(path).exec(probe), status, path);
});
