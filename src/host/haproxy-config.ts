import { isIPv4 } from "node:net";
import { join } from "node:path";
import { UUID } from "../lib/uuid.ts";
import { DECIDED_CODES, type ErrorCodeName, errorCode } from "../router/error-codes.ts";
import type { RouteOptions, RouteState } from "../router/routes.ts";
import {
  BAD_EXPECTATION,
  BAD_METHOD,
  BAD_REQUEST,
  errorPage,
  NO_SUCH_APP,
  rawAnswer,
  UNAUTHORIZED,
} from "./error-pages.ts";
import { crtListPath, renderChallengeRules } from "./haproxy-certificates.ts";
import { checked } from "./haproxy-text.ts";
import { HOST_PATTERN } from "./protocol.ts";
import {
  END_TO_END_CONTINUE,
  isLeast,
  OPTION_MAPS,
  type OptionMap,
  optionEntries,
  pageExpression,
  renderAdmission,
  renderTreatment,
  STICKY_RULE,
} from "./route-options.ts";

/** What does not change while HAProxy runs. Every path is ours. */
export interface HaproxyLayout {
  /** Root's: configuration, maps, pages; HAProxy may only read it. */
  readonly folder: string;
  /** HAProxy's own: its sockets. */
  readonly socketFolder: string;
  /** Where the daemon takes request lines, if there is no `requestRing`. */
  readonly requestSocket: string;
  /** The file in which HAProxy is to keep the ring of its request lines (`RequestRingFiles`). */
  readonly requestRing?: string;
  /** Where the daemon is told that a request waits for an app that sleeps. */
  readonly wakeSocket: string;
  readonly httpPort: number;
  readonly httpsPort: number;
  readonly ipv6: boolean;
  /** Connections at once; HAProxy wants two descriptors for each. */
  readonly connectionsMax: number;
  /** Those that differ from `TIMEOUTS`. */
  readonly timeouts?: Partial<Timeouts>;
}

/** Milliseconds (spec 7.1, 7.2, 3.2). */
export interface Timeouts {
  /** For a dyno to accept: H19. */
  readonly connect: number;
  /** For a dyno's first byte, and between its bytes: H12, H15. */
  readonly server: number;
  /** The same where the client asked for a stream of events. */
  readonly events: number;
  /** Between a client's bytes: H28. */
  readonly client: number;
  /** Of silence, once a connection was upgraded. */
  readonly tunnel: number;
  /** For a whole head of a request. */
  readonly head: number;
  /** For the next request on a connection. */
  readonly keepAlive: number;
  /** For a dyno to come up: H20, H34. */
  readonly hold: number;
  /** Between looks at a dyno that did not accept. */
  readonly quarantine: number;
}
export const TIMEOUTS: Timeouts = {
  connect: 5_000,
  server: 30_000,
  events: 55_000,
  client: 55_000,
  tunnel: 55_000,
  head: 30_000,
  keepAlive: 60_000,
  hold: 75_000,
  quarantine: 5_000,
};

/** A dyno as HAProxy's server. */
export interface Server {
  readonly dynoId: string;
  readonly address: string;
  readonly port: number;
  /** It speaks HTTP/2 without TLS. */
  readonly h2c?: boolean;
}

/** An app as HAProxy knows it. */
export interface Wanted {
  readonly appId: string;
  readonly hosts: readonly string[];
  readonly state: RouteState;
  /** Number of its backend; never given to another app, since requests of the old one may still be in it. */
  readonly backend: number;
  readonly servers: readonly Server[];
  /** Of those that are part of a backend (how it chooses, what its servers speak), each change takes another number. */
  readonly options?: RouteOptions | undefined;
}

export interface Snapshot {
  readonly apps: readonly Wanted[];
  /** Backends with numbers of their own for apps to come, so that a new app needs no reload. */
  readonly spare: readonly number[];
  /** The same for apps with `least-connections`. */
  readonly leastSpare?: readonly number[];
}

