import { Type } from "typebox";
import { Compile } from "typebox/compile";
import type { DynoSpec, EngineErrorId, EngineNotice, ExecRequest, SlugRef } from "../engine/engine.ts";
import { UUID } from "../lib/uuid.ts";
import { BASIC_AUTH_NAME, BASIC_AUTH_USERS_MAX } from "../model/basic-auth.ts";
import { EGRESS_RULES_MAX, type EgressRule } from "../model/egress-rule.ts";
import { CHECK_KINDS, type HealthCheck } from "../model/health.ts";
import {
  ARGUMENTS_MAX,
  CHECK_PATH,
  CHECKS_MAX,
  CHECKS_SENT_BYTES_MAX,
  COMMAND_MAX,
  CONTENT_MAX,
  HEADER_NAME,
  HEADER_VALUE,
  HEADER_VALUE_MAX,
  HEADERS_SENT_MAX,
  INITIAL_DELAY_S,
  isHeaderReserved,
  NAME_MAX,
  PATH_MAX,
  TIMEOUT_S,
  TIMES,
  WAIT_S,
} from "../model/health-check.ts";
import { ISOLATIONS, type Isolation } from "../model/isolation.ts";
import { PAGE_URL, PAGE_URL_MAX } from "../model/page-url.ts";
import { BALANCES, DYNO_PROTOCOLS, ROUTING_TIMEOUT_MAX } from "../model/routing.ts";
import { BUILD_SIZE, sizeNamed } from "../model/size.ts";
import type { AppRoute, Challenge, RouteCertificate } from "../router/routes.ts";

/**
 * The messages between the unprivileged daemon and the root process (architecture, decision 13): HTTP/1.1 over a unix socket.
 * Every request names the instance in a header and its content passes a schema here: ids, digests, numbers and names of
 * fixed catalogues; never a path, never an option of a program, no field that is not listed.
 *
 *     POST /call/<method>            JSON in, JSON out
 *     PUT  /slugs/<digest>/<uidIndex> a tar in
 *     GET  /input/<id>, /io/<id>     Upgrade: stator-stream; then bytes both ways
 *     GET  /exec/<id>                the same; first a frame with what is to be run, and one that answers it
 *     GET  /hints                    Upgrade: stator-stream; then a line for each start that is about to be asked for, as in its call (`expected`
 *                                    where it is not known yet which, `given ID` where a dyno has a standby's id), and one the other way for the id of each
 *                                    standby, which is this connection's until it ends
 *     GET  /ssh                      Upgrade, once an SSH client has come in; then its bytes both ways
 *     GET  /events                   one JSON object a line, for as long as the connection lasts
 */
export const INSTANCE_HEADER = "x-stator-instance";
export const STREAM_PROTOCOL = "stator-stream";

/** Comes back over `/input` once all was taken, or the dyno takes no more: an end without it is the host process's. */
export const INPUT_TAKEN = ".";
/** Types of the two frames that come before all others of `/exec`: what is to be run, and `{}` or an `ErrorMessage`. */
export const EXEC_FRAME = { request: 16, answer: 17 } as const;

export const ENV_BYTES_MAX = 128 * 1024;
export const COMMAND_BYTES_MAX = 64 * 1024;
/** JSON may write one byte as six (`\u0001`). */
export const START_BYTES_MAX = 6 * (ENV_BYTES_MAX + COMMAND_BYTES_MAX + CHECKS_SENT_BYTES_MAX) + 16 * 1024;
const EXEC_ARGUMENTS_MAX = 100;
/** With room for JSON's ways of writing. */
export const EXEC_BYTES_MAX = 6 * (ENV_BYTES_MAX + COMMAND_BYTES_MAX);
export const SLUG_BYTES_MAX = 4 * 1024 ** 3;
export const UID_INDEX_MAX = 4095;

