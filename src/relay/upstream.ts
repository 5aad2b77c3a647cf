import type { ClientRequest } from "node:http";
import { Agent, request as httpsRequest, type RequestOptions } from "node:https";
import { isIP } from "node:net";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import type { Clock } from "../lib/clock.ts";

/** The platform at the other end: reached by TLS, its certificate always verified. */
export interface UpstreamOptions {
  /** `https://platform.example:5443` */
  readonly url: string;
  readonly token: string;
  /** PEM of the only CA that is trusted there; absent: those of the machine. */
  readonly ca?: string | undefined;
  readonly clock: Clock;
}

const CONNECT_MS = 15_000;
const KEEP_ALIVE_MS = 30_000;
/** Log streams and terminals keep theirs; a command opens a few. */
const SOCKETS_MAX = 256;

export class Upstream {
  readonly #url: URL;
  readonly #options: UpstreamOptions;
  readonly #agent: Agent;

  constructor(options: UpstreamOptions) {
    this.#url = new URL(options.url);
    this.#options = options;
    if (this.#url.protocol !== "https:") throw new Error(`${this.#url.origin} is not reached by TLS`);
    this.#agent = new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX, maxFreeSockets: 4, ...this.#tls() });
  }

  get origin(): string {
    return this.#url.origin;
  }

  get host(): string {
    return this.#url.host;
  }

  /** The token, in the way in which the client showed the relay's secret: Basic where there is a user. */
  authorization(user: string | undefined): string {
    const { token } = this.#options;
    if (user === undefined) return `Bearer ${token}`;
    return `Basic ${Buffer.from(`${user}:${token}`).toString("base64")}`;
  }

  /**
   * A request whose head and body the caller makes. A connection that was used before may have been closed meanwhile, which is
   * found out too late for what has a body: such a request gets one of its own.
   */
  request(method: string, path: string, headers: readonly string[], isRepeatable: boolean): ClientRequest {
    const options: RequestOptions = {
      host: this.#hostname(),
      port: this.#port(),
      method,
      path,
      headers: headers as string[], // in turn, as they came
      setDefaultHeaders: false,
      agent: isRepeatable ? this.#agent : new Agent({ keepAlive: false, ...this.#tls() }),
    };
    const outgoing = httpsRequest(options);
    outgoing.once("socket", (socket) => {
      socket.setKeepAlive(true, KEEP_ALIVE_MS);
      if (socket.connecting) this.#inTime(outgoing, (done) => socket.once("secureConnect", done).once("close", done));
    });
    return outgoing;
  }

  /** A connection for bytes of its own. Rejects with why it could not be made. */
  connect(): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: this.#hostname(), port: this.#port(), ...this.#tls() });
      this.#inTime(socket, (done) => socket.once("secureConnect", done).once("close", done));
      socket.once("error", reject);
      socket.once("secureConnect", () => {
        socket.off("error", reject);
        socket.setKeepAlive(true, KEEP_ALIVE_MS);
        socket.setNoDelay(true);
        resolve(socket);
      });
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  #hostname(): string {
    return this.#url.hostname.replace(/^\[|\]$/g, "");
  }

  #port(): number {
    return Number(this.#url.port || "443");
  }

  #tls(): ConnectionOptions {
    const { ca } = this.#options;
    const name = this.#hostname();
    return {
      ALPNProtocols: ["http/1.1"],
      minVersion: "TLSv1.2",
      ...(isIP(name) === 0 && { servername: name }),
      ...(ca !== undefined && { ca }),
    };
  }

  #inTime(what: { destroy: (error: Error) => unknown }, until: (done: () => void) => void): void {
    const done = new AbortController();
    until(() => done.abort());
    this.#options.clock.sleep(CONNECT_MS, done.signal).then(
      () => what.destroy(new Error(`no connection within ${CONNECT_MS / 1000} s`)),
      () => {}, // it came, or is closed
    );
  }
}

/** In a person's words, and without anything that was sent. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const known: Readonly<Record<string, string>> = {
    ECONNREFUSED: "nothing listens there",
    ENOTFOUND: "there is no such name",
    EAI_AGAIN: "its name cannot be looked up now",
    ECONNRESET: "the connection was reset",
    ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for other names",
    CERT_HAS_EXPIRED: "its certificate has expired",
    SELF_SIGNED_CERT_IN_CHAIN: "its certificate is not signed by the CA that is trusted",
    DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is not signed by the CA that is trusted",
    UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is not signed by the CA that is trusted",
    CERT_SIGNATURE_FAILURE: "its certificate is not signed by the CA that is trusted",
  };
  return known[code ?? ""] ?? message;
}
