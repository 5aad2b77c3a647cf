import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { changed } from "./output.ts";
import { choosePlatform, type Platform } from "./platform.ts";
import { trustHint } from "./trust.ts";

/** The platform said no. The message is its own. */
export class ApiError extends Error {
  readonly status: number;
  readonly id: string;
  constructor(status: number, id: string, message: string) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.id = id;
  }
}

/** No answer at all. */
export class UnreachableError extends Error {
  readonly status: number = 1;
}

export interface CallOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** Speaks the Platform API, as any client would. */
export class Client {
  readonly platform: Platform;

  constructor(platform: Platform = choosePlatform()) {
    this.platform = platform;
  }

  get<T>(path: string, headers: Readonly<Record<string, string>> = {}): Promise<T> {
    return this.call("GET", path, { headers });
  }

  /** One call; the parsed answer. Throws `ApiError` or `UnreachableError`. */
  async call<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
    const response = await this.open(method, path, options);
    const text = await textOf(response);
    // The API's schemas are tested on its own side; here its answers are taken at their word.
    const value = (text === "" ? undefined : JSON.parse(text)) as T;
    if (method !== "GET") changed(value);
    return value;
  }

  /** One call whose answer is a stream. Throws as `call` does. */
  async open(method: string, path: string, options: CallOptions = {}): Promise<IncomingMessage> {
    const response = await this.send(method, path, options);
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return response;
    throw errorOf(status, await textOf(response));
  }

  /** As `open`, but any status is an answer. `path` may be a whole URL; the token goes to the platform's own origin only. */
  send(method: string, path: string, options: CallOptions = {}): Promise<IncomingMessage> {
    const url = new URL(path, this.platform.url);
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);
    return new Promise((resolve, reject) => {
      const outgoing = requester(url)(url, this.requestOptions(url, method, options));
      // Node gives the body of a DELETE no length by itself, and it would be taken for a second request.
      if (body !== undefined) outgoing.setHeader("Content-Length", Buffer.byteLength(body));
      outgoing.once("response", resolve);
      outgoing.once("error", (error) => reject(this.unreachable(error)));
      outgoing.end(body);
    });
  }

  /** What every request to `url` carries; for those who make it themselves (an upgrade). */
  requestOptions(url: URL, method: string, options: CallOptions = {}): RequestOptions & { ca?: string[] } {
    const own = url.origin === this.platform.url;
    return {
      method,
      agent: false,
      headers: {
        Accept: "application/vnd.heroku+json; version=3",
        "User-Agent": "stator-cli",
        ...(own && this.platform.token !== undefined && { Authorization: `Bearer ${this.platform.token}` }),
        ...(options.body !== undefined && { "Content-Type": "application/json" }),
        ...options.headers,
      },
      ...(options.signal && { signal: options.signal }),
      // Who was told of a CA trusts no other for this platform.
      ...(own && this.platform.ca !== undefined && { ca: [this.platform.ca] }),
    };
  }

  unreachable(error: Error): UnreachableError {
    const start = this.platform.local ? " Is it running? Look with `stator status`, start it with `stator up`." : "";
    const why = trustHint(error, this.platform.url) ?? `${error.message}.${start}`;
    return new UnreachableError(`No answer from the platform at ${this.platform.url}: ${why}`, { cause: error });
  }
}

export function requester(url: URL): typeof httpRequest {
  return url.protocol === "https:" ? httpsRequest : httpRequest;
}

export async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer); // without an encoding a response gives Buffers
  return Buffer.concat(chunks).toString("utf8");
}

/** Makes of an error's body what it says (platform-api 1.6). */
export function errorOf(status: number, text: string): ApiError {
  try {
    const { id, message } = JSON.parse(text) as { id?: unknown; message?: unknown };
    if (typeof message === "string") return new ApiError(status, typeof id === "string" ? id : "", message);
  } catch {
    // not JSON: shown as it is
  }
  return new ApiError(status, "", `HTTP Error ${status}: ${text.trim().slice(0, 300)}`);
}
