import { Cron } from "croner";
import type { Instant } from "../lib/clock.ts";
import { sizeNamed } from "./size.ts";

/** What a scheduled dyno runs, and when. */
export interface ScheduleSettings extends Timetable {
  /** Unique among the schedules of an app that come from one place. */
  readonly name: string;
  /** As for `heroku run`: a process type as its first word stands for that type's command (spec 3.9). */
  readonly command: string;
  /** A name of the catalogue; null: the default. */
  readonly size: string | null;
  readonly concurrency: Concurrency;
  /** No run is due while it is off. */
  readonly enabled: boolean;
}

/** A cron line and the zone whose clock it goes by. */
export interface Timetable {
  /** Five fields, or `@daily` and its kin. */
  readonly cron: string;
  /** A name of the IANA database, or `UTC`. */
  readonly timeZone: string;
}

/**
 * What a run that is due does while an earlier one still runs: it is skipped (forbid), runs beside it (allow), or takes its place
 * (replace).
 */
export type Concurrency = "forbid" | "allow" | "replace";

/** As a user wrote it: the fields that both `app.json` and the API have. */
export interface ScheduleDraft {
  readonly command: string;
  readonly schedule: string;
  readonly timezone?: string;
  readonly name?: string;
  readonly size?: string | null;
  readonly concurrency_policy?: string;
}

/** A field cannot be used; the message goes on from the field's name. */
export class ScheduleError extends Error {
  readonly field: keyof ScheduleDraft;
  constructor(field: keyof ScheduleDraft, message: string) {
    super(message);
    this.name = "ScheduleError";
    this.field = field;
  }
}

export const DEFAULT_TIME_ZONE = "UTC";
export const NAME_BYTES_MAX = 63;
export const COMMAND_BYTES_MAX = 16 * 1024;
const CRON_BYTES_MAX = 200;
const NAME = /^[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/;
const NICKNAMES = ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"];

/** The settings that a draft stands for; off or on is not its matter. Throws `ScheduleError`. */
export function checkedSchedule(draft: ScheduleDraft): Omit<ScheduleSettings, "enabled"> {
  const command = checkedCommand(draft.command);
  return {
    ...checkedTimetable(draft.schedule, draft.timezone ?? DEFAULT_TIME_ZONE),
    name: draft.name === undefined ? nameFor(command) : checkedName(draft.name),
    command,
    size: draft.size === undefined || draft.size === null ? null : checkedSize(draft.size),
    concurrency: checkedConcurrency(draft.concurrency_policy ?? "forbid"),
  };
}

function checkedCommand(text: string): string {
  if (text.trim() === "") throw new ScheduleError("command", "is empty: say what the dyno should run.");
  if (text.includes("\0")) throw new ScheduleError("command", "holds a NUL character.");
  if (Buffer.byteLength(text) > COMMAND_BYTES_MAX)
    throw new ScheduleError("command", `is longer than ${COMMAND_BYTES_MAX} bytes.`);
  return text.trim();
}

/** Throws `ScheduleError`, also for a line that never comes, such as the 31st of February. */
export function checkedTimetable(line: string, zone: string): Timetable {
  const timeZone = checkedTimeZone(zone);
  const cron = line.trim().replace(/\s+/g, " ");
  if (Buffer.byteLength(cron) > CRON_BYTES_MAX)
    throw new ScheduleError("schedule", `is longer than ${CRON_BYTES_MAX} bytes.`);
  if (cron.startsWith("@")) {
    if (!NICKNAMES.includes(cron.toLowerCase()))
      throw new ScheduleError("schedule", `${quoted(cron)} is not known: use ${NICKNAMES.join(", ")}, or five fields.`);
    return { cron: cron.toLowerCase(), timeZone };
  }
  const fields = cron === "" ? 0 : cron.split(" ").length;
  if (fields !== 5) throw new ScheduleError("schedule", `${quoted(cron)} has ${countOf(fields)}. ${FIELDS}`);
  // croner puts the current time in place of a question mark.
  if (cron.includes("?")) throw new ScheduleError("schedule", `${quoted(cron)} has a question mark: write * instead.`);
  if (firstAfter({ cron, timeZone }, A_DAY) === null)
    throw new ScheduleError("schedule", `${quoted(cron)} never comes: there is no such day.`);
  return { cron, timeZone };
}

const FIELDS =
  "Write five: minute, hour, day of the month, month, day of the week, as in 30 3 * * 1; the minute is the finest there is.";

function countOf(fields: number): string {
  return fields === 1 ? "one field" : `${fields} fields`;
}

/** Any will do: what comes at all comes within the calendar's 28 years. */
const A_DAY: Instant = Date.UTC(2024, 0, 1);

function firstAfter(timetable: Timetable, after: Instant): Instant | null {
  try {
    return nextRunAt(timetable, after);
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^CronPattern: /, "") : String(error);
    throw new ScheduleError("schedule", `${quoted(timetable.cron)} is no cron line: ${sentence(reason)} ${FIELDS}`);
  }
}

