import { createHash, timingSafeEqual } from "node:crypto";

/** What of a request decides whether it may come in. */
export interface Asked {
  readonly method: string;
  /** The target of the request line, as it came. */
  readonly target: string;
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[];
}

export type Verdict =
  /** The relay's own person: goes on with the platform's token, and with the user that Basic named (the app, for exec). */
  | { readonly kind: "owner"; readonly target: string; readonly user?: string }
  /** A link of the platform's with this relay's ticket: goes on without the token. */
  | { readonly kind: "link"; readonly target: string }
  | { readonly kind: "refused"; readonly status: 400 | 401 | 403; readonly id: string; readonly message: string };

/** Paths that are their own permission at the platform: clients fetch them without a token (platform-api 3.2 to 3.4). */
const LINK = /^\/stator\/[a-z-]+\/[\w.%-]+(?:\?|$)/;
const LINK_METHODS = new Set(["GET", "HEAD", "PUT"]);
/** One path on this server: no other server's address, nothing that must not stand in a request line. */
const PATH = /^\/(?!\/)[\x21-\x7e]*$/;

/** Who may use a relay: every request is judged here. Secrets are compared by their hashes, which takes the same time for all. */
export class Access {
  readonly #secret: Buffer;
  readonly #ticket: Buffer;
  readonly #ticketText: string;
  readonly #hosts: ReadonlySet<string>;

  constructor({ secret, ticket, port }: { readonly secret: string; readonly ticket: string; readonly port: number }) {
    this.#secret = hashOf(secret);
    this.#ticket = hashOf(ticket);
    this.#ticketText = ticket;
    const suffix = port === 443 ? "" : `:${port}`;
    this.#hosts = new Set([`127.0.0.1${suffix}`, `localhost${suffix}`]);
  }

  judge({ method, target, rawHeaders }: Asked): Verdict {
    const hosts = valuesOf(rawHeaders, "host");
    const authorizations = valuesOf(rawHeaders, "authorization");
    // A page that somebody's browser has open may point its own name at 127.0.0.1 (DNS rebinding); its Host gives it away.
    if (hosts.length !== 1 || !this.#hosts.has((hosts[0] ?? "").toLowerCase()))
      return refused(
        403,
        "forbidden",
        "This relay answers to 127.0.0.1 and localhost with its port, and to no other Host.",
      );
    if (!PATH.test(target) || authorizations.length > 1)
      return refused(400, "bad_request", "This relay takes requests for paths of its platform, and nothing else.");
    const { path, ticket } = split(target);
    const shown = credentialsIn(authorizations[0] ?? "");
    if (timingSafeEqual(hashOf(shown.secret), this.#secret))
      return { kind: "owner", target: path, ...(shown.user !== undefined && { user: shown.user }) };
    if (LINK.test(path) && LINK_METHODS.has(method) && ticket !== undefined && this.isTicket(ticket))
      return { kind: "link", target: path };
    return refused(
      401,
      "unauthorized",
      "This relay demands its own secret, which `stator env` prints for the person who started it.",
    );
  }

  isTicket(text: string): boolean {
    return timingSafeEqual(hashOf(text), this.#ticket);
  }

  /** What the platform is told, so that its answers lead back here. `execAddress`: where SSH clients come in. */
  header(port: number, execAddress: string | undefined): string {
    const exec = execAddress === undefined ? "" : `&exec=${execAddress}`;
    return `https://127.0.0.1:${port}/?relay=${this.#ticketText}${exec}`;
  }
}

/** Bearer, or Basic with any user (platform-api 1.7). */
function credentialsIn(authorization: string): { readonly user?: string; readonly secret: string } {
  const [, scheme = "", word = ""] = /^(bearer|basic) +([\w.~+/=-]+)$/i.exec(authorization) ?? [];
  if (scheme.toLowerCase() !== "basic") return { secret: word };
  const text = Buffer.from(word, "base64").toString("utf8");
  const colon = text.indexOf(":");
  return colon < 0 ? { secret: text } : { user: text.slice(0, colon), secret: text.slice(colon + 1) };
}

/** The target without a relay's ticket, which the platform has no use for. */
function split(target: string): { readonly path: string; readonly ticket?: string } {
  const match = /^(.*)[?&]relay=([\w-]*)$/.exec(target);
  return match === null ? { path: target } : { path: match[1] ?? "", ticket: match[2] ?? "" };
}

export function valuesOf(rawHeaders: readonly string[], name: string): readonly string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name);
}

function refused(status: 400 | 401 | 403, id: string, message: string): Verdict {
  return { kind: "refused", status, id, message };
}

function hashOf(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
