import { PlatformError } from "../model/errors.ts";

/** One page of a list, with the headers that tell where it lies (platform-api 1.5). */
export interface Page<T> {
  readonly items: readonly T[];
  readonly status: 200 | 206;
  readonly headers: Readonly<Record<string, string>>;
}

type Value = string | number;

interface Range {
  readonly field: string;
  readonly start: Bound | undefined;
  readonly end: Bound | undefined;
  readonly max: number;
  readonly order: "asc" | "desc";
  /** The options as they were given, to be repeated in Next-Range. */
  readonly options: string;
}

export interface Bound {
  readonly text: string;
  /** Of the item that it lies behind, where several have that value. */
  readonly id?: string;
  readonly isExclusive: boolean;
}

const MAX_DEFAULT = 200;
const MAX_LIMIT = 1000;

/**
 * The part of `all` that `header` asks for. `fields` may be ordered by, the first is the default; where several items have the same value
 * (times are whole seconds) their ids decide. Throws `requested_range_not_satisfiable`.
 */
export function paginate<T>(all: readonly T[], header: string | undefined, fields: readonly string[]): Page<T> {
  const range = parseRange(header ?? "", fields);
  const valueOf = (item: T, field: string) => (item as Record<string, Value>)[field] ?? ""; // the response schema says that it has it
  const value = (item: T) => valueOf(item, range.field);
  const id = (item: T) => valueOf(item, "id");
  const sign = range.order === "asc" ? 1 : -1;
  const sorted = all.toSorted(
    (one, other) => sign * (compare(value(one), value(other)) || compare(id(one), id(other))),
  );
  const inside = sorted.filter((item) => isInside(value(item), id(item), range, sign));
  const items = inside.slice(0, range.max);
  const [last, next] = [items.at(-1), inside[range.max]];
  const isCut = last !== undefined && next !== undefined && (value(last) === value(next) || value(last) === "");
  return pageOf(items, next !== undefined, value, { ...range, fields, ...(isCut && { lastId: String(id(last)) }) });
}

/**
 * As `paginate`, where the store does the work: `load` gives what lies from `from` to `to`, in that order, `limit` at most. `field` is a
 * whole number that no two have.
 */
export async function paginateBy<F extends string, T extends Readonly<Record<F, number>>>(
  header: string | undefined,
  field: F,
  load: (query: {
    readonly from?: number;
    readonly to?: number;
    readonly order: "asc" | "desc";
    readonly limit: number;
  }) => Promise<readonly T[]>,
): Promise<Page<T>> {
  const { start, end, max, order, options } = parseRange(header ?? "", [field]);
  const inward = order === "asc" ? 1 : -1;
  const first = start && numberOf(start) + (start.isExclusive ? inward : 0);
  const last = end && numberOf(end) - (end.isExclusive ? inward : 0);
  const [from, to] = order === "asc" ? [first, last] : [last, first];
  const found = await load({
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
    order,
    limit: max + 1,
  });
  const items = found.slice(0, max);
  return pageOf(items, found.length > max, (item) => item[field], { field, max, order, options, fields: [field] });

  function numberOf({ text }: Bound): number {
    if (/^\d{1,15}$/.test(text)) return Number(text);
    throw refused(header ?? "", [field]);
  }
}

/** What lies between two texts, by code units, in one order; `limit` at most. */
export interface TextQuery<F extends string> {
  readonly field: F;
  readonly low?: Bound;
  readonly high?: Bound;
  readonly order: "asc" | "desc";
  readonly limit: number;
}

/** As `paginate`, where the store does the work: `fields` are texts that no two have. */
export async function paginateText<F extends string, T extends Readonly<Record<F, string>>>(
  header: string | undefined,
  fields: readonly F[],
  load: (query: TextQuery<F>) => Promise<readonly T[]>,
): Promise<Page<T>> {
  const range = parseRange(header ?? "", fields);
  const { start, end, max, order } = range;
  const field = range.field as F; // one of `fields`, or it was refused
  const [low, high] = order === "asc" ? [start, end] : [end, start];
  const found = await load({ field, ...(low && { low }), ...(high && { high }), order, limit: max + 1 });
  return pageOf(found.slice(0, max), found.length > max, (item) => item[field], { ...range, fields });
}

function pageOf<T>(
  items: readonly T[],
  isMore: boolean,
  value: (item: T) => Value,
  {
    field,
    max,
    order,
    options,
    fields,
    lastId,
  }: Pick<Range, "field" | "max" | "order" | "options"> & { fields: readonly string[]; lastId?: string },
): Page<T> {
  const [first, last] = [items[0], items.at(-1)];
  const accepted = { "Accept-Ranges": fields.join(", ") };
  if (first === undefined || last === undefined) return { items, status: 200, headers: accepted };
  const [from, to] = [written(value(first)), written(value(last))];
  const headers = { ...accepted, "Content-Range": `${field} ${from}..${to}${options}` };
  if (!isMore) return { items, status: 200, headers };
  const behind = lastId === undefined ? to : `${to}~${lastId}`;
  const next = `${field} ]${behind}..; max=${max}${order === "desc" ? ", order=desc" : ""}`;
  return { items, status: 206, headers: { ...headers, "Next-Range": next } };
}

