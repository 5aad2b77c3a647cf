import { escapedUrl, PAGE_URL, PAGE_URL_MAX } from "../model/page-url.ts";
import { BALANCES, DYNO_PROTOCOLS, ROUTING_TIMEOUT_MAX } from "../model/routing.ts";
import type { RouteOptions } from "../router/routes.ts";
import { checked } from "./haproxy-text.ts";

/**
 * Options of apps as HAProxy knows them: what differs from app to app stands in maps, and the rules below are the same for all,
 * so that no option needs a reload. An app at the defaults is in none of these maps: it costs one look into the first, and then
 * goes past all rules that are not for every app (`http-request allow`).
 *
 *     options  <app>          30000.55000.affinity.https.users.h2c.continue    milliseconds to the first byte, of a pause; flags
 *     users    <app>.<name>   <salt>:<digest>                         the name in hex, as HAProxy writes it
 *     pages    <app>.error    what stands in the page instead of ours, HTML in base64; also <app>.maintenance
 */
export const OPTION_MAPS = ["options", "users", "pages"] as const;
export type OptionMap = (typeof OPTION_MAPS)[number];
type Entry = readonly [key: string, value: string];

/** `appId` was checked. Throws for anything else that is not what it should be. */
export function optionEntries(
  appId: string,
  options: RouteOptions | undefined,
): Readonly<Record<OptionMap, readonly Entry[]>> {
  if (options === undefined) return { options: [], users: [], pages: [] };
  const { users, errorPage, maintenancePage } = options;
  return {
    options: [[appId, wordOf(options)]],
    users: users.map(({ name, salt, digest }): Entry => {
      const proof = `${checked(salt, /^[A-Za-z0-9+/]{22}==$/, "a salt")}:${checked(digest, /^[0-9A-F]{64}$/, "a digest")}`;
      return [
        `${appId}.${Buffer.from(checked(name, USER_NAME, "a name"))
          .toString("hex")
          .toUpperCase()}`,
        proof,
      ];
    }),
    pages: [
      ...(errorPage === null ? [] : [[`${appId}.error`, frameOf(errorPage)] as const]),
      ...(maintenancePage === null ? [] : [[`${appId}.maintenance`, frameOf(maintenancePage)] as const]),
    ],
  };
}

const USER_NAME = /^[A-Za-z0-9_.@+-]{1,64}$/;

function wordOf(options: RouteOptions): string {
  const { sessionAffinity, endToEndContinue, httpsRedirect, users, dynoProtocol, ...times } = options;
  return [
    milliseconds(times.firstByteSeconds),
    milliseconds(times.rollingSeconds),
    ...(sessionAffinity === true ? ["affinity"] : []),
    ...(httpsRedirect === true ? ["https"] : []),
    ...(users.length > 0 ? ["users"] : []),
    ...(isH2c(dynoProtocol) ? ["h2c"] : []),
    ...(endToEndContinue === true ? ["continue"] : []),
  ].join(".");
}

function milliseconds(seconds: number): number {
  if (!Number.isSafeInteger(seconds) || seconds < 1 || seconds > ROUTING_TIMEOUT_MAX)
    throw new Error(`not a timeout: ${seconds}`);
  return seconds * 1000;
}

function frameOf(url: string): string {
  const src = escapedUrl(checked(url, PAGE_URL, "a page's address"));
  if (src.length > PAGE_URL_MAX) throw new Error("a page's address is too long");
  const style = "position:fixed;top:0;left:0;width:100%;height:100%;border:0";
  return Buffer.from(`<iframe src="${src}" style="${style}"></iframe>`).toString("base64");
}

/** Whether the app's dynos speak HTTP/2. Throws for a word that is no protocol. */
export function isH2c(protocol: string): boolean {
  return checked(protocol, new RegExp(`^(${DYNO_PROTOCOLS.join("|")})$`), "a protocol") === "h2c";
}

/** Whether the app needs a backend that counts connections. Throws for a word that is no way to choose. */
export function isLeast(balance: string): boolean {
  return checked(balance, new RegExp(`^(${BALANCES.join("|")})$`), "a way to choose") === "least-connections";
}

/** Names of the paths of ours that the rules need; each was checked. */
export interface RulePaths {
  readonly map: (name: OptionMap) => string;
  /** The pages with status 400 and 401. */
  readonly badRequest: string;
  readonly unauthorized: string;
  /** Only for clients without TLS: where they are sent. */
  readonly httpsPort: number | undefined;
}

