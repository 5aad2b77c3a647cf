import { UUID } from "../lib/uuid.ts";
import type { LogLine } from "../logs/line.ts";
import { codeOfFlags, type ErrorCode, errorCode, errorCodeNamed } from "./error-codes.ts";

/** One request as HAProxy tells of it (`LOG_FORMAT` in host/haproxy-config.ts). */
export interface RequestRecord {
  /** HAProxy's worker, and its count of lines: a gap is a lost line. */
  readonly worker: number;
  readonly count: number;
  /** Microseconds since the epoch. */
  readonly atMicros: number;
  /** null: the request was for no app. */
  readonly appId: string | null;
  /** null: no dyno was chosen. */
  readonly dynoId: string | null;
  readonly code: ErrorCode | undefined;
  readonly status: number;
  readonly bytes: number;
  /** Milliseconds; null: it did not come to that. */
  readonly connectMs: number | null;
  readonly serviceMs: number | null;
  readonly requestId: string;
  /** The client's: "http1.1". */
  readonly protocol: string;
  readonly tls: boolean;
  /** "tls1.3", or "unknown". */
  readonly tlsVersion: string;
  /** H31 alone: what the client calls itself. */
  readonly agent: string;
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly forwardedFor: string;
  /** It waited for a dyno to come up. */
  readonly isHeld: boolean;
  /** Connections to a dyno that were tried again. */
  readonly retries: number;
}

const TLS_VERSIONS: Readonly<Record<string, string>> = { "TLSv1.2": "tls1.2", "TLSv1.3": "tls1.3" };

/** A line of HAProxy; undefined for HAProxy's other messages. Throws nothing, whatever comes. */
export function parseRequest(text: string): RequestRecord | undefined {
  const line = text.trimEnd();
  const quote = line.indexOf('"');
  const second = line.indexOf('"', quote + 1);
  if (!line.startsWith(MARK) || second < 0 || line.indexOf('"', second + 1) !== line.length - 1) return undefined;
  const fields = new Fields(line, quote);
  const tls = fields.text(17) === "https";
  if (fields.count !== (tls ? 24 : 22)) return undefined;
  const [worker, count, atMicros] = [fields.number(1), fields.number(2), fields.number(3)];
  if (!Number.isSafeInteger(worker) || !Number.isSafeInteger(count) || !Number.isSafeInteger(atMicros))
    return undefined;
  const [status, flags] = [fields.number(7), fields.text(9)];
  const [header, queued, connect] = [fields.number(10), fields.number(11), fields.number(12)];
  const active = fields.number(15);
  const [method, path, version] = requestLine(line.slice(quote + 1, second));
  const [host = "", length = "", forwardedFor = ""] = line.slice(second + 2, -2).split("|");
  const bodyMissing = length !== "" && fields.number(19) < Number(length);
  const code = codeNamed(fields.text(6), bodyMissing) ?? codeOfEnd(flags, status, bodyMissing);
  const connected = reached(connect);
  const address = fields.text(18);
  return {
    worker,
    count,
    atMicros,
    appId: idOrNull(fields.text(4)),
    dynoId: idOrNull(fields.text(5)),
    code,
    status,
    // A page of HAProxy's is nothing that the dyno sent.
    bytes:
      (flags[1] === "H" && (code !== undefined || flags[0] === "P")) || code?.code === "H25"
        ? 0
        : fields.number(8) || 0,
    connectMs: connected ?? (flags[1] === "C" ? service(-1, -1, active, header, queued, 0) : null),
    serviceMs:
      connected === null ? null : service(fields.number(13), fields.number(14), active, header, queued, connected),
    requestId: fields.text(16),
    protocol: protocolOf(version),
    tls,
    tlsVersion: tls ? (TLS_VERSIONS[fields.text(22)] ?? "unknown") : "unknown",
    agent: tls ? Buffer.from(fields.text(23), "base64").toString("latin1") : "",
    method: decoded(method),
    path: decoded(path),
    host: decoded(host),
    forwardedFor: forwardedFor === "" ? address : `${decoded(forwardedFor).slice(0, FORWARDED_MAX)}, ${address}`,
    isHeld: fields.text(20) === "1",
    retries: Math.abs(fields.number(21)) || 0, // "+1" when the last went to another dyno
  };
}
const MARK = "stator3 ";
/** Of what the visitor says of others; the visitor's own address follows, whatever its length. */
const FORWARDED_MAX = 900;

/**
 * The words before `end`, each of which is only made into a string or a number when it is asked for. There is one line at a time: the
 * places are where those of the line before were.
 */
class Fields {
  readonly #line: string;
  readonly count: number;

  constructor(line: string, end: number) {
    this.#line = line;
    let count = 1;
    for (let at = line.indexOf(" "); at >= 0 && at < end; at = line.indexOf(" ", at + 1)) STARTS[count++] = at + 1;
    this.count = count;
    STARTS[count] = end + 1; // beyond the last it is left out
  }

  text(index: number): string {
    return this.#line.slice(STARTS[index], (STARTS[index + 1] ?? 1) - 1);
  }

  /** NaN for what is not a whole number. */
  number(index: number): number {
    const line = this.#line;
    const [start, end] = [STARTS[index] ?? 0, (STARTS[index + 1] ?? 1) - 1];
    const sign = line.charCodeAt(start);
    let at = sign === MINUS || sign === PLUS ? start + 1 : start;
    if (at >= end) return Number.NaN;
    let value = 0;
    for (; at < end; at++) {
      const digit = line.charCodeAt(at) - ZERO;
      if (digit < 0 || digit > 9) return Number.NaN;
      value = value * 10 + digit;
    }
    return sign === MINUS ? -value : value;
  }
}
/** Where each word begins, and where one behind the last would. */
const STARTS = new Int32Array(32);
const [PLUS, MINUS, ZERO] = [0x2b, 0x2d, 0x30];

