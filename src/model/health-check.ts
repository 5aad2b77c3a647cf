import {
  CHECK_KINDS,
  type CheckKind,
  type CommandProbe,
  type HealthCheck,
  type HttpHeader,
  type HttpProbe,
} from "./health.ts";

/**
 * Checks as people write them, in `app.json` below `healthchecks.<process type>` and in the API. Names and seconds as in Dokku's
 * app.json, where it has them; `status` and `successes` are ours.
 */
export interface CheckJson {
  readonly type: CheckKind;
  readonly name?: string;
  readonly path?: string;
  readonly httpHeaders?: readonly HttpHeader[];
  readonly status?: number;
  readonly content?: string;
  readonly command?: string | readonly string[];
  readonly wait: number;
  readonly timeout: number;
  readonly initialDelay: number;
  readonly attempts?: number;
  readonly successes: number;
}

/** Checks of one process type. */
export const CHECKS_MAX = 10;
/** All checks of one process type together, as JSON; and what the platform may add to them. */
export const CHECKS_BYTES_MAX = 32 * 1024;
export const CHECKS_SENT_BYTES_MAX = CHECKS_BYTES_MAX + CHECKS_MAX * 512;
export const PATH_MAX = 1024;
export const HEADERS_MAX = 10;
/** With `Host`, which the platform adds. */
export const HEADERS_SENT_MAX = HEADERS_MAX + 1;
export const HEADER_VALUE_MAX = 1024;
export const CONTENT_MAX = 1024;
export const COMMAND_MAX = 4096;
export const ARGUMENTS_MAX = 64;
export const NAME_MAX = 64;
export const WAIT_S = { min: 1, max: 3600 } as const;
export const TIMEOUT_S = { min: 1, max: 60 } as const;
export const INITIAL_DELAY_S = { min: 0, max: 600 } as const;
export const TIMES = { min: 1, max: 100 } as const;