const has = (flag: string): string => `{ var(txn.options) -m sub .${flag} }`;
/** `Expect: 100-continue` is the dyno's to answer. */
export const END_TO_END_CONTINUE: string = has("continue");

/** For the frontend, once the app and `txn.options` are known, and before anything of the app is shown. */
export function renderAdmission({ map, badRequest, unauthorized, httpsPort }: RulePaths): string {
  // A host of a wildcard's is a visitor's text.
  const plainHost = "{ var(txn.host) -m reg ^[a-z0-9._-]+$ }";
  const toHttps = has("https");
  const redirects = `  http-request set-var(txn.secure) str("https://"),concat(,txn.host,${httpsPort === 443 ? "" : `:${httpsPort}`}) if ${toHttps} ${plainHost}
  http-request set-var(txn.place) pathq if ${toHttps} { pathq -m beg / }
  http-request redirect code 301 location %[var(txn.secure)]%[var(txn.place,/)] if ${toHttps} { var(txn.secure) -m found } { method GET HEAD }
  http-request redirect code 308 location %[var(txn.secure)]%[var(txn.place,/)] if ${toHttps} { var(txn.secure) -m found }
  http-request return status 400 content-type "text/html; charset=utf-8" file ${badRequest} if ${toHttps}
`;
  return `${httpsPort === undefined ? "" : redirects}  http-request set-var(txn.user) http_auth_user,hex if ${has("users")}
  http-request set-var(txn.proof) var(txn.app),concat(.,txn.user),map_str(${map("users")}) if { var(txn.user) -m found }
  http-request set-var(txn.salt) var(txn.proof),field(1,:) if { var(txn.proof) -m found }
  http-request set-var(txn.digest) var(txn.proof),field(2,:) if { var(txn.proof) -m found }
  http-request set-var(txn.given) http_auth_pass,hmac(sha256,txn.salt),hex if { var(txn.proof) -m found }
  http-request return status 401 content-type "text/html; charset=utf-8" hdr WWW-Authenticate "Basic realm=\\"app\\", charset=\\"UTF-8\\"" hdr Cache-Control "no-cache, no-store" file ${unauthorized} if ${has("users")} !{ var(txn.given),secure_memcmp(txn.digest) }
  http-request set-var(txn.sticky) req.cook(${COOKIE}),b64dec if ${has("affinity")}
  http-request set-var(txn.domain) str("; Domain="),concat(,txn.host) if ${has("affinity")} ${plainHost}
  http-request set-var(txn.te) str(trailers) if ${has("h2c")} { req.hdr(te) -m sub -i trailers }`;
}

/** Spec 7.7. */
const COOKIE = "heroku-session-affinity";

/** Common to the backends of all apps, the last rules of their `defaults`: an app without options goes on before them. */
export function renderTreatment(): string {
  const cookie = `${COOKIE}=%[srv_name,base64]; Version=1; Expires=%[date(86400),http_date]; Max-Age=86400%[var(txn.domain)]; Path=/; HttpOnly`;
  const isNew = `${has("affinity")} !{ srv_name,strcmp(txn.sticky) eq 0 }`;
  return `  http-request allow unless { var(txn.options) -m found }
  http-request set-timeout server var(txn.options),field(1,.)
  http-request set-timeout server var(txn.options),field(2,.) if { req.hdr(accept) -m sub text/event-stream }
  http-request set-timeout server var(txn.options),field(2,.) if ${has("h2c")} { req.hdr(content-type) -m beg application/grpc }
  http-request set-timeout tunnel var(txn.options),field(2,.)
  http-request set-header TE trailers if { var(txn.te) -m found }
  http-request del-header Authorization if ${has("users")}
  http-response allow unless { var(txn.options) -m found }
  http-response add-header Set-Cookie "${cookie}" if ${isNew} { fe_name -m str http }
  http-response add-header Set-Cookie "${cookie}; Secure" if ${isNew} { fe_name -m str https }`;
}

/** In each backend of an app: a visitor's cookie names a server of this backend, or nothing. */
export const STICKY_RULE = "  use-server %[var(txn.sticky)] if { var(txn.sticky) -m found }";

/** What stands in a page: the app's own, or `fallback`. */
export function pageExpression(pages: string, kind: "error" | "maintenance", fallback: string): string {
  const own = Buffer.from(fallback).toString("base64");
  return `%[var(txn.app,none),concat(.${kind}),map_str(${pages},${own}),b64dec]`;
}
