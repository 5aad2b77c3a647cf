import { PlatformError } from "./errors.ts";

/**
 * How the router treats requests of an app: settings of ours (`/apps/:app/routing`). Whether a browser's requests stay with one
 * dyno is a feature (`http-session-affinity`), who may come in at all is in `basic-auth.ts`.
 */
export interface RoutingSettings {
  /** Which dyno gets a request: any (spec 7.1), or the one with the fewest. */
  readonly balance: Balance;
  /** What web dynos speak: HTTP/1.1, or HTTP/2 without TLS and so gRPC. */
  readonly dynoProtocol: DynoProtocol;
  /** Requests without TLS are sent to the same address with it. */
  readonly httpsRedirect: boolean;
  /** From a request until its answer begins (H12), and the longest pause in an ordinary answer (H15). */
  readonly firstByteSeconds: number;
  /** The longest pause of a WebSocket, and of what a client asks for as `text/event-stream`. */
  readonly rollingSeconds: number;
}

export const BALANCES = ["random", "least-connections"] as const;
export type Balance = (typeof BALANCES)[number];

export const DYNO_PROTOCOLS = ["http1", "h2c"] as const;
export type DynoProtocol = (typeof DYNO_PROTOCOLS)[number];

/** As at Heroku (spec 7.2). */
export const DEFAULT_ROUTING: RoutingSettings = {
  balance: "random",
  dynoProtocol: "http1",
  httpsRedirect: false,
  firstByteSeconds: 30,
  rollingSeconds: 55,
};

/** Seconds; the router's own patience with what it hands over is longer (`host/haproxy-config.ts`). */
export const ROUTING_TIMEOUT_MAX = 3600;

/** Throws `invalid_params` with a sentence for a value out of range. */
export function checkRouting({ balance, dynoProtocol, firstByteSeconds, rollingSeconds }: RoutingSettings): void {
  refuseUnlessOneOf("balance", balance, BALANCES);
  refuseUnlessOneOf("protocol of dynos", dynoProtocol, DYNO_PROTOCOLS);
  refuseUnlessSeconds("first byte timeout", firstByteSeconds);
  refuseUnlessSeconds("rolling timeout", rollingSeconds);
}

function refuseUnlessOneOf(what: string, value: string, names: readonly string[]): void {
  if (names.includes(value)) return;
  throw new PlatformError(
    "invalid_params",
    `The ${what} cannot be ${JSON.stringify(value)}: say ${names.join(" or ")}.`,
  );
}

function refuseUnlessSeconds(what: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 1 && value <= ROUTING_TIMEOUT_MAX) return;
  throw new PlatformError(
    "invalid_params",
    `The ${what} cannot be ${value}: say a number from 1 to ${ROUTING_TIMEOUT_MAX} (seconds).`,
  );
}