export type MapName = "hosts" | "ready" | "states" | "backends" | OptionMap;
/** `ready`: the backends of apps that have dynos and no options, so that most requests need to know nothing else. */
export const MAP_NAMES: readonly MapName[] = ["hosts", "ready", "states", "backends", ...OPTION_MAPS];
/** One thing for each map. */
export function eachMap<T>(thing: (name: MapName) => T): Readonly<Record<MapName, T>> {
  return Object.fromEntries(MAP_NAMES.map((name) => [name, thing(name)])) as Record<MapName, T>; // one for each
}

export const configPath = ({ folder }: HaproxyLayout): string => join(folder, "haproxy.cfg");
/** The current worker's own; others speak to workers through the master. */
export const statsSocket = ({ socketFolder }: HaproxyLayout): string => join(socketFolder, "stats.sock");
export const mapPath = ({ folder }: HaproxyLayout, name: MapName): string => join(folder, `${name}.map`);
/** The name says how it chooses among dynos: `l17` has `balance leastconn`. */
export const backendName = (number: number, least = false): string => `${least ? "l" : "a"}${whole(number)}`;
export const BACKEND_NAME: RegExp = /^[al]\d+$/;
export type BackendRef = Pick<Wanted, "backend" | "options">;
export const backendOf = ({ backend, options }: BackendRef): string =>
  backendName(backend, options !== undefined && isLeast(options.balance));
/** Every backend that a worker with this snapshot has. */
export const backendsOf = ({ apps, spare, leastSpare = [] }: Snapshot): readonly string[] => [
  ...apps.map(backendOf),
  ...spare.map((number) => backendName(number)),
  ...leastSpare.map((number) => backendName(number, true)),
];
/**
 * `pool-max-conn` and `pool-purge-delay`: without both a server keeps no idle connection, for a third of the rate; the delay is short
 * so that they end here before the dyno ends them. `weight`: each is 16 places on the ring of which chance picks one, and 16
 * alone spread requests unevenly. The rest is the quarantine: see `renderDefaults`.
 */
const SERVER_OPTIONS =
  "weight 8 pool-max-conn 512 pool-purge-delay 250ms check observe layer4 error-limit 1 on-error mark-down rise 1 fall 1 inter 20d";

/**
 * The words of `add server` and of a `server` line. Throws for anything that is not an id and an address. Without a number of
 * their own all servers added at run time share their places on the ring, and HAProxy 2.6 picks but two of them.
 */
export function serverWords(server: Server, quarantine: number): string {
  const { dynoId, address, port, h2c = false } = server;
  const again = `downinter ${whole(quarantine)} fastinter ${whole(quarantine)}`;
  const protocol = h2c === true ? " proto h2" : "";
  return `${id(dynoId)} ${ipv4(address)}:${portNumber(port)} id ${serverNumber(server)} ${SERVER_OPTIONS} ${again}${protocol}`;
}

/** Unique within a backend, or one of the two must be left out. */
export function serverNumber({ dynoId }: Server): number {
  return 1 + (Number.parseInt(id(dynoId).slice(0, 8), 16) % 0x7fff_fff0);
}

/** Key and value of each entry. Throws for text that is not what it should be: nothing else gets into a map or a command. */
export function entriesOf(app: Wanted): Readonly<Record<MapName, readonly Entry[]>> {
  const { appId, hosts, state, options, servers } = app;
  const isUp = servers.length > 0 && state === "serve";
  return {
    ...optionEntries(id(appId), options),
    hosts: hosts.map((name): Entry => [host(name), id(appId)]),
    ready: isUp && options === undefined ? [[id(appId), backendOf(app)]] : [],
    states: [[id(appId), isUp ? "serve-up" : state === "asleep" ? "serve-asleep" : stateName(state)]],
    backends: [[id(appId), backendOf(app)]],
  };
}
export type Entry = readonly [key: string, value: string];

/** The text of each map file. */
export function renderMaps({ apps }: Snapshot): Readonly<Record<MapName, string>> {
  const all = apps.map(entriesOf);
  return eachMap((name) => all.flatMap((each) => each[name].map(([key, value]) => `${key} ${value}\n`)).join(""));
}

/**
 * Pages by file name: of the rules (`<code>.html`) and of HAProxy's own errors, which are formats of HAProxy's with the app's own
 * page in the place of ours, if it has one (spec 7.8); those of no app; and whole answers (`.http`).
 */
