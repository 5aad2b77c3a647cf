import { randomBytes, timingSafeEqual } from "node:crypto";
import type { Clock, Instant } from "../lib/clock.ts";
import { PlatformError } from "../model/errors.ts";

/** What a key was registered for: one dyno, one person, by one token. */
export interface TunnelFacts {
  readonly appId: string;
  readonly dynoId: string;
  readonly dynoName: string;
  readonly userId: string;
  readonly tokenId: string;
  /** The public key, as SSH writes it on the wire. */
  readonly key: Buffer;
}

export interface Tunnel extends TunnelFacts {
  /** The name under which the SSH client comes. */
  readonly name: string;
}

interface Entry {
  readonly tunnel: Tunnel;
  readonly registeredAt: Instant;
  /** When a connection to a port was last opened by it. */
  forwardedAt: Instant | null;
  isSpent: boolean;
}

/** A terminal or a copy is begun within a minute of the key's registration. */
const SESSION_MS = 60_000;
/**
 * `ps:forward` and `ps:socks` register once, and then make an SSH connection for each connection to a port: their key
 * lasts for an hour after the last, as a silent connection does (spec 3.9), and a day at most.
 */
const FORWARD_IDLE_MS = 3_600_000;
const FORWARD_MS = 86_400_000;
const EACH_MAX = 20;
const ALL_MAX = 2_000;

/**
 * The keys with which SSH clients may come in. Each opens either one session, once, or connections to ports; never
 * both. They are kept in memory alone: a client whose daemon was restarted asks anew.
 */
export class Tunnels {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Throws `service_unavailable` when there are too many; of one person's the oldest gives way. */
  register(facts: TunnelFacts): Tunnel {
    this.#forgetOld();
    const own = [...this.#entries.values()].filter(({ tunnel }) => tunnel.userId === facts.userId);
    const oldest = own[0];
    if (own.length >= EACH_MAX && oldest) this.#entries.delete(oldest.tunnel.name);
    if (this.#entries.size >= ALL_MAX)
      throw new PlatformError("service_unavailable", "Too many people are in dynos right now; please try again soon.");
    const tunnel = { ...facts, name: randomBytes(12).toString("hex") };
    this.#entries.set(tunnel.name, { tunnel, registeredAt: this.#clock.now(), forwardedAt: null, isSpent: false });
    return tunnel;
  }

  /** The tunnel of that name, if this is its key and it may still be used. */
  find(name: string, key: Buffer): Tunnel | undefined {
    const entry = this.#entries.get(name);
    if (entry === undefined || this.#leftMs(entry) <= 0) return undefined;
    const own = entry.tunnel.key;
    return own.length === key.length && timingSafeEqual(own, key) ? entry.tunnel : undefined;
  }

  /** Uses it up for a session; false: it was, or it is too old, or it is for ports. */
  takeSession({ name }: Tunnel): boolean {
    const entry = this.#entries.get(name);
    if (entry === undefined || entry.isSpent || entry.forwardedAt !== null) return false;
    entry.isSpent = true;
    return this.#clock.now() - entry.registeredAt <= SESSION_MS;
  }

  /** Notes that a connection to a port is opened by it; false: it was used for a session, or is too old. */
  takeForward({ name }: Tunnel): boolean {
    const entry = this.#entries.get(name);
    if (entry === undefined || this.#leftMs(entry) <= 0) return false;
    entry.forwardedAt = this.#clock.now();
    return true;
  }

  /** For how long somebody may still come in; 0: for nobody. */
  openForMs(): number {
    this.#forgetOld();
    return Math.max(0, ...[...this.#entries.values()].map((entry) => this.#leftMs(entry)));
  }

  #leftMs({ isSpent, registeredAt, forwardedAt }: Entry): number {
    if (isSpent) return 0;
    const now = this.#clock.now();
    return Math.min(registeredAt + FORWARD_MS, (forwardedAt ?? registeredAt) + FORWARD_IDLE_MS) - now;
  }

  #forgetOld(): void {
    for (const [name, entry] of this.#entries) if (this.#leftMs(entry) <= 0) this.#entries.delete(name);
  }
}
