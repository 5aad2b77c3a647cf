import type { Instant } from "../lib/clock.ts";

/** One message of an app's log (spec 8.1). */
export interface LogLine {
  readonly at: Instant;
  /** Microseconds below the millisecond of `at`, 0 to 999. */
  readonly micros?: number;
  readonly source: "app" | "heroku";
  /** `web.1`, `router`, `api`, ... */
  readonly process: string;
  /** Without line end, at most 10,000 bytes; longer ones are split by the hub. */
  readonly text: string;
}

/** What other features need of the log hub. Never throws and never waits. */
export interface LogSink {
  append(appId: string, line: LogLine): void;
}

/** `2021-11-27T09:40:40.916869+00:00 heroku[web.1]: State changed from starting to up` */
export function formatLine(line: LogLine): string {
  return `${timestampOf(line)} ${line.source}[${line.process}]: ${line.text}`;
}

/** `2021-11-27T09:40:40.916869+00:00` */
export function timestampOf({ at, micros = 0 }: LogLine): string {
  const iso = new Date(at).toISOString(); // 2021-11-27T09:40:40.916Z
  return `${iso.slice(0, -1)}${String(micros).padStart(3, "0")}+00:00`;
}
