import { Type } from "typebox";
import { ManifestError, section } from "./manifest-section.ts";
import { checkedSchedule, ScheduleError, type ScheduleSettings } from "./schedule.ts";

/** More than anybody needs, and few enough to be looked at every second. */
export const SCHEDULES_MAX = 100;

const cron = section(
  "cron",
  Type.Array(
    Type.Object(
      {
        command: Type.String(),
        schedule: Type.String(),
        timezone: Type.Optional(Type.String()),
        name: Type.Optional(Type.String()),
        size: Type.Optional(Type.String()),
        concurrency_policy: Type.Optional(Type.String()),
        maintenance: Type.Optional(Type.Boolean()),
      },
      { additionalProperties: false },
    ),
    { maxItems: SCHEDULES_MAX },
  ),
);

/** The list `cron` of an `app.json`, with Dokku's keys and some more. Throws `ManifestError`. */
export function parseCron(value: unknown): readonly ScheduleSettings[] {
  if (value === undefined) return [];
  const schedules: ScheduleSettings[] = [];
  for (const [index, { maintenance, ...draft }] of cron(value).entries()) {
    const place = `cron[${index}]`;
    const schedule = checked(place, draft);
    const isTaken = schedules.some(({ name }) => name === schedule.name);
    if (isTaken && draft.name !== undefined)
      throw new ManifestError(`${place}.name`, `"${draft.name}" is that of another entry: give it one of its own.`);
    const name = isTaken ? freeName(schedule.name, schedules) : schedule.name;
    schedules.push({ ...schedule, name, enabled: maintenance !== true });
  }
  return schedules;
}

function checked(place: string, draft: Parameters<typeof checkedSchedule>[0]): Omit<ScheduleSettings, "enabled"> {
  try {
    return checkedSchedule(draft);
  } catch (error) {
    if (!(error instanceof ScheduleError)) throw error;
    throw new ManifestError(`${place}.${error.field}`, error.message);
  }
}

/** `rake-2` beside `rake`. */
export function freeName(name: string, others: readonly { readonly name: string }[]): string {
  for (let number = 2; ; number++) {
    const free = `${name}-${number}`;
    if (!others.some((other) => other.name === free)) return free;
  }
}