function sentence(text: string): string {
  return /[.!]$/.test(text) ? text : `${text}.`;
}

function checkedTimeZone(zone: string): string {
  const wrong = new ScheduleError(
    "timezone",
    `${quoted(zone)} is not known: use a name of the IANA database such as Europe/Berlin, or UTC.`,
  );
  if (!/^[A-Za-z][-+\w/]{0,63}$/.test(zone)) throw wrong;
  const known = canonicalZone(zone);
  if (known === undefined) throw wrong;
  return known;
}

/** In the spelling of the database, whatever the case; an alias stays what it was called. undefined: there is none. */
function canonicalZone(zone: string): string | undefined {
  try {
    const { timeZone } = new Intl.DateTimeFormat("en", { timeZone: zone }).resolvedOptions();
    return timeZone.toLowerCase() === zone.toLowerCase() ? timeZone : zone;
  } catch {
    return undefined; // RangeError: not a zone
  }
}

function checkedName(name: string): string {
  if (name.length <= NAME_BYTES_MAX && NAME.test(name)) return name;
  throw new ScheduleError(
    "name",
    `${quoted(name)} is no name: use lower-case letters, digits, - and _, at most ${NAME_BYTES_MAX}.`,
  );
}

/** `npm run send-email` is called `npm-run-send-email`. */
export function nameFor(command: string): string {
  const words = command.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return words.slice(0, 40).replace(/^-+|-+$/g, "") || "schedule";
}

function checkedSize(size: string): string {
  const found = sizeNamed(size);
  if (found === undefined || found.name === "Build")
    throw new ScheduleError("size", `${quoted(size)} is no dyno size: GET /dyno-sizes lists them.`);
  return found.name;
}

function checkedConcurrency(policy: string): Concurrency {
  if (policy === "forbid" || policy === "allow" || policy === "replace") return policy;
  throw new ScheduleError("concurrency_policy", `${quoted(policy)} is not known: use forbid, allow or replace.`);
}

/** What a stranger wrote, fit for one line. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}

/** The first time after this instant that the line names; null: never. */
export function nextRunAt(timetable: Timetable, after: Instant): Instant | null {
  return parsed(timetable).nextRun(new Date(after))?.getTime() ?? null;
}

/** The last time up to this instant that the line names; null: never. */
export function lastRunAt(timetable: Timetable, until: Instant): Instant | null {
  // croner's own is of whole seconds, and before the instant it is given.
  const [found] = parsed(timetable).previousRuns(1, new Date(Math.floor(until / 1000) * 1000 + 1000));
  return found?.getTime() ?? null;
}

/** croner computes times and does nothing else here: without a function it sets no timer. */
function parsed({ cron, timeZone }: Timetable): Cron {
  const key = `${timeZone} ${cron}`;
  const known = parsedLines.get(key);
  if (known !== undefined) return known;
  // As cron does: times that a change of the clock leaves out come right after it, those that it repeats come once.
  const made = new Cron(cron, { paused: true, mode: "5-part", timezone: timeZone, fixedTimeRule: "no-wildcard" });
  if (parsedLines.size >= PARSED_MAX) parsedLines.clear();
  parsedLines.set(key, made);
  return made;
}

const PARSED_MAX = 10_000;
const parsedLines = new Map<string, Cron>();
