import assert from "node:assert/strict";
import { test } from "node:test";
import type { DynoJson } from "../api.ts";
import { counts } from "./ps-wait.ts";

const dyno = (type: string, state: string, version: number) => ({ type, state, release: { version } }) as DynoJson; // all that counts

test("docs/dynos.md: dynos of an app that sleeps are there with its release, and not with an older one", () => {
  const of = (...dynos: readonly DynoJson[]) => counts(dynos, { version: 5 }, undefined, false);
  assert.deepEqual(of(dyno("web", "idle", 5), dyno("worker", "idle", 6)), { there: 2, wanted: 2 });
  assert.deepEqual(of(dyno("web", "idle", 4), dyno("worker", "up", 5)), { there: 1, wanted: 2 });
  assert.deepEqual(of(dyno("web", "starting", 5), dyno("web", "crashed", 5)), { there: 0, wanted: 2 });
});

test("one-off dynos count where asked for, those of release commands never, others by their type", () => {
  const dynos = [dyno("web", "up", 5), dyno("worker", "up", 4), dyno("run", "starting", 5), dyno("release", "up", 5)];
  assert.deepEqual(counts(dynos, { version: 5 }, undefined, true), { there: 1, wanted: 3 });
  const job = dyno("scheduler", "up", 4); // it goes on with the release that it began with
  assert.deepEqual(counts([job, dyno("web", "up", 5)], { version: 5 }, undefined, false), { there: 1, wanted: 1 });
  assert.deepEqual(counts(dynos, { version: 5 }, "web", false), { there: 1, wanted: 1 });
});
