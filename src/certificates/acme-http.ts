import { request } from "node:https";
import { rootCertificates } from "node:tls";
import { addAbortListener } from "../lib/abort.ts";

/** What an authority said no with, or why it could not be asked. */
export class AcmeProblem extends Error {
  /** Last word of RFC 8555's type, as `rateLimited`; ours are `unreachable` and `late`. */
  readonly type: string;
  /** HTTP's; 0: no answer. */
  readonly status: number;
  readonly retryAfterMs: number | null;
  constructor(
    type: string,
    detail: string,
    options: { readonly status?: number; readonly retryAfterMs?: number | null; readonly cause?: unknown } = {},
  ) {
    super(detail, { cause: options.cause });
    this.name = "AcmeProblem";
    this.type = type;
    this.status = options.status ?? 0;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}

/** What the client library gives to, and wants of, the function that makes its requests (axios' adapter). */
export interface Asked {
  readonly url?: string;
  readonly method?: string;
  readonly headers?: { toJSON?(): object };
  readonly data?: unknown;
}
export interface Answered {
  readonly data: string;
  readonly status: number;
  readonly statusText: string;
  readonly headers: Record<string, string>;
  readonly config: Asked;
}

const ANSWER_MS = 30_000;
const ANSWER_BYTES_MAX = 1024 * 1024;

/**
 * Makes the client library's requests: TLS always, no redirects, no more than 30 s and 1 MB, ended by `signal`. Every no becomes
 * an `AcmeProblem`, with the wait that the authority asks for; the library's own repeats, which nobody could end, are left out.
 */
export function acmeHttp(options: {
  /** Trusted beside the well-known authorities. */
  readonly ca: string | undefined;
  readonly signal: AbortSignal;
  readonly now: () => number;
}): (asked: Asked) => Promise<Answered> {
  return async (asked) => {
    const url = new URL(asked.url ?? "");
    if (url.protocol !== "https:") throw new AcmeProblem("unreachable", `${url.href} is no https address.`);
    const answered = await send(url, asked, options);
    if (answered.status < 400) return answered;
    const { type, detail } = problemIn(answered.data);
    if (type === "badNonce") return answered; // the library asks again, with a new one
    throw new AcmeProblem(type, detail === "" ? `${url.host} answered ${answered.status}.` : detail, {
      status: answered.status,
      retryAfterMs: retryAfter(answered.headers["retry-after"], options.now()),
    });
  };
}

function send(
  url: URL,
  asked: Asked,
  { ca, signal }: { readonly ca: string | undefined; readonly signal: AbortSignal },
): Promise<Answered> {
  const { promise, resolve, reject } = Promise.withResolvers<Answered>();
  const body = typeof asked.data === "string" ? asked.data : undefined;
  const sent = request(url, {
    method: asked.method?.toUpperCase() ?? "GET",
    headers: {
      ...textHeaders(asked.headers?.toJSON?.() ?? asked.headers ?? {}),
      ...(body !== undefined && { "Content-Length": String(Buffer.byteLength(body)) }),
    },
    ...(ca !== undefined && { ca: [...rootCertificates, ca] }),
  });
  const unreachable = (error: Error): void =>
    reject(new AcmeProblem("unreachable", `${url.host} cannot be reached: ${error.message}`, { cause: error }));
  const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
  const listening = addAbortListener(limit, () => sent.destroy(new Error("no answer in time")));
  sent.on("error", unreachable);
  sent.on("response", (response) => {
    const chunks: Buffer[] = [];
    let size = 0;
    response.on("error", unreachable);
    response.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > ANSWER_BYTES_MAX) sent.destroy(new Error("an answer without end"));
      else chunks.push(chunk);
    });
    response.on("end", () =>
      resolve({
        data: Buffer.concat(chunks).toString("utf8"),
        status: response.statusCode ?? 0,
        statusText: response.statusMessage ?? "",
        headers: textHeaders(response.headers),
        config: asked,
      }),
    );
  });
  sent.end(body);
  return promise.finally(() => listening[Symbol.dispose]());
}

function textHeaders(headers: object): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers)
      .filter(([, value]) => typeof value === "string" || Array.isArray(value))
      .map(([name, value]) => [name, String(value)]),
  );
}

/** The type and the words of a problem document (RFC 7807). */
function problemIn(text: string): { readonly type: string; readonly detail: string } {
  try {
    return problemOf(JSON.parse(text));
  } catch {
    return { type: "unknown", detail: "" }; // not JSON: a proxy's page
  }
}

/** Of a problem that stands in an order, an authorization or an answer. */
export function problemOf(value: unknown): { readonly type: string; readonly detail: string } {
  const { type, detail } = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>; // looked at below
  return {
    type: typeof type === "string" ? (type.split(":").at(-1) ?? "unknown") : "unknown",
    detail: typeof detail === "string" ? detail.slice(0, 500) : "",
  };
}

/** Seconds or a date (RFC 9110, 10.2.3), as milliseconds from now. */
export function retryAfter(text: string | undefined, now: number): number | null {
  if (text === undefined) return null;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isNaN(ms) ? null : Math.max(0, ms);
}
