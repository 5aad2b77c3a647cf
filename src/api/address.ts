import type { FastifyRequest } from "fastify";
import { isExecAddress } from "../model/exec-address.ts";

/** How a client reached us, and so can reach us again. */
export interface Address {
  /** Scheme and host, which answers give out. */
  readonly origin: URL;
  /** The whole address of a path that is its own permission: who fetches it sends no token. */
  readonly link: (path: string) => string;
  /** What a client of rendezvous is told; `tlsPort` is ours. */
  readonly rendezvous: (secret: string, tlsPort: number) => string;
  /** Where SSH clients come in at the caller's own machine; absent: nowhere. */
  readonly execAddress?: string;
}

/** Sent by the relay of `stator connect`: where it listens, and the ticket without which it lets nobody through to a link. */
export const RELAY_HEADER = "stator-relay";
/** Such a ticket in a link's query. */
export const TICKET = "relay";

/** Loopback only: what is in an answer is followed by the one who asked, and leads nobody away from their own machine. */
const RELAY =
  /^(https:\/\/(?:127\.0\.0\.1|localhost):([1-9]\d{0,4}))\/\?relay=([\w-]{20,100})(?:&exec=([\d.]{7,15}))?$/;
const HOST = /^[\w.-]{1,253}(:\d{1,5})?$|^\[[\da-fA-F:.]{2,45}\](:\d{1,5})?$/;

/** Of the relay where one brought the request, else of its own Host. A header that makes no sense is as if there were none. */
export function addressOf(request: FastifyRequest): Address {
  const [, relay = "", port = "", ticket = "", execAddress = ""] =
    RELAY.exec(String(request.headers[RELAY_HEADER] ?? "")) ?? [];
  if (URL.canParse(relay)) {
    const origin = new URL(relay);
    return {
      origin,
      link: (path) => `${origin.origin}${path}?${TICKET}=${ticket}`,
      rendezvous: (secret) => `rendezvous://${origin.hostname}:${port}/${secret}?${TICKET}=${ticket}`,
      ...(isExecAddress(execAddress) && { execAddress }),
    };
  }
  const host = HOST.test(request.headers.host ?? "") ? request.headers.host : `127.0.0.1:${request.socket.localPort}`;
  const origin = new URL(`${request.protocol}://${host}`);
  return {
    origin,
    link: (path) => new URL(path, origin).href,
    rendezvous: (secret, tlsPort) => `rendezvous://${origin.hostname}:${tlsPort}/${secret}`,
  };
}
