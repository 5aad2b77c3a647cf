import { createHash, randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import Fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifySchema,
} from "fastify";
import type { TSchema } from "typebox";
import { Compile } from "typebox/compile";
import type { Engine } from "../engine/engine.ts";
import type { Logger } from "../lib/logger.ts";
import { PlatformError } from "../model/errors.ts";
import type { Store } from "../store/store.ts";
import { authenticate, authorise, type Caller, type Rule } from "./auth.ts";
import type { RateLimit } from "./rate-limit.ts";
import { ruleOf, setCaller } from "./route.ts";

export interface HttpOptions {
  readonly store: Pick<Store, "tokens" | "users" | "apps">;
  readonly rateLimit: RateLimit;
  readonly logger: Logger;
  /** Tests: an answer that is not what its schema says becomes an error. */
  readonly checkResponses: boolean;
  /** Throws `PlatformError` for a request that must not be answered here at all. */
  readonly admit: (request: FastifyRequest) => void;
  /** Which requests with `Connection: Upgrade` the server's `upgrade` event takes; the rest are answered as if without. */
  readonly takesUpgrade: (protocol: string | undefined) => boolean;
  /** Hears of calls by somebody who may not make them. */
  readonly refused?: (request: FastifyRequest, who: Pick<Caller, "user" | "token">) => void;
  readonly engine?: Pick<Engine, "expectStart">;
}

export const BODY_BYTES_MAX = 1024 * 1024;

/** A server that keeps the Platform API's transport rules (platform-api 1) for whatever routes are added to it. */
export function createHttp(options: HttpOptions): FastifyInstance {
  const server = Fastify({
    bodyLimit: BODY_BYTES_MAX,
    forceCloseConnections: true,
    requestTimeout: 0, // streams and pushes take as long as they take; headers have their own limit
    http: { headersTimeout: 30_000, shouldUpgradeCallback: (request) => options.takesUpgrade(request.headers.upgrade) },
    genReqId: () => randomUUID(),
    clientErrorHandler: refuseUnreadable,
    // An address that cannot be decoded, or is too long: nobody looked at the request before.
    frameworkErrors: (error, request, reply) => {
      void answerError(error, request, reply.header("Request-Id", request.id), options.logger);
    },
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 4096 },
  });
  parseJsonAlways(server);
  server.setValidatorCompiler(({ schema }) => validator(schema as TSchema)); // every schema of ours is TypeBox's
  server.setSerializerCompiler(({ schema, url }) => serializer(schema as unknown as TSchema, url, options));
  const table: RouteEntry[] = [];
  tables.set(server, table);
  server.addHook("onRoute", ({ method, url, config, schema }) => {
    const rule = ruleOf(config ?? {});
    if (rule === undefined) throw new Error(`${String(method)} ${url} has no rule`);
    for (const each of [method].flat()) table.push({ method: each, url, rule, schema });
  });
  server.addHook("onRequest", (request, reply) => enter(request, reply, options));
  server.addHook("onSend", (request, reply, payload) => finish(request, reply, payload));
  server.setNotFoundHandler((request, reply) => {
    const methods = request.method === "OPTIONS" ? methodsAt(request.url, table) : [];
    if (methods.length > 0) return reply.code(204).header("Allow", methods.join(", ")).send();
    throw new PlatformError(
      "not_found",
      "The requested API endpoint was not found. Are you using the right HTTP verb (i.e. `GET` vs. `POST`), and did you specify your intended version with the `Accept` header?",
    );
  });
  server.setErrorHandler((error, request, reply) => answerError(error, request, reply, options.logger));
  return server;
}

export interface RouteEntry {
  readonly method: string;
  /** `/apps/:app` */
  readonly url: string;
  readonly rule: Rule;
  readonly schema: FastifySchema | undefined;
}

const tables = new WeakMap<FastifyInstance, readonly RouteEntry[]>();

/** Every route that was added to a server of `createHttp`, with its rule. */
export function routesOf(server: FastifyInstance): readonly RouteEntry[] {
  return tables.get(server) ?? [];
}

