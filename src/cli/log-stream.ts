import type { IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { type Client, errorOf, textOf } from "./client.ts";

/** Body of `POST log-sessions` (spec 8.3). */
export interface LogQuery {
  readonly lines?: number;
  readonly source?: string;
  readonly dyno?: string;
  readonly tail: boolean;
}

const RECONNECT_MS = 1000;

/**
 * Gives each line of an app's log to `write`, and with `tail` goes on until `signal`; a broken stream is taken up again
 * after the last line seen. Throws `ApiError` when the platform refuses.
 */
export async function readLog(
  client: Client,
  app: string,
  query: LogQuery,
  write: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const session = await client.call<{ readonly logplex_url: string }>("POST", `/apps/${app}/log-sessions`, {
    body: query,
  });
  let lastId: string | undefined;
  do {
    const headers = { Accept: "text/event-stream", ...(lastId !== undefined && { "Last-Event-ID": lastId }) };
    const response = await client.send("GET", session.logplex_url, { headers, signal }).catch((error: unknown) => {
      if (signal.aborted || (query.tail && lastId !== undefined)) return undefined; // the daemon restarts: try again
      throw error;
    });
    if (response !== undefined) lastId = (await readEvents(response, write, signal)) ?? lastId;
    if (query.tail && !signal.aborted) await pause(RECONNECT_MS, undefined, { signal }).catch(() => {});
  } while (query.tail && !signal.aborted);
}

/** The id of the last event, once the stream ends or breaks. */
async function readEvents(
  response: IncomingMessage,
  write: (line: string) => void,
  signal: AbortSignal,
): Promise<string | undefined> {
  const status = response.statusCode ?? 0;
  if (status === 403 || status === 404)
    throw errorOf(status, '{"id":"gone","message":"Log stream timed out. Please try again."}');
  if (status !== 200) throw errorOf(status, await textOf(response));
  let lastId: string | undefined;
  try {
    for await (const line of createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (line.startsWith("data:")) write(line.slice(line[5] === " " ? 6 : 5));
      else if (line.startsWith("id:")) lastId = line.slice(3).trim();
    }
  } catch (error) {
    if (!signal.aborted && (error as NodeJS.ErrnoException).code !== "ECONNRESET") throw error;
  }
  return lastId;
}