export function renderPages(layout: HaproxyLayout): Readonly<Record<string, string>> {
  return {
    ...Object.fromEntries(DECIDED_CODES.map((code): Entry => [`${code}.html`, pageOf(layout, code)])),
    "H13.html": errorPage("H13"), // hold.lua's, which puts the app's own into it
    "own.html": pageOf(layout, "H99"),
    "401.html": UNAUTHORIZED,
    "404.html": NO_SUCH_APP,
    "400.html": BAD_REQUEST,
    "405.html": BAD_METHOD,
    "417.html": BAD_EXPECTATION,
    "400.http": rawAnswer(400, "Bad Request", BAD_REQUEST),
  };
}
/** A format: with the app's own page, where the status is 503 (or nobody is there to see it). */
function pageOf(layout: HaproxyLayout, name: ErrorCodeName): string {
  const { code, status } = errorCode(name);
  if (status !== 503 && status !== 499) return errorPage(name);
  const kind = code === "H80" ? "maintenance" : "error";
  return errorPage(name, (body) => pageExpression(path(mapPath(layout, "pages")), kind, body));
}
/** HAProxy's own statuses; clients are told 503 for all of them (spec 6.4): `OWN_ERROR` tells such answers from a dyno's. */
const OWN_ERRORS = [500, 502, 503, 504];
const OWN_ERROR = "X-Stator-Own-Error";
/** The header means nothing, and is not looked for, in an answer with a lower status. */
const OWN_FROM = 500;

/**
 * HAProxy's configuration. Pure; the only variable text in it are our own paths, numbers, uuids and IPv4 addresses. Host
 * names stand in map files alone.
 */
export function renderConfig(layout: HaproxyLayout, snapshot: Snapshot): string {
  const { quarantine } = timeoutsOf(layout);
  const serversOf = new Map(snapshot.apps.map((app) => [backendOf(app), app.servers]));
  return [
    renderGlobal(layout),
    renderDefaults(layout),
    renderFrontend(layout, "http"),
    renderFrontend(layout, "https"),
    ...backendsOf(snapshot).map((name) => renderBackend(name, serversOf.get(name) ?? [], quarantine)),
    "",
  ].join("\n");
}

/** See `no_answer` in hold.lua. HAProxy 2.6 does not look at such rules in `defaults`. */
const UNANSWERED = [
  "  tcp-response inspect-delay 20d",
  "  tcp-response content accept if { status,div(100) -m bool } || { http_first_req }",
  "  tcp-response content lua.no_answer",
];

function renderBackend(name: string, servers: readonly Server[], quarantine: number): string {
  return [
    `backend ${checked(name, BACKEND_NAME, "a backend")} from app`,
    ...(name.startsWith("l") ? ["  balance leastconn"] : []),
    STICKY_RULE,
    ...UNANSWERED,
    ...servers.map((each) => `  server ${serverWords(each, quarantine)}`),
  ].join("\n");
}

/**
 * Of a line. Three for each byte of a request's first line and of what is captured, all of which may be quotation marks, and 1,000 for the
 * rest: one that is cut off is no line at all.
 */
const LINE_BYTES_MAX = 31_000;
/** Of a worker's request lines: about 20,000 of them. */
export const RING_BYTES: number = 8 * 1024 * 1024;

/** The ring of request lines: a file that the daemon reads; or else memory, out of which HAProxy sends. */
function renderRing({ requestRing, requestSocket }: HaproxyLayout): string {
  const ring = `ring requests
  format raw
  maxlen ${LINE_BYTES_MAX}
  size ${RING_BYTES}
`;
  if (requestRing !== undefined) return `${ring}  backing-file ${path(requestRing)}\n`;
  return `${ring}  timeout connect 1s
  timeout server 10s
  server daemon unix@${path(requestSocket)} log-proto octet-count
`;
}

