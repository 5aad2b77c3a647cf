import { PlatformError } from "./errors.ts";

/** Where an app's log lines go (spec 8.4). */
export interface DrainTarget {
  readonly kind: "http" | "syslog";
  readonly isTls: boolean;
  /** A name or an address, as it is connected to. */
  readonly host: string;
  readonly port: number;
  /** For messages: scheme, host and port; the rest may be secret. */
  readonly shown: string;
  /** Of the kind `http`. */
  readonly url: URL;
}

const URL_CHARACTERS_MAX = 1_000;
const KINDS: Readonly<Record<string, { readonly kind: DrainTarget["kind"]; readonly isTls: boolean; port: number }>> = {
  "http:": { kind: "http", isTls: false, port: 80 },
  "https:": { kind: "http", isTls: true, port: 443 },
  "syslog:": { kind: "syslog", isTls: false, port: 514 },
  "syslog+tls:": { kind: "syslog", isTls: true, port: 6514 },
};

/** Drains of one app (spec 8.4). */
export const DRAINS_MAX = 5;

/** Throws `invalid_params`. */
export function parseDrainUrl(text: string): DrainTarget {
  const given = parsed(text);
  const known = given && KINDS[given.protocol];
  if (given === undefined || known === undefined || !text.slice(given.protocol.length).startsWith("//"))
    throw refused("Use https://, http://, syslog:// or syslog+tls:// with a host name.");
  // Of schemes that it does not know, `URL` takes the host as it stands; as a web address it is checked and made canonical.
  const web = parsed(`${known.isTls ? "https" : "http"}:${text.slice(text.indexOf(":") + 1)}`);
  if (web === undefined || web.hostname === "") throw refused("It has no host name that can be used.");
  const host = web.hostname.replace(/^\[|\]$/g, "");
  const port = given.port === "" ? known.port : Number(given.port);
  if (port === 0) throw refused("0 is not a port.");
  if (known.kind === "syslog" && web.username !== "") throw refused("A syslog server takes no user and password.");
  const shown = `${given.protocol}//${host.includes(":") ? `[${host}]` : host}:${port}/`;
  return { kind: known.kind, isTls: known.isTls, host, port, shown, url: web };
}

/** Throws `invalid_params`: a webhook's address is one of the web. */
export function parseWebUrl(text: string): DrainTarget {
  const target = parseDrainUrl(text);
  if (target.kind !== "http") throw refused("Use https:// or http://.");
  return target;
}

function parsed(text: string): URL | undefined {
  if (text.length > URL_CHARACTERS_MAX) throw refused(`At most ${URL_CHARACTERS_MAX} characters.`);
  // `URL` would drop blanks, tabs and line ends silently, and what is stored would not be what is used.
  if (/[^\x21-\x7e]/.test(text))
    throw refused("It has blanks, control characters or others that must be percent-encoded.");
  const url = URL.parse(text) ?? undefined;
  try {
    decodeURIComponent(`${url?.username ?? ""}${url?.password ?? ""}`);
  } catch {
    throw refused("Its user or password has a % that does not stand for a character.");
  }
  return url;
}

function refused(why: string): PlatformError {
  return new PlatformError("invalid_params", `Url is invalid. ${why}`);
}