/** What may be asked for at an address; that is the same for everybody. */
function methodsAt(url: string, table: readonly RouteEntry[]): readonly string[] {
  const parts = (url.split("?", 1)[0] ?? "").replace(/\/$/, "").split("/");
  const isAt = ({ url: pattern }: RouteEntry) => {
    const wanted = pattern.split("/");
    return wanted.length === parts.length && wanted.every((each, at) => each.startsWith(":") || each === parts[at]);
  };
  const methods = new Set(table.filter(isAt).map(({ method }) => method));
  return methods.size === 0 ? [] : ["OPTIONS", ...methods].toSorted();
}

/** Clients send JSON under many names, and with DELETE too; a body that is empty is none. */
function parseJsonAlways(server: FastifyInstance): void {
  const parse = server.getDefaultJsonParser("error", "error");
  server.removeAllContentTypeParsers();
  server.addContentTypeParser(["application/json", "*"], { parseAs: "string" }, (request, body, done) => {
    if (body === "") return done(null, undefined);
    // It answers through the callback; a string by `parseAs`.
    void parse(request, body as string, (error, value) => {
      const said = new PlatformError(
        "bad_request",
        "The body of the request is not JSON, or has a key that no object may have.",
      );
      done(error === null ? null : said, value);
    });
  });
}

function validator(schema: TSchema) {
  const compiled = Compile(schema);
  const known = knownFields(schema);
  return (value: unknown) => {
    const body = value ?? {};
    const unknown = known && unknownField(body, known);
    if (unknown !== undefined) return { error: unknown };
    if (compiled.Check(body)) return { value: body };
    const [first] = compiled.Errors(body);
    const where = (first?.instancePath ?? "").split("/").filter(Boolean).join(".");
    const what = `${where === "" ? "the body" : where} ${first?.message ?? "cannot be used"}`;
    return { error: new PlatformError("invalid_params", `Invalid parameters: ${what}.`) };
  };
}

/** The fields that a body may have; undefined: any. An object says itself when it takes others too. */
function knownFields(schema: TSchema): readonly string[] | undefined {
  const { type, properties, additionalProperties } = schema as {
    type?: string;
    properties?: object;
    additionalProperties?: unknown;
  };
  const isClosed = type === "object" && properties !== undefined && (additionalProperties ?? false) === false;
  return isClosed ? Object.keys(properties) : undefined;
}

/** A field that is misspelt must not be quietly dropped. */
function unknownField(body: unknown, known: readonly string[]): PlatformError | undefined {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return undefined;
  const field = Object.keys(body).find((each) => !known.includes(each));
  if (field === undefined) return undefined;
  const shown = JSON.stringify(field.slice(0, 100));
  return new PlatformError("invalid_params", `Unknown parameter: ${shown}. Known here: ${known.join(", ")}.`);
}

function serializer(schema: TSchema, url: string, { checkResponses }: HttpOptions) {
  if (!checkResponses) return (value: unknown) => JSON.stringify(value);
  let compiled: ReturnType<typeof Compile> | undefined; // a daemon is asked for a few of them
  return (value: unknown) => {
    compiled ??= Compile(schema);
    const [wrong] = compiled.Check(value) ? [] : compiled.Errors(value);
    if (wrong !== undefined) {
      throw new Error(
        `${url} answered ${JSON.stringify(value)}: ${wrong.instancePath} ${wrong.message} ${JSON.stringify(wrong.params)}`,
      );
    }
    return JSON.stringify(value);
  };
}

/** Before the body is read: is it our version, may they, and not too often. */
async function enter(request: FastifyRequest, reply: FastifyReply, options: HttpOptions): Promise<void> {
  const { rateLimit, store } = options;
  reply.header("Request-Id", request.id).header("RateLimit-Remaining", rateLimit.perHour);
  options.admit(request);
  refuseOtherVersions(request.headers.accept);
  const rule = ruleOf(request.routeOptions.config);
  if (rule === undefined || rule.kind === "open") return; // no such route: the 404 follows
  const who = await authenticate(request, store);
  const isFree = rule.kind === "account" && rule.isFree === true;
  const isAllowed = isFree || rateLimit.take(who.user.id); // refused calls count too
  reply.header("RateLimit-Remaining", rateLimit.remaining(who.user.id));
  if (!isAllowed) throw overLimit(rateLimit);
  try {
    setCaller(request, await authorise(rule, request, who, store));
    if (rule.kind === "app" && rule.startsDynos === true) options.engine?.expectStart();
  } catch (error) {
    if (error instanceof PlatformError && error.id === "forbidden") options.refused?.(request, who);
    throw error;
  }
}