function renderGlobal(layout: HaproxyLayout): string {
  const { folder } = layout;
  return `global
  maxconn ${whole(layout.connectionsMax)}
  hard-stop-after 24h
  mworker-max-reloads 50
  no strict-limits
  tune.http.logurilen 8400
  tune.http.maxhdr 1000
  tune.lua.maxmem 64
  ssl-default-bind-options ssl-min-ver TLSv1.2
  stats socket ${path(statsSocket(layout))} mode 600 level admin expose-fd listeners
  stats timeout 10m
  setenv STATOR_STATES ${path(mapPath(layout, "states"))}
  setenv STATOR_BACKENDS ${path(mapPath(layout, "backends"))}
  setenv STATOR_HELD_MAX ${half(layout)}
  setenv STATOR_PAGE ${path(folder)}/H13.html
  setenv STATOR_PAGES ${path(mapPath(layout, "pages"))}
  setenv STATOR_HOLD_MS ${timeoutsOf(layout).hold}
  setenv STATOR_WAKE ${path(layout.wakeSocket)}
  lua-load ${path(folder)}/hold.lua

# Request lines wait here until the daemon takes them.
${renderRing(layout)}`;
}

function renderDefaults(layout: HaproxyLayout): string {
  const { folder, socketFolder } = layout;
  const times = timeoutsOf(layout);
  const files = [
    `  errorfile 400 ${path(folder)}/400.http`,
    ...OWN_ERRORS.map(
      (status) =>
        `  http-error status ${status} content-type "text/html; charset=utf-8" lf-file ${path(folder)}/own.html hdr Cache-Control "no-cache, no-store" hdr ${OWN_ERROR} 1`,
    ),
  ];
  return `defaults base
  mode http
  timeout client ${times.client}
  timeout client-fin 10s
  timeout http-request ${times.head}
  timeout http-keep-alive ${times.keepAlive}
  timeout connect ${times.connect}
  timeout queue ${times.hold}
  timeout server ${times.server}
  timeout tunnel ${times.tunnel}
  option abortonclose
  # A worker that makes way closes an idle connection with the answer to its next request, which else might come just then.
  option idle-close-on-response
  # What browsers open ahead of need and leave unused ends without a page, which one of them might take for an answer.
  option http-ignore-probes
  option redispatch 1
  retries 9
  retry-on conn-failure
${files.join("\n")}

# Common to the backends of all apps. First what every request and answer gets; most go on from there.
defaults app from base
  balance random
  http-reuse safe
  http-request set-var(txn.start) date(0,ms)
  http-request add-header X-Request-Id "${ORDINARY_HEADERS}"
  http-request allow unless { var(txn.state) -m found } || { be_conn,div(${half(layout) + 1}) -m bool }
  http-request set-header X-Request-Id %[var(txn.request_id)]
  http-request set-header X-Request-Start %[var(txn.start)]
  http-request set-header X-Forwarded-For "%[req.fhdr(x-forwarded-for)], %[src]" if { req.fhdr_cnt(x-forwarded-for) gt 0 }
  http-request set-header X-Forwarded-For %[src] unless { req.fhdr_cnt(x-forwarded-for) gt 0 }
  http-request add-header Via "${VIA}"
  http-request set-header X-Forwarded-Proto %f
  http-request set-header X-Forwarded-Port %fp
  http-request del-header Connection unless { req.hdr(connection) -m str -i upgrade }
  http-request set-header Connection Upgrade if { req.hdr(connection) -m found }
  http-request del-header TE
  http-request del-header Keep-Alive
  http-request del-header Proxy
  http-request del-header Proxy-Authorization
  http-request del-header Proxy-Connection
  http-request set-var(txn.code) str(H22) if { be_conn gt ${half(layout)} }
${htmlAnswer("request", layout, 503, "H22", "if { var(txn.code) -m str H22 }")}
  # HAProxy 2.6 has one limit for the first byte and for pauses: Heroku's 30 s for the first byte, but a stream of events may pause for 55.
  http-request set-timeout server ${times.events} if { req.hdr(accept) -m sub text/event-stream }
  http-request wait-for-body time ${times.client} at-least 1 if { req.fhdr(expect) -m found } !${END_TO_END_CONTINUE}
  http-request del-header Expect unless ${END_TO_END_CONTINUE}
  http-response del-header Keep-Alive
  http-response del-header ${OWN_ERROR} if { status,div(${OWN_FROM}) -m bool }
  http-response add-header Via "${VIA}"
  http-response allow unless { var(txn.options) -m found } || { res.fhdr(set-cookie),length,div(8193) -m bool } || { res.fhdr(content-length),length,div(19) -m bool }
  http-response set-var(txn.code) str(H25) if { res.fhdr(set-cookie),length gt 8192 }
  http-response set-var(txn.code) str(H25-length) if { res.fhdr(content-length),length gt 18 }
${htmlAnswer("response", layout, 502, "H25", "if { var(txn.code) -m beg H25 }")}
${renderTreatment()}

# A worker that makes way for a newer one gives it all that it still holds: only the newer one learns of new dynos. It waits
# longer than the newer one may: 75 s for a dyno, and then an hour.
defaults handover from base
  timeout server 3700s
  timeout tunnel 3700s
backend next_http from handover
  http-request set-log-level silent
  server next unix@${path(socketFolder)}/next-http.sock send-proxy-v2
backend next_https from handover
  http-request set-log-level silent
  server next unix@${path(socketFolder)}/next-https.sock send-proxy-v2
`;
}