const closed = { additionalProperties: false } as const;
const uuid = Type.String({ pattern: UUID.source });
const digest = Type.String({ pattern: "^[0-9a-f]{64}$" });
const uidIndex = Type.Integer({ minimum: 0, maximum: UID_INDEX_MAX });
const nothing = Type.Object({}, closed);
const dynoId = Type.Object({ id: uuid }, closed);
const slug = Type.Object({ digest, uidIndex }, closed);
/** CLOCK_MONOTONIC in milliseconds: no machine stands for 300 years. */
const instant = Type.Number({ minimum: 0, maximum: 1e13 });
const side = Type.Integer({ minimum: 1, maximum: 2000 });
const oneOf = (names: readonly string[]) => Type.Union(names.map((name) => Type.Literal(name)));
const orNull = <T extends Parameters<typeof Type.Union>[0][number]>(type: T) => Type.Union([Type.Null(), type]);

const milliseconds = ({ min, max }: { readonly min: number; readonly max: number }) =>
  Type.Integer({ minimum: min * 1000, maximum: max * 1000 });
const times = Type.Integer({ minimum: TIMES.min, maximum: TIMES.max });
const text = (maxLength: number, pattern: RegExp) => Type.String({ maxLength, pattern: pattern.source });
const withoutNul = /^[^\0]*$/;
const httpProbe = Type.Object(
  {
    kind: Type.Literal("http"),
    path: text(PATH_MAX, CHECK_PATH),
    headers: Type.Array(
      Type.Object({ name: text(64, HEADER_NAME), value: text(HEADER_VALUE_MAX, HEADER_VALUE) }, closed),
      { maxItems: HEADERS_SENT_MAX },
    ),
    status: orNull(Type.Integer({ minimum: 100, maximum: 599 })),
    content: orNull(text(CONTENT_MAX, withoutNul)),
  },
  closed,
);
const argument = text(COMMAND_MAX, withoutNul);
const commandProbe = Type.Object(
  {
    kind: Type.Literal("command"),
    command: Type.Union([argument, Type.Array(argument, { minItems: 1, maxItems: ARGUMENTS_MAX })]),
  },
  closed,
);
const check = Type.Object(
  {
    kind: oneOf(CHECK_KINDS),
    name: orNull(text(NAME_MAX, withoutNul)),
    probe: Type.Union([httpProbe, commandProbe]),
    intervalMs: milliseconds(WAIT_S),
    timeoutMs: milliseconds(TIMEOUT_S),
    initialDelayMs: milliseconds(INITIAL_DELAY_S),
    attempts: orNull(times),
    successes: times,
  },
  closed,
);

const environment = Type.Record(
  Type.String({ pattern: "^[A-Za-z_][A-Za-z0-9_.-]{0,255}$" }),
  Type.String({ pattern: "^[^\\0]*$" }),
  closed,
);

const dynoSpec = Type.Object(
  {
    id: uuid,
    appId: uuid,
    uidIndex,
    kind: oneOf(["formation", "run", "scheduler", "release", "build"]),
    name: Type.String({ pattern: "^[-\\w]{1,128}\\.\\d{1,9}$" }),
    releaseId: orNull(uuid),
    stack: oneOf(["debian-12", "debian-12-build"]),
    slugDigest: orNull(digest),
    command: Type.String({ pattern: "^[^\\0]*$" }),
    env: environment,
    size: Type.String({ pattern: "^[A-Za-z0-9][-A-Za-z0-9]{0,31}$" }), // of the catalogue: `checkStart`
    isolation: oneOf(ISOLATIONS),
    port: orNull(Type.Integer({ minimum: 1024, maximum: 65_535 })),
    terminal: orNull(Type.Object({ rows: side, columns: side }, closed)),
    stdin: Type.Boolean(),
    io: Type.Boolean(),
    checks: Type.Optional(Type.Array(check, { minItems: 1, maxItems: CHECKS_MAX })),
    marks: Type.Optional(Type.Object({ asked: instant, planned: instant, written: instant }, closed)),
  },
  closed,
);

