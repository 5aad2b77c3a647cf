import { inspect } from "node:util";
import { HarmlessText, harmless } from "./terminal-text.ts";

/** What `--json` makes of a command's output: one JSON value on standard output and nothing else there. */
interface JsonOutput {
  wasWritten: boolean;
  /** What the platform answered to each change, in their order. */
  readonly answers: unknown[];
}

/** Undefined: output for people. One command runs in a process, but in tests. */
let asJson: JsonOutput | undefined;

/** Before each command. */
export function beginOutput(options: { readonly json: boolean }): void {
  asJson = options.json ? { wasWritten: false, answers: [] } : undefined;
}

export const isJsonOutput = (): boolean => asJson !== undefined;

/** The platform answered to a change: that is what `--json` shows of a command with no data of its own. */
export function changed(answer: unknown): void {
  asJson?.answers.push(answer ?? {});
}

/** After each command: `many` for those that change any number of things. */
export function endOutput(many: boolean): void {
  if (asJson === undefined || asJson.wasWritten) return;
  const { answers } = asJson;
  json(many || answers.length > 1 ? answers : (answers[0] ?? {}));
}

/** Data goes to standard output, what is being done to standard error, as people's scripts expect (platform-api 4). */
export function print(line = ""): void {
  if (asJson === undefined) process.stdout.write(`${harmless(line)}\n`);
}

/** As `print`, for values that a script reads back: only a terminal is spared what it would obey. */
export function printValue(line: string): void {
  if (asJson === undefined) process.stdout.write(`${process.stdout.isTTY ? harmless(line) : line}\n`);
}

/** What a build or a release's command says, to its end; a file or a pipe gets its very bytes. */
export async function pour(stream: AsyncIterable<unknown>): Promise<void> {
  const text = process.stdout.isTTY ? new HarmlessText() : undefined;
  for await (const chunk of stream) {
    const bytes = chunk as Buffer; // without an encoding a response gives Buffers
    process.stdout.write(text?.push(bytes) ?? bytes);
  }
}

export function note(line: string): void {
  process.stderr.write(`${harmless(line)}\n`);
}

export function warn(line: string): void {
  note(` ›   Warning: ${line}`);
}

/** An app's name in a sentence: with the official client's mark on a terminal with colours, bare for everybody else. */
export function marked(app: string): string {
  const { isTTY } = process.stdout;
  const { NO_COLOR: none, TERM: terminal } = process.env;
  return isTTY === true && (none === undefined || none === "") && terminal !== "dumb" ? `⬢ ${app}` : app;
}

/** `Doing X... done` on standard error; `work` may give what follows `done`. */
export async function action<T>(what: string, work: () => Promise<T>, suffix?: (value: T) => string): Promise<T> {
  if (asJson !== undefined) return work();
  process.stderr.write(`${harmless(what)}... `);
  try {
    const value = await work();
    const more = suffix?.(value) ?? "";
    process.stderr.write(`done${more === "" ? "" : `, ${harmless(more)}`}\n`);
    return value;
  } catch (error) {
    process.stderr.write("!\n");
    throw error;
  }
}

export function json(value: unknown): void {
  if (asJson !== undefined) asJson.wasWritten = true;
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** What follows are values of a stream, none or many: each is a line of its own. */
export function beginJsonLines(): void {
  if (asJson !== undefined) asJson.wasWritten = true;
}

export function jsonLine(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Rows with columns of equal width, two blanks between; the last column is as long as it likes. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** The same below a line, as the official client's tables stand: the first row is the titles, an empty line comes last. */
export function titled(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  const plain = isInCi(process.env);
  const lines = rows.map((row) =>
    widths
      .map((width, column) => `${plain ? "" : " "} ${(row[column] ?? "").padEnd(width)} `)
      .join("")
      .trimEnd(),
  );
  const length = widths.reduce((sum, width) => sum + width + (plain ? 2 : 3), plain ? 0 : -1);
  const line = plain ? "-".repeat(length) : ` ${"─".repeat(length)}`;
  return [...lines.slice(0, 1), line, ...lines.slice(1), ""];
}

/** Whether the official client would draw its tables with plain signs: its rule for machines that build and test. Pure. */
export function isInCi(env: NodeJS.ProcessEnv): boolean {
  const isTrue = (value: string | undefined): boolean => value !== "0" && value !== "false";
  const { CI: ci, OCLIF_TABLE_SKIP_CI_CHECK: skip = "" } = env;
  if ((skip !== "" && isTrue(skip)) || !isTrue(ci)) return false;
  return Object.keys(env).some((name) => name === "CI" || name === "CONTINUOUS_INTEGRATION" || name.startsWith("CI_"));
}

/** `KEY: value` with the values below each other; an empty key goes on with the one before. */
export function keyed(pairs: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(0, ...pairs.map(([key]) => key.length)) + 1;
  return pairs.map(([key, value]) => `${(key === "" ? "" : `${key}:`).padEnd(width)} ${value}`);
}

/** An answer's fields below each other, as the official client shows them: a list takes a line for each, what is null none. */
export function fields(object: Readonly<Record<string, unknown>>): string[] {
  const lists = Object.entries(object).map(([key, value]): readonly [string, readonly unknown[]] => [
    key,
    Array.isArray(value) ? value : value === null || value === undefined ? [] : [value],
  ]);
  return keyed(
    lists.flatMap(([key, values]) => values.map((value, index) => [index === 0 ? key : "", inLine(value)] as const)),
  );
}

/** `id: '1', name: 'x'` of an object. */
function inLine(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  return Object.entries(value)
    .map(([key, each]) => `${key}: ${inspect(each)}`)
    .join(", ");
}

/** One word for a POSIX shell, whatever it holds. */
export function shellQuote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** `2023/03/02 15:56:13 -0400 (~ 6m ago)`: seconds below 60, minutes below 60, hours below 25, else the date alone (spec 16). */
export function timeAgo(at: Date, now: Date): string {
  const seconds = Math.max(0, Math.floor((now.getTime() - at.getTime()) / 1000));
  const age =
    seconds < 60
      ? `${seconds}s`
      : seconds < 3600
        ? `${Math.floor(seconds / 60)}m`
        : seconds < 25 * 3600
          ? `${Math.floor(seconds / 3600)}h`
          : undefined;
  return age === undefined ? dateTime(at) : `${dateTime(at)} (~ ${age} ago)`;
}

/** `40s`, `3m`, `5h`: how long until then, rounded up; `now` once it has come. */
export function timeUntil(at: Date, now: Date): string {
  const seconds = Math.ceil((at.getTime() - now.getTime()) / 1000);
  if (seconds <= 0) return "now";
  if (seconds < 120) return `${seconds}s`;
  return seconds < 7200 ? `${Math.ceil(seconds / 60)}m` : `${Math.ceil(seconds / 3600)}h`;
}

/** `2023/03/02 15:56:13 -0400`, in the time zone of the person. */
export function dateTime(at: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const offset = -at.getTimezoneOffset();
  const zone = `${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`;
  const date = `${at.getFullYear()}/${two(at.getMonth() + 1)}/${two(at.getDate())}`;
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())} ${zone}`;
}

/** `12 B`, `3 KB`, `4 MB`, as `apps:info` shows sizes. */
export function fileSize(bytes: number | null): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let size = bytes ?? 0;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${Math.round(size)} ${units[unit]}`;
}