/** Those that are decided before a backend is chosen. */
const FRONT_CODES = DECIDED_CODES.filter((code) => code !== "H22" && code !== "H25");

/** 1.1 or 2.0; what HTTP/1.0 clients get is 1.1, too. */
const VIA = "%[fc_http_major,odd,iif(1.1,2.0)] stator-router";
/**
 * What every dyno gets, for requests that have none of it: as the value of one header, line ends and all, since each header that HAProxy
 * adds costs it as much as ten such lines. It goes to dynos over HTTP/1 alone; for all others (`txn.state`) it is replaced.
 */
const ORDINARY_HEADERS = [
  "%[var(txn.request_id)]",
  "X-Request-Start: %[var(txn.start)]",
  "X-Forwarded-For: %[var(sess.ip)]",
  "X-Forwarded-Proto: %f",
  "X-Forwarded-Port: %fp",
  `Via: ${VIA}`,
].join("\\r\\n");

/**
 * Fields of a request line, blank separated, and then what users wrote: the first line of the request, and some of its headers, in
 * quotation marks. HAProxy writes quotation marks and control characters in them as `#22`. `request-line.ts` reads it.
 */
const LOG_FORMAT = [
  "stator3 %pid %lc %[date(0,us)] %[var(txn.app)] %s %[var(txn.code)] %ST %B %tsc %TR %Tw %Tc %Tr %Td %Ta",
  "%[var(txn.request_id)] %f %[var(sess.ip)] %U %[var(txn.held)] %rc",
].join(" ");
const USER_FORMAT = '\\"%r\\"%hr\\"';
const TLS_FORMAT = " %sslv %[var(txn.agent),base64]";
/** As they stand in the line. */
const CAPTURED = ["Host len 300", "Content-Length len 20", "X-Forwarded-For len 1024"];

function htmlAnswer(
  side: "request" | "response",
  { folder }: HaproxyLayout,
  status: number,
  page: string,
  condition: string,
): string {
  const file = page.startsWith("H") ? "lf-file" : "file"; // those of codes are formats
  return `  http-${side} return status ${status} content-type "text/html; charset=utf-8" hdr Cache-Control "no-cache, no-store" ${file} ${path(folder)}/${page}.html ${condition}`;
}