const execArgument = Type.String({ maxLength: COMMAND_BYTES_MAX, pattern: "^[^\\0]*$" });
const execRequest = Compile(
  Type.Object(
    {
      command: Type.Union([execArgument, Type.Array(execArgument, { minItems: 1, maxItems: EXEC_ARGUMENTS_MAX })]),
      setting: oneOf(["dyno", "bare"]),
      env: environment,
      terminal: orNull(Type.Object({ rows: side, columns: side }, closed)),
    },
    closed,
  ),
);

/** A host name as it goes into HAProxy's maps: nothing that could end a line or a field, or be an option. */
export const HOST_PATTERN = "^(\\*\\.)?[a-z0-9_]([a-z0-9_-]{0,62})(\\.[a-z0-9_]([a-z0-9_-]{0,62}))*$";
const pageAddress = orNull(text(PAGE_URL_MAX, PAGE_URL));
const routeOptions = Type.Object(
  {
    balance: oneOf(BALANCES),
    dynoProtocol: oneOf(DYNO_PROTOCOLS),
    httpsRedirect: Type.Boolean(),
    firstByteSeconds: Type.Integer({ minimum: 1, maximum: ROUTING_TIMEOUT_MAX }),
    rollingSeconds: Type.Integer({ minimum: 1, maximum: ROUTING_TIMEOUT_MAX }),
    sessionAffinity: Type.Boolean(),
    endToEndContinue: Type.Optional(Type.Boolean()),
    users: Type.Array(
      Type.Object(
        {
          name: text(64, BASIC_AUTH_NAME),
          salt: Type.String({ pattern: "^[A-Za-z0-9+/]{22}==$" }),
          digest: Type.String({ pattern: "^[0-9A-F]{64}$" }),
        },
        closed,
      ),
      { maxItems: BASIC_AUTH_USERS_MAX },
    ),
    errorPage: pageAddress,
    maintenancePage: pageAddress,
  },
  closed,
);
const route = Type.Object(
  {
    appId: uuid,
    hosts: Type.Array(Type.String({ pattern: HOST_PATTERN, maxLength: 253 }), { maxItems: 1100 }),
    state: oneOf(["serve", "asleep", "crashed", "no-web", "blank", "maintenance"]),
    dynoIds: Type.Array(uuid, { maxItems: 1000 }),
    options: Type.Optional(routeOptions),
  },
  closed,
);

export const HINTS = "/hints";
/** The hint that some start may be about to be asked for. */
export const EXPECTED = "expected";
/** Before the id of a standby that a new dyno has now. */
export const GIVEN = "given ";

/** A chain, then its key, exactly as Node writes PEM: no empty line, which would end a command's content. */
const base64Lines = "([A-Za-z0-9+/]{64}\\n)*[A-Za-z0-9+/]{1,64}={0,2}\\n";
export const PEM_PATTERN = `^(-----BEGIN CERTIFICATE-----\\n${base64Lines}-----END CERTIFICATE-----\\n){1,10}-----BEGIN PRIVATE KEY-----\\n${base64Lines}-----END PRIVATE KEY-----\\n$`;
export const PEM_BYTES_MAX = 64 * 1024;
export const TOKEN_PATTERN = "^[A-Za-z0-9_-]{1,256}$";
export const KEY_AUTHORIZATION_PATTERN = "^[A-Za-z0-9_-]{1,256}\\.[A-Za-z0-9_-]{1,128}$";
const hostName = Type.String({ pattern: HOST_PATTERN, maxLength: 253 });
const pem = Type.String({ pattern: PEM_PATTERN, maxLength: PEM_BYTES_MAX });
const certificate = Type.Object({ hosts: Type.Array(hostName, { minItems: 1, maxItems: 1100 }), pem }, closed);
const challenge = Type.Object(
  {
    host: hostName,
    token: Type.String({ pattern: TOKEN_PATTERN }),
    keyAuthorization: Type.String({ pattern: KEY_AUTHORIZATION_PATTERN }),
  },
  closed,
);