/** There is no blank in the first and the last. */
function requestLine(line: string): readonly [method: string, path: string, version: string] {
  const [first, last] = [line.indexOf(" "), line.lastIndexOf(" ")];
  return first < last
    ? [line.slice(0, first), pathOf(line.slice(first + 1, last)), line.slice(last + 1)]
    : ["", "", ""];
}

/** Without scheme and host, which clients of HTTP/2 always send. */
function pathOf(uri: string): string {
  if (uri.startsWith("/")) return uri;
  const slash = uri.indexOf("/", uri.indexOf("://") + 3);
  return slash < 0 ? "" : uri.slice(slash);
}

/** The line in the app's log (spec 7.10, 6.4); `dyno` is its name. No text of a visitor can pose as another field. */
export function formatRequest(record: RequestRecord, dyno: string | null): string {
  const { code, connectMs, serviceMs, tls, tlsVersion, agent } = record;
  const ms = (value: number | null) => (value === null ? "" : `${value}ms`);
  const answeredByDyno = dyno !== null && serviceMs !== null;
  return [
    ...(code?.socket === undefined ? [] : [`sock=${code.socket}`]),
    `at=${code?.at ?? "info"}`,
    ...(code === undefined ? [] : [`code=${code.code} desc="${code.description}"`]),
    `method=${plainMethod(record.method)} path="${quoted(record.path, 8192)}" host=${plainHost(record.host)}`,
    `request_id=${/^[\w+/=-]*$/.test(record.requestId) ? record.requestId : plain(record.requestId, 200)} fwd="${quoted(record.forwardedFor, 1000)}"`,
    `dyno=${dyno ?? ""} connect=${ms(connectMs)} service=${ms(serviceMs)}`,
    `status=${code?.status ?? record.status} bytes=${answeredByDyno || code === undefined ? record.bytes : ""}`,
    `protocol=${record.protocol} tls=${tls} tls_version=${tlsVersion}`,
    ...(code?.code === "H31" ? [`agent="${quoted(agent, 300)}"`] : []),
  ].join(" ");
}

export function requestLogLine(record: RequestRecord, dyno: string | null): LogLine {
  return {
    at: Math.floor(record.atMicros / 1000),
    micros: record.atMicros % 1000,
    source: "heroku",
    process: "router",
    text: formatRequest(record, dyno),
  };
}

/**
 * The flags, but where they say less than is known. HAProxy counts a client's silence in its body as the dyno's until there is an
 * answer; it counts silence in an upgraded connection as the client's, where spec 7.2 has the dyno to send pings.
 */
function codeOfEnd(flags: string, status: number, bodyMissing: boolean): ErrorCode | undefined {
  if (flags.startsWith("P") && status === 400) return undefined; // the visitor's: a chunk that is none
  if (flags.startsWith("sH") && bodyMissing) return errorCode("H28");
  if (status === 101 && /^[cs]/.test(flags)) return errorCode("H15");
  return codeOfFlags(flags);
}

/** What HAProxy's rules said; silence in the middle of a client's body is the client's to them as well (`no_answer` of hold.lua). */
function codeNamed(name: string, bodyMissing: boolean): ErrorCode | undefined {
  return errorCodeNamed(name === "H12" && bodyMissing ? "H28" : name);
}

/** What remains of the whole time without waiting for the request, for a dyno, and for its connection. */
function service(
  response: number,
  data: number,
  active: number,
  header: number,
  queued: number,
  connect: number,
): number {
  if (response >= 0 && data >= 0) return response + data;
  return Math.max(0, (active || 0) - positive(header) - positive(queued) - positive(connect));
}
const positive = (ms: number): number => (ms > 0 ? ms : 0);

const reached = (ms: number): number | null => (ms >= 0 ? ms : null);
/** Ids come again and again. */
const isId = remembered((text) => UUID.test(text));
const idOrNull = (text: string): string | null => (isId(text) ? text : null);

/** "HTTP/1.1" to "http1.1". */
const protocolOf = remembered((version) =>
  /^HTTP\/\d\.\d$/.test(version) ? version.toLowerCase().replace("/", "") : "unknown",
);

/** A pure function that remembers what it gave lately; not for more texts, since each may hold the line that it is part of. */
function remembered<T>(make: (text: string) => T): (text: string) => T {
  const made = new Map<string, T>();
  return (text) => {
    let found = made.get(text);
    if (found !== undefined) return found;
    found = make(text);
    if (made.size >= 1_000) made.clear();
    made.set(text, found);
    return found;
  };
}
/** HAProxy writes a byte that is no plain character as `#22`. */
const decoded = (text: string): string =>
  text.includes("#")
    ? text.replace(/#([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    : text;
const plainMethod = remembered((method) => plain(method, 127));
/** Without its port. */
const plainHost = remembered((host) => plain(host.replace(/:[^:]*$/, ""), 260));

const PRINTABLE = /^[ !#-[\]-~]*$/;

/** A visitor's text between quotation marks: no quotation mark, no control character, ASCII. */
function quoted(text: string, max: number): string {
  if (text.length <= max && PRINTABLE.test(text)) return text;
  return text.slice(0, max).replace(/[^\x20-\x7e]|["\\]/g, (char) => {
    const hex = char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0");
    return `%${hex}`;
  });
}

/** A visitor's text without quotation marks: no blank and no equals sign either. */
function plain(text: string, max: number): string {
  return text.slice(0, max).replace(/[^\w.:*+/[\]~!$&'^`|%#-]/g, "?");
}