/** Named for the scheme: the name stands in `X-Forwarded-Proto`. */
function renderFrontend(layout: HaproxyLayout, scheme: "http" | "https"): string {
  const { folder, socketFolder, httpPort, httpsPort, ipv6 } = layout;
  const isTls = scheme === "https";
  const port = portNumber(isTls ? httpsPort : httpPort);
  const tls = isTls ? ` ssl crt ${path(folder)}/router.pem crt-list ${path(crtListPath(layout))} alpn h2,http/1.1` : "";
  const map = (name: MapName) => `map_str(${path(mapPath(layout, name))})`;
  const answer = (status: number, page: string, condition: string) =>
    htmlAnswer("request", layout, status, page, condition);
  const answers = FRONT_CODES.filter((name) => isTls || name !== "H31").map((name) => {
    const { code, status } = errorCode(name);
    const visible = status === 499 ? 503 : status; // nobody is there to see it
    return answer(visible, code, `if { var(txn.code) -m str ${code} }`);
  });
  const stateCodes = Object.entries(CODE_OF_STATE).map(
    ([state, code]) =>
      `  http-request set-var(txn.code) str(${code}) if { var(txn.state) -m str ${state} } !{ var(txn.code) -m found }`,
  );
  const host = `  http-request set-var(txn.host) ${HOST}`;
  const sni = `  http-request set-var(txn.sni) ssl_fc_sni,lower,rtrim(.)
  acl as_dialled var(txn.sni),strcmp(txn.host) -m int eq 0
  acl other_name var(txn.sni) -m found
  acl sibling var(txn.host),regsub(^[^.]*,*),strcmp(txn.sni_wild) -m int eq 0
  http-request set-var(txn.sni_wild) var(txn.sni),regsub(^[^.]*,*) if other_name !as_dialled
  http-request set-var(txn.sni_app) var(txn.sni),${map("hosts")} if other_name !as_dialled !sibling
  http-request set-var(txn.sni_app) var(txn.sni_wild),${map("hosts")} if other_name !as_dialled !sibling !{ var(txn.sni_app) -m found }
  http-request set-var(txn.code) str(H31) if { var(txn.sni_app) -m found } !{ var(txn.sni_app),strcmp(txn.app) -m int eq 0 }
  http-request set-var(txn.agent) req.fhdr(user-agent),bytes(0,300) if { var(txn.code) -m str H31 }
`;
  return `frontend ${scheme} from base
  bind 0.0.0.0:${port}${tls} name ${scheme}
${ipv6 ? `  bind :::${port} v6only${tls} name ${scheme}\n` : ""}  bind unix@${path(socketFolder)}/next-${scheme}.sock accept-proxy mode 600 name next-${scheme}
${isTls ? "" : "  stick-table type ipv6 size 100k expire 1m store conn_cur\n"}  tcp-request connection track-sc0 src table http
  tcp-request connection reject if { sc0_conn_cur gt ${half(layout)} }
  tcp-request session set-var-fmt(sess.ip) %[src]
  log ring@requests len ${LINE_BYTES_MAX} local0 info
${CAPTURED.map((each) => `  capture request header ${each}\n`).join("")}  log-format "${LOG_FORMAT}${isTls ? TLS_FORMAT : ""}${USER_FORMAT}"
  http-request set-var(txn.request_id) uuid
${isTls ? `${host}\n` : ""}  http-request set-var(txn.app) ${isTls ? "var(txn.host)" : HOST},${map("hosts")}
  http-request set-var(txn.backend) var(txn.app),${map("ready")}
  # Most requests ask for nothing that the rules below are for. \`txn.state\` marks the others.
  http-request allow if { var(txn.backend),nbsrv -m bool }${isTls ? " { ssl_fc_sni,strcmp(txn.host) eq 0 }" : ""} !{ req.fhdr_cnt(host),sub(1) -m bool } !{ req.hdr_names -m reg ${SPECIAL_HEADERS} } !{ req.hdr(accept) -m sub text/event-stream } { method GET HEAD POST PUT PATCH DELETE OPTIONS } { url -m reg ${ORDINARY_URL} }
  http-request allow if { stopping }
${isTls ? "" : `${host}\n`}  # The last one: a condition on the header without its place would look at all of them.
  http-request set-var(txn.request_id) req.fhdr(x-request-id,-1) if { req.fhdr(x-request-id,-1) -m reg ^[A-Za-z0-9+/=_-]{20,200}$ }
${answer(400, "400", "unless { req.fhdr_cnt(host) eq 1 }")}
${answer(400, "400", "if { capture.req.method,length gt 127 } || { url,length gt 8192 } || { req.fhdr(content-length),length gt 18 }")}
  http-request lua.join_forwarded if { req.fhdr_cnt(x-forwarded-for) gt 1 }
  http-request capture req.fhdr(x-forwarded-for) id 2 if { req.fhdr(x-forwarded-for) -m found }
${renderChallengeRules(layout)}
  http-request set-var(txn.app) var(txn.host),regsub(^[^.]*,*),${map("hosts")} unless { var(txn.app) -m found }
${answer(404, "404", "unless { var(txn.app) -m found }")}
  http-request set-var(txn.state) var(txn.app),${map("states")}
  http-request set-var(txn.backend) var(txn.app),${map("backends")}
${answer(405, "405", "if METH_CONNECT")}
${answer(417, "417", "if { req.fhdr(expect) -m found } !{ req.fhdr(expect) -m str -i 100-continue } || { req.fhdr_cnt(expect) gt 1 }")}
${isTls ? sni : ""}  http-request set-var(txn.options) var(txn.app),${map("options")}
  http-request allow if { var(txn.state) -m beg serve } !{ var(txn.options) -m found } !{ var(txn.code) -m found } { var(txn.backend),nbsrv -m int gt 0 }
${renderAdmission({
  map: (name) => path(mapPath(layout, name)),
  badRequest: `${path(folder)}/400.html`,
  unauthorized: `${path(folder)}/401.html`,
  httpsPort: isTls ? undefined : portNumber(httpsPort),
})}
${stateCodes.join("\n")}
  http-request lua.hold if { var(txn.state) -m beg serve } { var(txn.backend),nbsrv -m int eq 0 } !{ var(txn.code) -m found }
${answers.join("\n")}
  http-after-response allow unless { status,div(${OWN_FROM}) -m bool } { res.hdr(${OWN_ERROR}) -m found }
  http-after-response set-status 503 reason "Service Unavailable"
  http-after-response del-header ${OWN_ERROR}
  use_backend next_${scheme} if { stopping }
  use_backend %[var(txn.backend)]
`;
}