const octet = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const egressRule = Type.Object(
  {
    action: oneOf(["allow", "deny"]),
    cidr: Type.String({ pattern: `^${octet}(\\.${octet}){3}(/([12]?\\d|3[01]))?$`, maxLength: 18 }),
    port: orNull(Type.Integer({ minimum: 1, maximum: 65_535 })),
  },
  closed,
);

const small = 4 * 1024;
/** Apps whose dynos' tasks are looked at in one call: as many as there can be. */
export const TASKS_OF_MAX = 4096;
/** Each call with the schema of its message and how long that may be. */
const CALLS = {
  list: { schema: Compile(Type.Object({ appId: Type.Optional(uuid) }, closed)), bytesMax: small },
  usage: {
    schema: Compile(Type.Object({ tasksOf: Type.Array(uuid, { maxItems: TASKS_OF_MAX }) }, closed)),
    bytesMax: 64 * TASKS_OF_MAX,
  },
  start: { schema: Compile(dynoSpec), bytesMax: START_BYTES_MAX },
  signal: {
    schema: Compile(Type.Object({ id: uuid, signal: oneOf(["TERM", "KILL", "HUP"]) }, closed)),
    bytesMax: small,
  },
  remove: { schema: Compile(dynoId), bytesMax: small },
  startMarks: { schema: Compile(dynoId), bytesMax: small },
  resize: { schema: Compile(Type.Object({ id: uuid, rows: side, columns: side }, closed)), bytesMax: small },
  isolationRefusal: {
    schema: Compile(Type.Object({ isolation: oneOf(ISOLATIONS) }, closed)),
    bytesMax: small,
  },
  hasSlug: { schema: Compile(slug), bytesMax: small },
  removeSlug: { schema: Compile(slug), bytesMax: small },
  removeApp: { schema: Compile(Type.Object({ appId: uuid, uidIndex }, closed)), bytesMax: small },
  setEgress: {
    schema: Compile(
      Type.Object({ appId: uuid, rules: Type.Array(egressRule, { maxItems: EGRESS_RULES_MAX }) }, closed),
    ),
    bytesMax: 2 * small,
  },
  trimLog: {
    schema: Compile(Type.Object({ id: uuid, segment: Type.Integer({ minimum: 0, maximum: 1e9 }) }, closed)),
    bytesMax: small,
  },
  setRoute: { schema: Compile(route), bytesMax: 512 * 1024 },
  removeRoute: { schema: Compile(Type.Object({ appId: uuid }, closed)), bytesMax: small },
  untilLeft: { schema: Compile(Type.Object({ appId: uuid }, closed)), bytesMax: small },
  isBusy: { schema: Compile(Type.Object({ appId: uuid }, closed)), bytesMax: small },
  listRoutes: { schema: Compile(nothing), bytesMax: small },
  setCertificates: {
    schema: Compile(Type.Object({ appId: uuid, certificates: Type.Array(certificate, { maxItems: 1100 }) }, closed)),
    bytesMax: 32 * 1024 * 1024,
  },
  listCertificates: { schema: Compile(nothing), bytesMax: small },
  certificateRefusal: { schema: Compile(Type.Object({ pem }, closed)), bytesMax: 2 * PEM_BYTES_MAX },
  setChallenge: { schema: Compile(challenge), bytesMax: small },
  removeChallenge: { schema: Compile(Type.Object({ host: hostName }, closed)), bytesMax: small },
  listChallenges: { schema: Compile(nothing), bytesMax: small },
  sshRefusal: { schema: Compile(nothing), bytesMax: small },
} as const;