/** The longest bounds are names of 200 letters, written with percent signs. */
const RANGE_LENGTH_MAX = 3000;

function parseRange(text: string, fields: readonly string[]): Range {
  const [byDefault = "id"] = fields;
  if (text.trim() === "") {
    return { field: byDefault, start: undefined, end: undefined, max: MAX_DEFAULT, order: "asc", options: "" };
  }
  const parts = text.length > RANGE_LENGTH_MAX ? undefined : partsOf(text.trim());
  if (parts === undefined) throw refused(text, fields);
  const { start, end } = parts;
  const isWhole = start === undefined && end === undefined;
  // `heroku-client` sends `id ..` with whatever it asks for (platform-api 1.3): where a list has no ids, its own order is meant.
  const isOwn = parts.field === "" || (parts.field === "id" && isWhole && !fields.includes("id"));
  const field = isOwn ? byDefault : parts.field;
  if (!fields.includes(field)) throw refused(text, fields);
  const options = new Map(
    parts.options
      .split(/[,;]/)
      .filter((pair) => pair.trim() !== "")
      .map(pairOf),
  );
  const max = Number(options.get("max") ?? MAX_DEFAULT);
  const order = options.get("order") ?? "asc";
  if (!Number.isSafeInteger(max) || max < 1 || max > MAX_LIMIT) throw refused(text, fields);
  if (order !== "asc" && order !== "desc") throw refused(text, fields);
  return { field, start, end, max, order, options: parts.options === "" ? "" : `; ${parts.options}` };
}

/** `FIELD ]START..END[; OPTIONS`, all but the dots optional; undefined: it is none. Takes time by the length, whatever it holds. */
function partsOf(text: string) {
  const semicolon = text.indexOf(";");
  const bounds = (semicolon < 0 ? text : text.slice(0, semicolon)).trimEnd();
  const dots = bounds.indexOf("..");
  if (dots < 0) return undefined;
  const field = /^[a-z_]*/.exec(bounds)?.[0] ?? "";
  const start = bounds.slice(field.length, dots).trimStart();
  const end = bounds.slice(dots + 2);
  const [isAfter, isBefore] = [start.startsWith("]"), end.endsWith("[")];
  try {
    return {
      field,
      start: boundOf(isAfter ? start.slice(1) : start, isAfter),
      end: boundOf(isBefore ? end.slice(0, -1) : end, isBefore),
      options: semicolon < 0 ? "" : text.slice(semicolon + 1).trim(),
    };
  } catch {
    return undefined; // a blank, or a percent sign with nothing behind it
  }
}

function boundOf(bound: string, isExclusive: boolean): Bound | undefined {
  if (bound === "") return undefined;
  if (/[\s[]/.test(bound)) throw new RangeError("a bound has no blanks");
  const [value = "", id] = bound.split("~");
  return { text: decodeURIComponent(value), ...(id !== undefined && { id }), isExclusive };
}

/** As it can stand in a header and be read again: names have blanks, letters of all the world, and dots. */
function written(value: Value): string {
  const plain = String(value).toWellFormed();
  return plain
    .replace(/[^\w:@*.+-]+/g, encodeURIComponent)
    .replaceAll("~", "%7E")
    .replaceAll("..", "%2E%2E")
    .replace(/^\.|\.$/g, "%2E");
}

function pairOf(pair: string): [string, string] {
  const [key = "", value = ""] = pair.split("=");
  return [key.trim(), value.trim()];
}

function isInside(value: Value, id: Value, { start, end }: Range, sign: number): boolean {
  const from = start === undefined ? 1 : sign * distance(start);
  const to = end === undefined ? -1 : sign * distance(end);
  return (
    (from > 0 || (from === 0 && start?.isExclusive !== true)) && (to < 0 || (to === 0 && end?.isExclusive !== true))
  );

  function distance(bound: Bound): number {
    const byValue = compare(value, like(bound.text, value));
    return byValue === 0 && bound.id !== undefined ? compare(id, like(bound.id, id)) : byValue;
  }
}

function like(text: string, value: Value): Value {
  return typeof value === "number" ? Number(text) : text;
}

/** By code units, as ids and names are compared nowhere by language. A bound that is no number lies outside every list. */
function compare(one: Value, other: Value): number {
  return one < other ? -1 : one > other ? 1 : one === other ? 0 : Number.NaN;
}

function refused(text: string, fields: readonly string[]): PlatformError {
  return new PlatformError(
    "requested_range_not_satisfiable",
    `Invalid \`Range\` header ${JSON.stringify(text)}. Please use format like \`${fields[0] ?? "id"} ..; max=${MAX_DEFAULT}\`, with max at most ${MAX_LIMIT}, ordered by one of: ${fields.join(", ")}.`,
  );
}
