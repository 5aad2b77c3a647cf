import assert from "node:assert/strict";
import { test } from "node:test";
import type { DynoRecord } from "../model/dyno.ts";
import { EndedDynos } from "./ended-dynos.ts";

const of = (...ids: readonly string[]) => ids.map((id, seq) => ({ seq, record: { id } as DynoRecord }));
const idsOf = (ended: EndedDynos, appId: string) => [...ended.of(appId).keys()];

test("what an app's rows are is what was kept last, without those that were written since", () => {
  const ended = new EndedDynos();
  ended.keep("a", of("1", "2", "3"));
  ended.keep("a", of("2", "3", "4"));
  ended.forget("a", "3");
  ended.forget("b", "2");
  assert.deepEqual(idsOf(ended, "a"), ["2", "4"]);
  ended.keep("a", []);
  assert.deepEqual(idsOf(ended, "a"), []);
});

test("nothing is kept of an app once its last row goes", () => {
  const ended = new EndedDynos();
  ended.keep("a", of("1", "2"));
  for (const id of ["1", "2", "2"]) ended.forget("a", id);
  assert.equal(ended.of("a"), ended.of("never seen"));
});

test("beyond some thousands the app that was kept longest ago goes, never the one that is asked for", () => {
  const ended = new EndedDynos();
  const many = (prefix: string, count: number) => of(...Array.from({ length: count }, (_, at) => prefix + at));
  ended.keep("first", many("f", 2000));
  ended.keep("second", many("s", 2000));
  for (const id of idsOf(ended, "first").slice(0, 1000)) ended.forget("first", id);
  ended.keep("third", many("t", 2000));
  assert.equal(idsOf(ended, "first").length, 1000, "5000 fit");
  ended.keep("fourth", many("u", 1));
  assert.deepEqual([idsOf(ended, "first").length, idsOf(ended, "second").length], [0, 2000]);
  ended.keep("huge", many("h", 9000));
  assert.equal(idsOf(ended, "huge").length, 9000);
  assert.deepEqual(idsOf(ended, "third"), []);
});