/** What each call carries; the schemas above admit exactly these. */
export interface CallMessages {
  readonly list: { readonly appId?: string };
  readonly usage: { readonly tasksOf: readonly string[] };
  readonly start: DynoSpec;
  readonly signal: { readonly id: string; readonly signal: "TERM" | "KILL" | "HUP" };
  readonly remove: { readonly id: string };
  readonly startMarks: { readonly id: string };
  readonly resize: { readonly id: string; readonly rows: number; readonly columns: number };
  readonly isolationRefusal: { readonly isolation: Isolation };
  readonly hasSlug: SlugRef;
  readonly removeSlug: SlugRef;
  readonly removeApp: { readonly appId: string; readonly uidIndex: number };
  readonly setEgress: { readonly appId: string; readonly rules: readonly EgressRule[] };
  readonly trimLog: { readonly id: string; readonly segment: number };
  readonly setRoute: AppRoute;
  readonly removeRoute: { readonly appId: string };
  readonly untilLeft: { readonly appId: string };
  readonly isBusy: { readonly appId: string };
  readonly listRoutes: Record<never, never>;
  readonly setCertificates: { readonly appId: string; readonly certificates: readonly RouteCertificate[] };
  readonly listCertificates: Record<never, never>;
  readonly certificateRefusal: { readonly pem: string };
  readonly setChallenge: Challenge;
  readonly removeChallenge: { readonly host: string };
  readonly listChallenges: Record<never, never>;
  readonly sshRefusal: Record<never, never>;
}
export type CallName = keyof CallMessages;

/** What a request asks for, once its line, its headers and its content were found good. */
export type Target =
  | { readonly kind: "call"; readonly name: CallName; readonly bytesMax: number }
  | { readonly kind: "slug"; readonly slug: SlugRef }
  | { readonly kind: "stream"; readonly name: "input" | "io" | "exec"; readonly id: string }
  | { readonly kind: "ssh" }
  | { readonly kind: "hints" }
  | { readonly kind: "events" };

export type Event =
  /** The first line: what happened before it is unknown. */
  | { readonly kind: "hello" }
  | { readonly kind: "alive" }
  | { readonly kind: "changed"; readonly dynoId: string | null }
  | { readonly kind: "notice"; readonly notice: EngineNotice };

export interface ErrorMessage {
  readonly id: EngineErrorId | "refused";
  readonly message: string;
}

/** A message that this protocol does not have. The text tells what is wrong with it and repeats nothing of its content. */
export class RefusedMessage extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** What a request line asks for. Throws `RefusedMessage`. */
export function targetOf(method: string, url: string): Target {
  const [, first = "", second = "", third = "", ...rest] = url.split("/");
  const known = rest.length === 0 && url.startsWith("/");
  if (known && third === "" && method === "POST" && first === "call" && isCall(second) && url === `/call/${second}`) {
    return { kind: "call", name: second, bytesMax: CALLS[second].bytesMax };
  }
  if (known && method === "PUT" && first === "slugs") {
    const ref = { digest: second, uidIndex: /^\d{1,4}$/.test(third) ? Number(third) : -1 };
    if (!CALLS.hasSlug.schema.Check(ref)) throw new RefusedMessage(400, "not a slug's digest and uid index");
    return { kind: "slug", slug: ref };
  }
  if (known && third === "" && method === "GET" && (first === "input" || first === "io" || first === "exec")) {
    if (!CALLS.remove.schema.Check({ id: second }) || url !== `/${first}/${second}`)
      throw new RefusedMessage(400, "not a dyno's id");
    return { kind: "stream", name: first, id: second };
  }
  if (method === "GET" && url === "/events") return { kind: "events" };
  if (method === "GET" && url === "/ssh") return { kind: "ssh" };
  if (method === "GET" && url === HINTS) return { kind: "hints" };
  throw new RefusedMessage(404, "no such message");
}