/** Visible ASCII without `#`: nothing that could end a request line or a header. */
export const CHECK_PATH = /^\/[!"$-~]*$/;
export const HEADER_NAME = /^[\w!#$%&'*+.^`|~-]{1,64}$/;
export const HEADER_VALUE = /^[ -~]*$/;
/** What the probe itself says of the connection and of its length. */
const HEADERS_RESERVED = new Set([
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

export function isHeaderReserved(name: string): boolean {
  return HEADERS_RESERVED.has(name.toLowerCase());
}

const DEFAULTS: Readonly<Record<CheckKind, { readonly wait: number; readonly attempts: number | null }>> = {
  startup: { wait: 1, attempts: null },
  readiness: { wait: 5, attempts: 3 },
  liveness: { wait: 10, attempts: 3 },
};
const DEFAULT_TIMEOUT_S = 5;

/** What Dokku knows and we do not, with what to do instead. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  listening: "web dynos are always waited for until $PORT accepts connections: leave it out",
  onFailure: "what failed is said in the app's log: leave it out",
  port: "checks go to $PORT: leave it out",
  scheme: "checks speak plain HTTP to $PORT, as the router does: leave it out",
  uptime: "a release is waited for without it: leave it out",
  warn: "a check that fails always counts: leave it out, or the check",
};
/** `description` is a comment. */
const KNOWN = new Set([
  "attempts",
  "command",
  "content",
  "description",
  "httpHeaders",
  "initialDelay",
  "name",
  "path",
  "status",
  "successes",
  "timeout",
  "type",
  "wait",
]);

/** A check that cannot be; the message names the place and the field, and says what to do. */
export class CheckError extends Error {
  readonly place: string;
  readonly what: string;
  constructor(place: string, what: string) {
    super(`${place} ${what}`);
    this.name = "CheckError";
    this.place = place;
    this.what = what;
  }
}

/** Reads the checks of one process type; a stranger wrote them. `place` is where they stand. Throws `CheckError`. */
export function parseChecks(processType: string, value: unknown, place: string): readonly HealthCheck[] {
  if (!Array.isArray(value)) throw refused(place, "is not a list");
  if (value.length > CHECKS_MAX) throw refused(place, `has ${value.length} checks: at most ${CHECKS_MAX}`);
  const checks = value.map((each: unknown, index) => parseCheck(processType, each, `${place}[${index}]`));
  if (Buffer.byteLength(JSON.stringify(checks)) > CHECKS_BYTES_MAX) {
    throw refused(place, `is longer than ${CHECKS_BYTES_MAX} bytes`);
  }
  return checks;
}

function parseCheck(processType: string, value: unknown, place: string): HealthCheck {
  if (!isRecord(value)) throw refused(place, "is not an object");
  for (const key of Object.keys(value)) {
    if (Object.hasOwn(ELSEWHERE, key)) throw refused(place, `cannot have "${key}": ${ELSEWHERE[key]}`);
    if (!KNOWN.has(key)) throw refused(place, `has ${JSON.stringify(key.slice(0, 64))}, which is no field of a check`);
  }
  const kind = kindOf(value["type"], place);
  const probe = probeOf(value, place);
  if (processType !== "web") {
    if (probe.kind === "http")
      throw refused(place, 'has a "path", and only web dynos have a port: give a "command" instead');
    if (kind === "readiness") throw refused(place, "is a readiness check: requests go to web dynos only");
  }
  const { wait, attempts } = DEFAULTS[kind];
  return {
    kind,
    name: textOf(value, "name", NAME_MAX, /^[ -!#-~]*$/, place) ?? null,
    probe,
    intervalMs: numberOf(value, "wait", WAIT_S, wait, place) * 1000,
    timeoutMs: numberOf(value, "timeout", TIMEOUT_S, DEFAULT_TIMEOUT_S, place) * 1000,
    initialDelayMs: numberOf(value, "initialDelay", INITIAL_DELAY_S, 0, place) * 1000,
    attempts: value["attempts"] == null ? attempts : numberOf(value, "attempts", TIMES, 1, place),
    successes: numberOf(value, "successes", TIMES, 1, place),
  };
}

function kindOf(value: unknown, place: string): CheckKind {
  const kind = CHECK_KINDS.find((each) => each === value);
  if (kind === undefined) throw refused(place, `needs a "type": ${CHECK_KINDS.join(", ")}`);
  return kind;
}

function probeOf(value: Readonly<Record<string, unknown>>, place: string): HttpProbe | CommandProbe {
  const path = textOf(value, "path", PATH_MAX, CHECK_PATH, place);
  const { command } = value;
  if ((path === undefined) === (command == null)) throw refused(place, 'needs either a "path" or a "command"');
  if (path === undefined) {
    for (const key of ["httpHeaders", "status", "content"])
      if (value[key] != null && !isEmpty(value[key])) throw refused(place, `has "${key}", which goes with a "path"`);
    return { kind: "command", command: commandOf(command, place) };
  }
  const status = value["status"] == null ? null : numberOf(value, "status", { min: 100, max: 599 }, 200, place);
  const content = textOf(value, "content", CONTENT_MAX, /^[^]+$/, place) ?? null;
  return { kind: "http", path, headers: headersOf(value["httpHeaders"], place), status, content };
}

function commandOf(value: unknown, place: string): string | readonly string[] {
  const isFine = (text: unknown): text is string => typeof text === "string" && !text.includes("\0");
  if (isFine(value) && value.trim() !== "" && value.length <= COMMAND_MAX) return value;
  const isList = Array.isArray(value) && value.length > 0 && value.length <= ARGUMENTS_MAX && value.every(isFine);
  if (isList && value[0] !== "" && value.join(" ").length <= COMMAND_MAX) return value;
  throw refused(place, `needs a "command" that is text or a list of texts, at most ${COMMAND_MAX} characters`);
}

function headersOf(value: unknown, place: string): readonly HttpHeader[] {
  if (value == null) return [];
  if (!Array.isArray(value) || value.length > HEADERS_MAX) {
    throw refused(place, `has "httpHeaders" that are no list of at most ${HEADERS_MAX}`);
  }
  return value.map((each: unknown): HttpHeader => {
    const { name, value: text, ...rest } = isRecord(each) ? each : {};
    const isFine =
      typeof name === "string" && HEADER_NAME.test(name) && typeof text === "string" && HEADER_VALUE.test(text);
    if (!isFine || text.length > HEADER_VALUE_MAX || Object.keys(rest).length > 0) {
      throw refused(place, 'has "httpHeaders" that are not {"name": ..., "value": ...} of plain ASCII');
    }
    if (isHeaderReserved(name)) throw refused(place, `cannot set the header ${name}`);
    return { name, value: text };
  });
}

function textOf(
  record: Readonly<Record<string, unknown>>,
  key: string,
  max: number,
  pattern: RegExp,
  place: string,
): string | undefined {
  const value = record[key];
  if (value == null) return undefined;
  if (typeof value === "string" && value.length <= max && pattern.test(value) && !value.includes("\0")) return value;
  const rule = key === "path" ? " that starts with / and has no blanks, controls or #" : "";
  throw refused(place, `has a "${key}" that is no text${rule} of at most ${max} characters`);
}

function numberOf(
  record: Readonly<Record<string, unknown>>,
  key: string,
  { min, max }: { readonly min: number; readonly max: number },
  byDefault: number,
  place: string,
): number {
  const value = record[key] ?? byDefault;
  if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value;
  throw refused(place, `has a "${key}" that is no whole number from ${min} to ${max}`);
}

function isEmpty(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refused(place: string, why: string): CheckError {
  return new CheckError(place, `${why}.`);
}

/** As `parseChecks` reads it, with every default written out. */
export function checkJson(check: HealthCheck): CheckJson {
  const { kind, name, probe } = check;
  return {
    type: kind,
    ...(name !== null && { name }),
    ...(probe.kind === "command" ? { command: probe.command } : httpJson(probe)),
    wait: check.intervalMs / 1000,
    timeout: check.timeoutMs / 1000,
    initialDelay: check.initialDelayMs / 1000,
    ...(check.attempts !== null && { attempts: check.attempts }),
    successes: check.successes,
  };
}

function httpJson({ path, headers, status, content }: HttpProbe): Partial<CheckJson> {
  return {
    path,
    ...(headers.length > 0 && { httpHeaders: headers }),
    ...(status !== null && { status }),
    ...(content !== null && { content }),
  };
}
