import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { stackFiles } from "../engine/local/stack.ts";
import { instanceOf } from "../model/instance.ts";
import { judgeStacks, stackFindings } from "./stack-finding.ts";

const DAY_MS = 86_400_000;
const built = Date.parse("2026-09-01T12:00:00Z");

test("stacks are named with their days; after 60 days the command that renews them is due", () => {
  const stacks = [
    { name: "debian-12", builtAt: built },
    { name: "debian-12-build", builtAt: built + 3 * DAY_MS },
  ];
  const young = judgeStacks(stacks, built + 59 * DAY_MS, "stator");
  assert.equal(young.verdict, "ok");
  assert.match(young.detail, /^debian-12 of 2026-09-01, debian-12-build of 2026-09-04\. .*sudo stator stack:update$/);
  assert.equal(judgeStacks(stacks, built + 61 * DAY_MS, "stator").verdict, "degraded");
});

test("what has no day of its own is as old as its image; where nothing is built there is nothing to say", async () => {
  const home = await mkdtemp(join(tmpdir(), "stator-stacks-"));
  try {
    const instance = instanceOf(home);
    assert.deepEqual(await stackFindings(instance, built), []);
    const { image, recipe, tar } = stackFiles(instance, "debian-12");
    await mkdir(join(image, ".."), { recursive: true });
    for (const path of [image, tar]) await writeFile(path, "");
    await writeFile(recipe, JSON.stringify({ recipe: "of an older program" }));
    await utimes(image, built / 1000, built / 1000);
    const [finding] = await stackFindings(instance, built);
    assert.match(finding?.detail ?? "", /^debian-12 of 2026-09-01\. /);
  } finally {
    await rm(home, { recursive: true });
  }
});