/** The content of a call. Throws `RefusedMessage` for anything but what its schema lists. */
export function parseCall<N extends CallName>(name: N, text: string): CallMessages[N] {
  const value = parseJson(text);
  const { schema } = CALLS[name];
  if (!schema.Check(value)) {
    const [error] = schema.Errors(value);
    throw new RefusedMessage(400, `${name}${error?.instancePath ?? ""}: ${error?.message ?? "not as listed"}`);
  }
  const message = value as unknown as CallMessages[N]; // the schema just said so
  if (name === "start") checkStart(message as DynoSpec);
  return message;
}

/** What `/exec` is asked to run. Throws `RefusedMessage`. */
export function parseExec(text: string): ExecRequest {
  const value = parseJson(text);
  if (!execRequest.Check(value)) {
    const [error] = execRequest.Errors(value);
    throw new RefusedMessage(400, `exec${error?.instancePath ?? ""}: ${error?.message ?? "not as listed"}`);
  }
  const request = value as unknown as ExecRequest; // the schema just said so
  const { command, env } = request;
  const commandBytes = [command].flat().reduce((sum, each) => sum + byteLength(each), 0);
  if (commandBytes > COMMAND_BYTES_MAX)
    throw new RefusedMessage(400, `exec/command: more than ${COMMAND_BYTES_MAX} bytes`);
  if (bytesOf(env) > ENV_BYTES_MAX) throw new RefusedMessage(400, `exec/env: more than ${ENV_BYTES_MAX} bytes`);
  return request;
}

function isCall(name: string): name is CallName {
  return Object.hasOwn(CALLS, name);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new RefusedMessage(400, "not JSON");
  }
}

/** The rules between the fields of a start. */
function checkStart(spec: DynoSpec): void {
  if (bytesOf(spec.env) > ENV_BYTES_MAX) throw new RefusedMessage(400, `start/env: more than ${ENV_BYTES_MAX} bytes`);
  if (byteLength(spec.command) > COMMAND_BYTES_MAX)
    throw new RefusedMessage(400, `start/command: more than ${COMMAND_BYTES_MAX} bytes`);
  // This process's own catalogue, by its exact names; the operator's file may have changed it since the start.
  if (sizeNamed(spec.size)?.name !== spec.size) throw new RefusedMessage(400, "start/size: not in the catalogue");
  const build = spec.kind === "build";
  if (build !== (spec.stack === "debian-12-build") || build !== (spec.size === BUILD_SIZE.name))
    throw new RefusedMessage(400, "start: the build stack and size are for build dynos, and they for those");
  if (build && spec.isolation !== "container") throw new RefusedMessage(400, "start: build dynos are containers");
  if (spec.io && !build) throw new RefusedMessage(400, "start/io: only for build dynos");
  if (spec.checks !== undefined) checkChecks(spec, spec.checks);
}

function checkChecks(spec: DynoSpec, checks: readonly HealthCheck[]): void {
  if (spec.kind !== "formation") throw new RefusedMessage(400, "start/checks: only for dynos of the formation");
  if (byteLength(JSON.stringify(checks)) > CHECKS_SENT_BYTES_MAX)
    throw new RefusedMessage(400, `start/checks: more than ${CHECKS_SENT_BYTES_MAX} bytes`);
  for (const { kind, probe, attempts } of checks) {
    if (attempts === null && kind !== "startup")
      throw new RefusedMessage(400, "start/checks: only startup checks are without attempts");
    if (probe.kind === "http" && spec.port === null) throw new RefusedMessage(400, "start/checks: a path needs a port");
    if (probe.kind === "http" && probe.headers.some(({ name }) => isHeaderReserved(name)))
      throw new RefusedMessage(400, "start/checks: a header of the connection");
  }
}

function bytesOf(env: Readonly<Record<string, string>>): number {
  return Object.entries(env).reduce((sum, [key, value]) => sum + byteLength(key) + byteLength(value), 0);
}

const byteLength = (text: string): number => Buffer.byteLength(text);
