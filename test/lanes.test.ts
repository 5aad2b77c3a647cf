import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ALONE, inLanes, LONG, nameOf, planOf } from "./lanes.ts";

const files = globSync(join(import.meta.dirname, "e2e", "*.test.ts"));

test("every name that is said is a file, once, and no reason is empty", () => {
  const said = [...Object.keys(ALONE), ...LONG];
  assert.deepEqual(
    said.filter((name) => !files.map(nameOf).includes(name)),
    [],
  );
  assert.equal(new Set(said).size, said.length);
  assert.ok(Object.values(ALONE).every((reason) => reason.length > 20));
});

test("every file has its turn, the long ones first, and what is alone in no lane", () => {
  const plan = planOf(files);
  assert.deepEqual([...plan.inLanes, ...plan.alone].toSorted(), files.toSorted());
  assert.deepEqual(plan.inLanes.slice(0, LONG.length).map(nameOf), LONG);
  assert.deepEqual(plan.alone.map(nameOf).toSorted(), Object.keys(ALONE).toSorted());
});

test("a lane works at one file at a time, what it cannot do the others do, and all are done at the end", async () => {
  const busy = new Set<string>();
  const done: string[] = [];
  const later = Promise.withResolvers<string>();
  const lanes = [Promise.resolve("one"), Promise.resolve(undefined), later.promise];
  await inLanes(["a", "b", "c", "d"], lanes, async (file, lane) => {
    assert.ok(!busy.has(lane), `${lane} has two at once`);
    busy.add(lane);
    if (file === "b") later.resolve("three");
    await new Promise((resolve) => setImmediate(resolve));
    busy.delete(lane);
    done.push(`${file} by ${lane}`);
  });
  assert.deepEqual(done.map((each) => each.slice(0, 1)).toSorted(), ["a", "b", "c", "d"]);
  assert.ok(done.some((each) => each.endsWith("three")));
  await assert.rejects(
    inLanes(["a"], [Promise.resolve("one")], async () => assert.fail("a broken runner")),
    /a broken runner/,
  );
});