const HOST = "req.fhdr(host),host_only,lower,rtrim(.)";
/**
 * Headers that something is done about, but for adding to them. (Conditions for every request are `-m bool` where they can be: one
 * with a pattern takes a lock that all threads share.)
 */
const SPECIAL_HEADERS =
  "(^|,)(x-(request-(id|start)|forwarded-(for|proto|port))|connection|te|keep-alive|proxy(-authorization|-connection)?|expect|content-length)(,|$)";

/** As long as a path may be, and not the authority's that asks for a certificate's proof (`renderChallengeRules`). */
const ORDINARY_URL = "^(?!(https?://[^/]*)?/[.]well-known/acme-challenge/).{1,8192}$";

const CODE_OF_STATE: Readonly<Record<Exclude<RouteState, "serve" | "asleep">, (typeof DECIDED_CODES)[number]>> = {
  crashed: "H10",
  "no-web": "H14",
  maintenance: "H80",
  blank: "H81",
};

// Nothing passes into configuration, maps or commands but through these.

export function id(text: string): string {
  return checked(text, UUID, "an id");
}
function host(text: string): string {
  return checked(text, hostPattern, "a host name");
}
const hostPattern = new RegExp(HOST_PATTERN);
function stateName(text: string): string {
  return checked(text, /^(serve|crashed|no-web|blank|maintenance)$/, "a state");
}
function path(text: string): string {
  return checked(text, /^\/[\w./@+-]+$/, "a path of ours");
}
function ipv4(text: string): string {
  if (!isIPv4(text)) throw new Error(`not an address: ${JSON.stringify(text)}`);
  return text;
}
function portNumber(port: number): number {
  if (whole(port) < 1 || port > 65_535) throw new Error(`not a port: ${port}`);
  return port;
}
export function timeoutsOf({ timeouts }: HaproxyLayout): Timeouts {
  const times = { ...TIMEOUTS, ...timeouts };
  for (const each of Object.values(times)) whole(each);
  return times;
}
/** As many connections as all of one app, or of one visitor's address, may take: others find room. */
function half({ connectionsMax }: HaproxyLayout): number {
  return Math.ceil(whole(connectionsMax) / 2);
}
function whole(number: number): number {
  if (!Number.isSafeInteger(number) || number < 0) throw new Error(`not a whole number: ${number}`);
  return number;
}