function overLimit({ perHour }: RateLimit): PlatformError {
  return new PlatformError(
    "rate_limit",
    `Your account reached the API rate limit of ${perHour} calls an hour. Please wait a few minutes before making new requests.`,
  );
}

/** `version=3` and all its variants are one API (platform-api 1.3). */
function refuseOtherVersions(accept: string | undefined): void {
  const [, version] = /application\/vnd\.heroku\+json\s*;\s*version=([^\s;,]+)/.exec(accept ?? "") ?? [];
  if (version === undefined || /^3(\.|$)/.test(version)) return;
  throw new PlatformError("not_acceptable", `There is no version ${version} of this API; ask for version=3.`);
}

const gzipped = promisify(gzip);
const GZIP_FROM_BYTES = 1400;

/** ETag and compression of what is JSON; streams pass as they are. */
async function finish(request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> {
  if (typeof payload !== "string" || payload === "") return payload;
  const isRead = request.method === "GET" || request.method === "HEAD";
  const etag = `"${createHash("sha256").update(payload).digest("hex").slice(0, 32)}"`;
  reply
    .header("ETag", etag)
    .header("Vary", "Accept, Accept-Encoding, Authorization")
    .header("Cache-Control", "no-cache");
  if (isRead && reply.statusCode < 300 && matches(request.headers["if-none-match"], etag)) {
    reply.code(304).removeHeader("content-length").removeHeader("content-type");
    return "";
  }
  if (payload.length < GZIP_FROM_BYTES || !/\bgzip\b/.test(String(request.headers["accept-encoding"]))) return payload;
  const smaller = await gzipped(payload);
  reply.header("Content-Encoding", "gzip").header("Content-Length", smaller.length);
  return smaller;
}

function matches(header: string | undefined, etag: string): boolean {
  return (header ?? "").split(",").some((each) => each.trim().replace(/^W\//, "") === etag || each.trim() === "*");
}

/** Messages name what was sent, which may be long. */
const MESSAGE_MAX = 1000;

function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply, logger: Logger): FastifyReply {
  const said = sayable(error);
  if (said.id === "internal_server_error") {
    logger.error("api.failed", {
      requestId: request.id,
      method: request.method,
      route: request.routeOptions.url,
      error,
    });
  }
  if (said.id === "unauthorized") reply.header("WWW-Authenticate", 'Basic realm="Stator"');
  const { id, resource } = said;
  return reply
    .code(said.status)
    .send({ id, message: printable(said.message), ...(resource !== undefined && { resource }) });
}

/** A message names what was sent, and is shown on a terminal: what would steer that is shown as an escape. */
function printable(message: string): string {
  const short = message.length > MESSAGE_MAX ? `${message.slice(0, MESSAGE_MAX)}...` : message;
  const escape = (steering: string) => `\\u${steering.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return short.replace(/(?!\n)[\p{Cc}\p{Bidi_Control}]/gu, escape);
}

/** What is no HTTP, or too much of it, is refused before there is a request; in the API's words all the same. */
function refuseUnreadable({ code }: { readonly code: string }, socket: Socket): void {
  if (socket.writable && code !== "ECONNRESET") {
    const status = STATUS_OF_UNREADABLE[code] ?? "400 Bad Request";
    const body = JSON.stringify({ id: "bad_request", message: `This is no HTTP request that can be read: ${code}.` });
    socket.write(
      `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
  }
  socket.destroySoon();
}

const STATUS_OF_UNREADABLE: Readonly<Record<string, string>> = {
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
};

/** What the client is told. What is neither theirs to mend nor known to us is told by its request's id alone. */
function sayable(error: unknown): PlatformError {
  if (error instanceof PlatformError) return error;
  const { statusCode = 500, message } = error as Partial<FastifyError>; // Fastify's own errors carry a status
  if (statusCode === 413) {
    return new PlatformError("payload_too_large", `The body is larger than ${BODY_BYTES_MAX} bytes.`);
  }
  if (statusCode >= 400 && statusCode < 500) return new PlatformError("bad_request", `Bad request: ${message ?? ""}`);
  return new PlatformError(
    "internal_server_error",
    "Something went wrong here, and was logged with this request's Request-Id. Please try again.",
  );
}
