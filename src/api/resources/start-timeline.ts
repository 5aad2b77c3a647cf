import Type from "typebox";
import type { StartMarks } from "../../engine/engine.ts";
import type { DynoRecord } from "../../model/dyno.ts";
import { exactly, Uuid } from "../schema.ts";

/** Ours: when each step of a dyno's start was done, on CLOCK_MONOTONIC. */
export const TimelineSchema = exactly({
  dyno: exactly({ id: Uuid, name: Type.String() }),
  /** In the order in which they were done; `at` in milliseconds of CLOCK_MONOTONIC, `after` since the first. */
  steps: Type.Array(exactly({ name: Type.String(), at: Type.Number(), after: Type.Number() })),
});

/** `up` is known by the wall clock, to the millisecond: when both clocks were read tells the other. Pure. */
export function timelineOf(
  dyno: Pick<DynoRecord, "id" | "name" | "state" | "stateSince">,
  marks: StartMarks,
  { now, monotonic }: { readonly now: number; readonly monotonic: number },
) {
  const up = dyno.state === "up" ? [{ name: "up", at: monotonic - (now - dyno.stateSince) }] : [];
  const steps = [...Object.entries(marks).map(([name, at]) => ({ name, at })), ...up].toSorted((a, b) => a.at - b.at);
  const first = steps[0]?.at ?? 0;
  return {
    dyno: { id: dyno.id, name: dyno.name },
    steps: steps.map(({ name, at }) => ({ name, at: rounded(at), after: rounded(at - first) })),
  };
}

/** To the microsecond. */
const rounded = (ms: number): number => Math.round(ms * 1000) / 1000;
