import { type Cursor, cursorOf, numbersOf } from "./cursor.ts";
import type { StoredLine } from "./filter.ts";

/**
 * The text of an app's log on disk: JSON, one record a line. A segment begins with a table, and repeats it now and then, so
 * that its last part alone tells how to go on.
 *
 *     {"first":41,"dynos":{"1":["<dyno id>",2,4711,12,0]}}    table: id of the next line, and each dyno's cursor
 *     [41,1700000000000,678,0,"web.1","text",1,2,4808,13,0]   line: id, ms, us, 0 app or 1 heroku, process, text; then of a
 *                                                             dyno's line the dyno's number in the table and its cursor
 *     {"dyno":[2,"<dyno id>"]}                                 a number for another dyno
 *     {"forget":2}
 */
export interface Table {
  /** Id of the line that follows. */
  readonly nextId: number;
  readonly cursors: ReadonlyMap<string, Cursor>;
}

/** Writes records; knows which number each dyno has since the last table. */
export class SegmentWriter {
  #numbers = new Map<string, number>();
  #count = 0;

  table({ nextId, cursors }: Table): string {
    this.#numbers = new Map([...cursors.keys()].map((dynoId, index) => [dynoId, index + 1]));
    this.#count = cursors.size;
    const dynos = [...cursors].map(([dynoId, cursor], index) => [index + 1, [dynoId, ...numbersOf(cursor)]]);
    return `${JSON.stringify({ first: nextId, dynos: Object.fromEntries(dynos) })}\n`;
  }

  line(line: StoredLine, dynoId: string | undefined, cursor: Cursor | undefined): string {
    const { id, at, micros = 0, source, process, text } = line;
    const start = `[${id},${at},${micros},${source === "app" ? 0 : 1},${JSON.stringify(process)},${JSON.stringify(text)}`;
    if (dynoId === undefined || cursor === undefined) return `${start}]\n`;
    const known = this.#numbers.get(dynoId);
    const number = known ?? ++this.#count;
    this.#numbers.set(dynoId, number);
    const place =
      cursor.open.length === 0
        ? `${number},${cursor.segment},${cursor.offset},${cursor.lines},${cursor.told}`
        : `${number},${numbersOf(cursor).join(",")}`;
    const introduction = known === undefined ? `${JSON.stringify({ dyno: [number, dynoId] })}\n` : "";
    return `${introduction}${start},${place}]\n`;
  }

  forget(dynoId: string): string {
    const number = this.#numbers.get(dynoId);
    this.#numbers.delete(dynoId);
    return number === undefined ? "" : `{"forget":${number}}\n`;
  }
}

/** What the end of a segment says, and how many bytes of it are whole. */
export interface Tail extends Table {
  readonly bytes: number;
}

/** Reads from a table on to the end, or to the first record that is torn. undefined: no table at the start. */
export function readTail(bytes: Buffer): Tail | undefined {
  let nextId: number | undefined;
  let numbers = new Map<number, string>();
  let cursors = new Map<string, Cursor>();
  let start = 0;
  for (;;) {
    const end = bytes.indexOf(NEWLINE, start);
    const record = end < 0 ? undefined : parseJson(bytes.toString("utf8", start, end));
    if (Array.isArray(record) && nextId !== undefined && Number.isSafeInteger(record[0])) {
      nextId = Number(record[0]) + 1;
      const dynoId = numbers.get(Number(record[6]));
      const cursor = record.length > 6 ? cursorOf(record.slice(7)) : undefined;
      if (dynoId !== undefined && cursor) cursors.set(dynoId, cursor);
    } else if (isObject(record) && Number.isSafeInteger(record["first"]) && isObject(record["dynos"])) {
      nextId = Number(record["first"]);
      ({ numbers, cursors } = readDynos(record["dynos"]));
    } else if (isObject(record) && nextId !== undefined && Array.isArray(record["dyno"])) {
      const [number, dynoId] = record["dyno"] as readonly unknown[];
      numbers.set(Number(number), String(dynoId));
    } else if (isObject(record) && nextId !== undefined && typeof record["forget"] === "number") {
      cursors.delete(numbers.get(record["forget"]) ?? "");
    } else {
      return nextId === undefined ? undefined : { nextId, cursors, bytes: start };
    }
    start = end + 1;
  }
}

/** Where the last table before `bytes`' end begins; undefined if it is not in these bytes. */
export function lastTable(bytes: Buffer, isStart: boolean): number | undefined {
  const at = bytes.lastIndexOf(TABLE_START);
  if (at >= 0) return at + 1;
  return isStart && bytes.subarray(0, TABLE_START.length - 1).equals(TABLE_START.subarray(1)) ? 0 : undefined;
}

/** The line of a record; undefined for other records. */
export function lineOf(text: string): StoredLine | undefined {
  if (!text.startsWith("[")) return undefined;
  const record = parseJson(text);
  if (!Array.isArray(record)) return undefined;
  const [id, at, micros, source, process, words] = record as readonly unknown[];
  if (typeof id !== "number" || typeof at !== "number" || typeof micros !== "number") return undefined;
  if (typeof process !== "string" || typeof words !== "string") return undefined;
  return { id, at, micros, source: source === 0 ? "app" : "heroku", process, text: words };
}

const NEWLINE = 0x0a;
const TABLE_START = Buffer.from('\n{"first":');

function readDynos(dynos: Readonly<Record<string, unknown>>) {
  const numbers = new Map<number, string>();
  const cursors = new Map<string, Cursor>();
  for (const [number, entry] of Object.entries(dynos)) {
    if (!Array.isArray(entry)) continue;
    const [dynoId, ...rest] = entry as readonly unknown[];
    const cursor = cursorOf(rest);
    if (typeof dynoId !== "string" || !cursor) continue;
    numbers.set(Number(number), dynoId);
    cursors.set(dynoId, cursor);
  }
  return { numbers, cursors };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // torn: the caller knows what that means where it is
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
