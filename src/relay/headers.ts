/** Of one connection, not of the message (RFC 9110 7.6.1); framing is made anew for each side. */
const OF_CONNECTION = new Set([
  "connection",
  "content-length",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** What a client has no say in: who it is at the platform, and by which way its request came. */
const NEVER_SENT = new Set(["authorization", "cookie", "expect", "host", "stator-relay"]);

type Raw = readonly string[];

/** Headers for the platform: what the client sent, without what is its connection's or ours to say. Pure. */
export function toPlatform(raw: Raw, own: Readonly<Record<string, string>>): string[] {
  return [...kept(raw, NEVER_SENT), ...Object.entries(own).flat()];
}

/** Headers for the client. `length`: what the platform's message says of its own. Pure. */
export function toClient(raw: Raw, length: string | undefined): string[] {
  return [...kept(raw, new Set()), ...(length === undefined ? [] : ["Content-Length", length])];
}

function kept(raw: Raw, dropped: ReadonlySet<string>): string[] {
  const pairs = raw.flatMap((name, index) => (index % 2 === 0 ? [[name, raw[index + 1] ?? ""] as const] : []));
  const named = pairs
    .filter(([name]) => name.toLowerCase() === "connection")
    .flatMap(([, value]) => value.toLowerCase().split(","))
    .map((each) => each.trim());
  const gone = new Set([...OF_CONNECTION, ...dropped, ...named]);
  return pairs.filter(([name]) => !gone.has(name.toLowerCase())).flat();
}
