import type { LogLine } from "./line.ts";

/** A line as the app's log keeps it. Ids grow within an app, so a reader can go on after the last one it saw. */
export interface StoredLine extends LogLine {
  readonly id: number;
}

/** Which lines somebody wants (spec 8.3); what is left out means all. */
export interface LogFilter {
  readonly source?: "app" | "heroku";
  /** `web.1`, or `web` for every dyno of that type. */
  readonly process?: string;
}

export function matches(filter: LogFilter, line: LogLine): boolean {
  if (filter.source !== undefined && line.source !== filter.source) return false;
  if (filter.process === undefined || line.process === filter.process) return true;
  return line.process.startsWith(`${filter.process}.`);
}
