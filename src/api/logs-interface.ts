import type { LogLine, LogSink } from "../logs/line.ts";

/** What the API asks of the log hub (`LogHub` of `logs/hub.ts` has all of it). */
export interface AppLogs extends LogSink {
  /** The newest lines that match, oldest first. */
  history(appId: string, query: { readonly lines: number; readonly filter?: LogFilter }): Promise<readonly LogEntry[]>;
  /** Lines as they come, until `signal` or the app's end; with `afterId` first those after it that are still kept. */
  subscribe(
    appId: string,
    filter: LogFilter,
    afterId: number | undefined,
    signal: AbortSignal,
  ): AsyncIterable<LogEntry>;
  /** Deletes the app's log. */
  removeApp(appId: string): Promise<void>;
}

export interface LogFilter {
  readonly source?: "app" | "heroku";
  /** `web.1`, or `web` for every dyno of that type. */
  readonly process?: string;
}

/** Ids rise within an app, over restarts too. */
export interface LogEntry extends LogLine {
  readonly id: number;
}
