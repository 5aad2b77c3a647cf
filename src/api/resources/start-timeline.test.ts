import assert from "node:assert/strict";
import { test } from "node:test";
import { timelineOf } from "./start-timeline.ts";

const dyno = { id: "01234567-89ab-4def-8123-456789abcdef", name: "web.1", state: "up", stateSince: 1_000_040 } as const;

test("the steps of a start stand in the order in which they were done, with the time since the first", () => {
  const marks = { asked: 500, planned: 503.2, disk: 506, network: 505.5, started: 530.1234567 };
  const { steps } = timelineOf(dyno, marks, { now: 1_000_100, monotonic: 600 });
  assert.deepEqual(
    steps.map(({ name }) => name),
    ["asked", "planned", "network", "disk", "started", "up"],
  );
  assert.deepEqual(steps.at(-1), { name: "up", at: 540, after: 40 });
  assert.deepEqual(steps.at(-2), { name: "started", at: 530.123, after: 30.123 });
});

test("a dyno that is not up has no such step", () => {
  const { steps } = timelineOf({ ...dyno, state: "starting" }, { asked: 1 }, { now: 0, monotonic: 0 });
  assert.deepEqual(steps, [{ name: "asked", at: 1, after: 0 }]);
});
