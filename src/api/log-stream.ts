import { formatLine } from "../logs/line.ts";
import type { AppLogs, LogEntry, LogFilter } from "./logs-interface.ts";

export interface LogStreamOptions {
  readonly logs: Pick<AppLogs, "history" | "subscribe">;
  readonly appId: string;
  readonly filter: LogFilter;
  readonly lines: number;
  readonly tail: boolean;
  /** The last entry that the client has seen. */
  readonly lastId: number | undefined;
  readonly isSse: boolean;
  readonly signal: AbortSignal;
}

const RESUMED_MAX = 1500;

/** A log session as text: what was logged so far, then, tailing, what comes, each line once (platform-api 3.2). */
export async function* logStream(options: LogStreamOptions): AsyncGenerator<string> {
  const { logs, appId, filter, tail, lastId, isSse, signal } = options;
  if (lastId !== undefined && tail) return yield* follow(lastId);
  const newest = await logs.history(appId, { lines: 1 }); // asked before the rest: what comes after it is followed
  const kept = await backlog(options);
  for (const entry of kept) yield format(entry, isSse);
  if (tail) yield* follow((kept.at(-1) ?? newest[0])?.id ?? 0);

  async function* follow(afterId: number): AsyncGenerator<string> {
    for await (const entry of logs.subscribe(appId, filter, afterId, signal)) yield format(entry, isSse);
  }
}

async function backlog({ logs, appId, filter, lines, lastId }: LogStreamOptions): Promise<readonly LogEntry[]> {
  if (lastId === undefined) return lines === 0 ? [] : logs.history(appId, { lines, filter });
  return (await logs.history(appId, { lines: RESUMED_MAX, filter })).filter(({ id }) => id > lastId);
}

/** The id lets a client that lost the connection go on after this line. */
function format(entry: LogEntry, isSse: boolean): string {
  const text = formatLine(entry);
  return isSse ? `id: ${entry.id}\ndata: ${text.replaceAll(/\r\n|\r|\n/g, "\ndata: ")}\n\n` : `${text}\n`;
}
