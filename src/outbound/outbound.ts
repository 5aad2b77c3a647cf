import { Resolver } from "node:dns/promises";
import { connect as connectTcp, isIP, isIPv6, type Socket } from "node:net";
import { connect as connectTls, createSecureContext, getCACertificates, type SecureContext } from "node:tls";
import type { Clock } from "../lib/clock.ts";
import { withDeadline } from "../lib/deadline.ts";

/** A connection that a user named: a log drain's, a webhook's. */
export interface Target {
  /** For whom: what the operator allowed is allowed to one app. */
  readonly appId: string;
  /** A name, or an address (IPv6 without brackets). */
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
}

export interface OutboundOptions {
  readonly clock: Clock;
  /** Whether the address may be connected to for the app; asked for each connection, with the very address that is used. */
  readonly mayReach: (appId: string, address: string, port: number) => Promise<boolean>;
  /** The addresses of a name (default: asks the host's name servers). */
  readonly resolve?: (name: string, signal: AbortSignal) => Promise<readonly string[]>;
  /** Authorities beside those of Node and of the system (tests). */
  readonly authorities?: readonly string[];
}

/** The network rules refuse the connection. */
export class Refused extends Error {
  /** `10.0.0.5:5432`, `[fd00::5]:5432`. */
  readonly destination: string;
  constructor(address: string, port: number) {
    const destination = isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
    super(`Connection to ${destination} refused by the network rules.`);
    this.name = "Refused";
    this.destination = destination;
  }
}

/** Heroku's, for a drain (spec 8.4). */
const CONNECT_MS = 3_000;
const DNS_TRY_MS = 1_400;

/**
 * The only way by which the daemon connects to where a user says. A name is resolved here, each address is judged, and the
 * connection goes to the address that was judged: a name that means something else a moment later changes nothing.
 */
export class Outbound {
  readonly #options: OutboundOptions;
  #context: SecureContext | undefined;

  constructor(options: OutboundOptions) {
    this.#options = options;
  }

  /** A connected socket, over TLS a verified one. Throws `Refused`, `Late` (3 s for all of it), or what the network says. */
  async connect(target: Target, signal: AbortSignal): Promise<Socket> {
    const { clock } = this.#options;
    const what = `connecting to ${target.host}:${target.port}`;
    return withDeadline({ clock, ms: CONNECT_MS, what, signal }, async (soon) => {
      const socket = await this.#connectFirst(target, soon);
      return target.isTls ? this.#secure(socket, target, soon) : socket;
    });
  }

  /** Whether an address that is written in a URL may be connected to now; names are judged when they are resolved. */
  async mayReach(appId: string, host: string, port: number): Promise<boolean> {
    return isIP(host) === 0 || this.#options.mayReach(appId, host, port);
  }

  async #connectFirst({ appId, host, port }: Target, signal: AbortSignal): Promise<Socket> {
    const { mayReach, resolve = resolveByDns } = this.#options;
    const addresses = isIP(host) === 0 ? await resolve(host, signal) : [host];
    let failure: unknown = new Error(`${host} has no address`);
    for (const address of addresses) {
      if (!(await mayReach(appId, address, port))) {
        failure = new Refused(address, port);
        continue;
      }
      try {
        return await opened(connectTcp({ host: address, port }), "connect", signal);
      } catch (error) {
        signal.throwIfAborted();
        failure = error;
      }
    }
    throw failure;
  }

  #secure(socket: Socket, { host }: Target, signal: AbortSignal): Promise<Socket> {
    const { authorities = [] } = this.#options;
    this.#context ??= createSecureContext({
      // What the operator's system trusts counts too, a company's own authority say.
      ca: [...new Set([...getCACertificates("default"), ...getCACertificates("system"), ...authorities])],
    });
    const name = isIP(host) === 0 ? { servername: host } : {};
    const secured = connectTls({ socket, host, ...name, secureContext: this.#context, ALPNProtocols: ["http/1.1"] });
    return opened(secured, "secureConnect", signal);
  }
}

/** Waits for the socket's `event`; whatever else happens destroys it. */
async function opened<T extends Socket>(socket: T, event: string, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = () => reject(signal.reason as Error);
  const close = () => reject(new Error("the connection was closed before it was ready"));
  socket.once(event, resolve).once("error", reject).once("close", close);
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  try {
    await promise;
    return socket;
  } catch (error) {
    socket.on("error", () => {}); // what comes after the first error says nothing new
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
    socket.off(event, resolve).off("error", reject).off("close", close);
  }
}

/** Not `lookup`: that waits in one of the few threads which files are read in too, and a name can be made to wait long. */
async function resolveByDns(name: string, signal: AbortSignal): Promise<readonly string[]> {
  const resolver = new Resolver({ timeout: DNS_TRY_MS, tries: 2 });
  const cancel = () => resolver.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  try {
    const [four, six] = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
    const found = [four, six].flatMap((each) => (each.status === "fulfilled" ? each.value : []));
    if (found.length === 0 && four.status === "rejected") throw four.reason;
    return found;
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}
