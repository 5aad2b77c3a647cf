import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { type LogQuery, readLog } from "../log-stream.ts";
import { beginJsonLines, jsonLine, print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const query = queryOf(input);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const forced = input.has("force-colors");
  const colours = forced || (process.stdout.isTTY === true && !input.has("no-color") && !process.env["NO_COLOR"]);
  const interrupted = new AbortController();
  process.once("SIGINT", () => interrupted.abort());
  const asJson = input.has("json");
  if (asJson) beginJsonLines();
  const write = (line: string) => (asJson ? jsonLine(partsOf(line)) : print(colours ? coloured(line) : line));
  await readLog(client, app, query, write, interrupted.signal);
  return interrupted.signal.aborted ? 130 : 0;
}

/** Throws `UsageError`. */
export function queryOf(input: Input): LogQuery {
  const num = input.text("num");
  const lines = Number(num ?? "100");
  if (!Number.isInteger(lines) || lines < 0) throw new UsageError(`--num ${num}: must be a number.`);
  const source = input.text("source");
  if (source !== undefined && source !== "app" && source !== "heroku")
    throw new UsageError(`--source ${source}: must be app or heroku.`);
  if (input.has("dyno-name") && input.has("process-type"))
    throw new UsageError("--process-type cannot be used together with --dyno-name.");
  const dyno = input.text("dyno-name") ?? input.text("process-type");
  return {
    lines,
    tail: input.has("tail"),
    ...(source !== undefined && { source }),
    ...(dyno !== undefined && { dyno }),
  };
}

/** A line for machines; one that is not written as all are is a message alone. */
export function partsOf(line: string): Readonly<Record<string, string>> {
  const [, at, source, dyno, message] = /^(\S+) (\S+?)\[([\w.-]+)\]: ?([\s\S]*)$/.exec(line) ?? [];
  if (at === undefined || source === undefined || dyno === undefined || message === undefined) return { message: line };
  return { at, source, dyno, message };
}

const COLOURS = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];

/** The head of a line in a colour that its process always has. */
export function coloured(line: string): string {
  const match = /^(\S+ \S+?\[([\w.-]+)\]:)([\s\S]*)$/.exec(line);
  if (match?.[1] === undefined || match[2] === undefined) return line;
  const sum = Buffer.from(match[2]).reduce((total, byte) => total + byte, 0);
  return `\x1b[${COLOURS[sum % COLOURS.length]}m${match[1]}\x1b[0m${match[3]}`;
}
