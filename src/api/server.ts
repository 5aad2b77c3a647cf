import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { PlatformError } from "../model/errors.ts";
import { frameClient } from "../run/attach-frames.ts";
import type { AttachedClient } from "../run/bridge.ts";
import { DynoSessions, type SessionOptions } from "../run/dyno-sessions.ts";
import { type RunOptions, startRuns } from "../run/one-off.ts";
import { Recordings } from "../run/recordings.ts";
import { rendezvousClient } from "../run/rendezvous.ts";
import type { Sessions } from "../run/sessions.ts";
import { Visits } from "../run/visits.ts";
import type { Door } from "../ssh/door.ts";
import { guestOf } from "../ssh/guests.ts";
import { Ssh } from "../ssh/ssh.ts";
import { listenAdmin } from "./admin.ts";
import { Audit } from "./audit.ts";
import { authenticate, type Caller } from "./auth.ts";
import { Background } from "./background.ts";
import type { ApiContext } from "./context.ts";
import { createHttp, type RouteEntry, routesOf } from "./http.ts";
import { RateLimit } from "./rate-limit.ts";
import { accountRoutes } from "./resources/accounts.ts";
import { acmRoutes } from "./resources/acm.ts";
import { appTransferRoutes } from "./resources/app-transfers.ts";
import { appRoutes } from "./resources/apps.ts";
import { auditEventRoutes } from "./resources/audit-events.ts";
import { authorizationRoutes } from "./resources/authorizations.ts";
import { buildpackRoutes } from "./resources/buildpacks.ts";
import { buildRoutes } from "./resources/builds.ts";
import { collaboratorRoutes } from "./resources/collaborators.ts";
import { configVarRoutes } from "./resources/config-vars.ts";
import { domainRoutes } from "./resources/domains.ts";
import { dynoSizeRoutes } from "./resources/dyno-sizes.ts";
import { dynoRoutes } from "./resources/dynos.ts";
import { egressRuleRoutes } from "./resources/egress-rules.ts";
import { execManagerRoutes } from "./resources/exec-manager.ts";
import { featureRoutes } from "./resources/features.ts";
import { formationRoutes } from "./resources/formation.ts";
import { gitRoutes } from "./resources/git.ts";
import { healthCheckRoutes } from "./resources/health-checks.ts";
import { isolationRoutes } from "./resources/isolation.ts";
import { keyRoutes } from "./resources/keys.ts";
import { logDrainRoutes } from "./resources/log-drains.ts";
import { logSessionRoutes } from "./resources/log-sessions.ts";
import { missingRoutes } from "./resources/missing.ts";
import { oauthClientRoutes } from "./resources/oauth-clients.ts";
import { oauthTokenRoutes } from "./resources/oauth-tokens.ts";
import { pipelineTransferRoutes } from "./resources/pipeline-transfers.ts";
import { pipelineRoutes } from "./resources/pipelines.ts";
import { platformRoutes } from "./resources/platform.ts";
import { promotionRoutes } from "./resources/promotions.ts";
import { recordingRoutes } from "./resources/recordings.ts";
import { releaseRoutes } from "./resources/releases.ts";
import { routerMetricsRoutes } from "./resources/router-metrics.ts";
import { routingRoutes } from "./resources/routing.ts";
import { runtimeRoutes } from "./resources/runtime.ts";
import { scheduleRoutes } from "./resources/schedules.ts";
import { slugRoutes } from "./resources/slugs.ts";
import { sniEndpointRoutes } from "./resources/sni-endpoints.ts";
import { sourceRoutes, uploadRoutes } from "./resources/sources.ts";
import { stackRoutes } from "./resources/stacks.ts";
import { telemetryDrainRoutes } from "./resources/telemetry-drains.ts";
import { usageRoutes } from "./resources/usage.ts";
import { userRoutes } from "./resources/users.ts";
import { webhookRoutes } from "./resources/webhooks.ts";
import { Routes } from "./route.ts";
import { listenTls } from "./tls-listener.ts";

export interface ApiOptions
  extends Pick<
    ApiContext,
    | "config"
    | "store"
    | "supervision"
    | "schedules"
    | "logs"
    | "builds"
    | "certificates"
    | "usage"
    | "outbound"
    | "requests"
    | "clock"
    | "random"
    | "logger"
    | "signer"
  > {
  readonly engine: RunOptions["engine"] & SessionOptions["engine"] & ApiContext["engine"];
  readonly openSessions: SessionOptions["openSessions"];
  /** Where SSH clients come in. */
  readonly door: Door;
  /** `DynoLogs.output`. */
  readonly output: RunOptions["output"];
  /** Calls an account may make in an hour; default 4,500 (spec 13). */
  readonly callsPerHour?: number;
  /** Tests: an answer that is not what its schema says becomes an error. */
  readonly checkResponses?: boolean;
}

export interface Api extends AsyncDisposable {
  /** The ports it listens on. */
  readonly port: number;
  readonly tlsPort: number;
  /** Of the two listeners that clients reach. */
  readonly routes: readonly RouteEntry[];
}

const ATTACH = "stator-attach";
/** A relay carries an SSH client of its person's: see `relay/exec-door.ts`. */
const SSH = "stator-ssh";
const CALLS_PER_HOUR = 4500;
const DAY_MS = 86_400_000;

/**
 * The Platform API on its three listeners: plain HTTP on the loopback, TLS (which carries rendezvous too) on every address,
 * and the admin socket. Git, log streams and attached dynos come the same ways.
 */
export async function startApi(options: ApiOptions): Promise<Api> {
  await using parts = new AsyncDisposableStack();
  const { config, clock, logger, checkResponses = false } = options;
  const closing = new AbortController();
  const recordings = new Recordings({ ...options, folder: join(config.instance.paths.data, "recordings") });
  await recordings.sweep();
  const runs = parts.use(await startRuns({ ...options, recordings, sink: options.logs }));
  const sessions = parts.use(new DynoSessions({ ...options, recordings }));
  const visits = parts.use(new Visits({ sessions, clock, logger }));
  const ssh = parts.use(sshOver(options, sessions));
  const background = parts.use(new Background(logger));
  const audit = parts.use(new Audit({ store: options.store, clock, logger, keepMs: config.auditDays * DAY_MS }));
  const rateLimit = new RateLimit(clock, options.callsPerHour ?? CALLS_PER_HOUR);
  const context: ApiContext = {
    ...options,
    version: ownVersion(),
    runs,
    visits,
    recordings,
    ssh,
    rateLimit,
    audit,
    until: closing.signal,
    background,
    tlsPort: () => tlsPort,
  };
  let tlsPort = config.tlsPort;

  const takesUpgrade = (protocol: string | undefined) => [ATTACH, SSH].includes(protocol?.toLowerCase() ?? "");
  const admit = (request: FastifyRequest) => refuseRebinding(request.raw, config.domain);
  const refused = (request: FastifyRequest, who: Pick<Caller, "user" | "token">) => {
    const route = `${request.method} ${request.routeOptions.url}`;
    void audit.note({ ...audit.eventOf(request, route, who, {}), outcome: "refused" });
  };
  const server = createHttp({ ...context, checkResponses, admit, takesUpgrade, refused });
  await addRoutes(server, context);
  parts.defer(() => server.close());
  server.server.on("upgrade", (request, socket) => {
    const isSsh = request.headers.upgrade?.toLowerCase() === SSH;
    void upgraded(request, socket, isSsh ? SSH : ATTACH, isSsh ? joinSsh : attach, context);
  });
  await server.ready();
  const tls = await listenTls({
    home: config.instance.home,
    host: config.tlsAddress ?? "0.0.0.0",
    port: config.tlsPort,
    clock,
    logger,
    http: (socket) => server.server.emit("connection", socket),
    rendezvous: (secret, socket) => void rendezvous(secret, socket, context),
  });
  parts.use(tls);
  tlsPort = tls.port; // another one where the config says 0, as tests do
  parts.use(await listenAdmin(context, checkResponses));
  // Last: who sees this port answer (`up` does) finds the other doors open too.
  await server.listen({ host: "127.0.0.1", port: config.apiPort });
  parts.defer(async () => closing.abort()); // first of all: streams end
  const port = (server.server.address() as AddressInfo).port; // it listens on a port
  const all = parts.move();
  return { port, tlsPort, routes: routesOf(server), [Symbol.asyncDispose]: () => all.disposeAsync() };
}

function sshOver({ door, config, store, logs, clock, logger }: ApiOptions, sessions: Sessions): Ssh {
  const folder = config.instance.paths.data;
  return new Ssh({
    door,
    folder,
    sessions,
    guestOf: (tunnel) => guestOf(tunnel, { store, logs, clock }),
    clock,
    logger,
  });
}

/** Every resource; the path table of the API. */
export async function addRoutes(server: FastifyInstance, context: ApiContext): Promise<void> {
  const routes = new Routes(server, context.audit, context.clock);
  accountRoutes(routes, context);
  authorizationRoutes(routes, context);
  oauthClientRoutes(routes, context);
  oauthTokenRoutes(routes, context);
  keyRoutes(routes, context);
  userRoutes(routes, context);
  auditEventRoutes(routes, context);
  appRoutes(routes, context);
  appTransferRoutes(routes, context);
  pipelineTransferRoutes(routes, context);
  collaboratorRoutes(routes, context);
  featureRoutes(routes, context);
  configVarRoutes(routes, context);
  isolationRoutes(routes, context);
  releaseRoutes(routes, context);
  buildRoutes(routes, context);
  sourceRoutes(routes, context);
  slugRoutes(routes, context);
  buildpackRoutes(routes, context);
  pipelineRoutes(routes, context);
  promotionRoutes(routes, context);
  formationRoutes(routes, context);
  healthCheckRoutes(routes, context);
  dynoRoutes(routes, context);
  execManagerRoutes(routes, context);
  recordingRoutes(routes, context);
  routingRoutes(routes, context);
  runtimeRoutes(routes, context);
  scheduleRoutes(routes, context);
  dynoSizeRoutes(routes);
  usageRoutes(routes, context);
  routerMetricsRoutes(routes, context);
  domainRoutes(routes, context);
  sniEndpointRoutes(routes, context);
  acmRoutes(routes, context);
  egressRuleRoutes(routes, context);
  logSessionRoutes(routes, context);
  logDrainRoutes(routes, context);
  telemetryDrainRoutes(routes, context);
  webhookRoutes(routes, context);
  stackRoutes(routes);
  platformRoutes(routes, context, () => routesOf(server));
  missingRoutes(routes);
  await gitRoutes(server, context);
  await uploadRoutes(server, context);
}

/**
 * The plain listener answers to the names of this machine only. A page that somebody's browser has open may point its own
 * name at 127.0.0.1 (DNS rebinding) and would then be talking to us from the same origin; its Host gives it away.
 */
function refuseRebinding({ socket, headers }: IncomingMessage, domain: string): void {
  if (socket instanceof TLSSocket) return; // such a page has no certificate for its name from our CA
  const name = (headers.host ?? "").toLowerCase().replace(/:\d+$/, "");
  const isOurs = ["127.0.0.1", "localhost", "[::1]", domain].includes(name) || name.endsWith(`.${domain}`);
  if (isOurs) return;
  throw new PlatformError(
    "forbidden",
    `This port answers to 127.0.0.1 and localhost, not to ${name === "" ? "requests without a Host" : name}. From other machines use the TLS port.`,
  );
}

/** What a connection becomes that changes its protocol. Throws `PlatformError` before it has; then the answer is no. */
type Upgrade = (request: IncomingMessage, socket: Duplex, context: ApiContext) => Promise<() => void>;

async function upgraded(
  request: IncomingMessage,
  socket: Duplex,
  protocol: string,
  upgrade: Upgrade,
  context: ApiContext,
): Promise<void> {
  const drop = () => socket.destroy();
  socket.on("error", drop);
  try {
    refuseRebinding(request, context.config.domain);
    const begin = await upgrade(request, socket, context);
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`);
    begin();
  } catch (error) {
    const { status, id, message } =
      error instanceof PlatformError
        ? error
        : new PlatformError("internal_server_error", "The dyno could not be joined.");
    const body = JSON.stringify({ id, message });
    socket.end(
      `HTTP/1.1 ${status} Refused\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
  }
}

/** Our own command line joins a dyno: the secret is the permission (see `run/attach-frames.ts`). */
async function attach(request: IncomingMessage, socket: Duplex, context: ApiContext): Promise<() => void> {
  const [, secret] = /^\/stator\/attach\/([^/?#]+)$/.exec(request.url ?? "") ?? [];
  const joinWith = secret === undefined ? undefined : joinOf(secret, context);
  if (joinWith === undefined)
    throw new PlatformError("not_found", "This attach URL was used already, or is too old.", { resource: "dyno" });
  return () => void joinWith(frameClient(socket, context.clock));
}

/** SSH proves with a registered key who may into which dyno; the token, that no stranger tries. */
async function joinSsh(request: IncomingMessage, socket: Duplex, { ssh, store }: ApiContext): Promise<() => void> {
  await authenticate(request, store);
  if (request.url !== "/stator/ssh") throw new PlatformError("not_found", "SSH is at /stator/ssh.");
  return () =>
    void ssh.join(socket as Socket).then(
      (isTaken) => isTaken || socket.destroy(),
      () => socket.destroy(),
    );
}

/** What the secret joins its client with; the secret is used up. */
function joinOf(secret: string, { runs, visits }: ApiContext): ((client: AttachedClient) => Promise<void>) | undefined {
  const dynoId = runs.redeem(secret);
  if (dynoId !== undefined) return (client) => runs.join(dynoId, client);
  const visit = visits.redeem(secret);
  return visit && ((client) => visits.join(visit, client));
}

async function rendezvous(secret: string, socket: TLSSocket, context: ApiContext): Promise<void> {
  const joinWith = joinOf(secret, context);
  if (joinWith === undefined) {
    socket.destroy();
    return;
  }
  socket.setNoDelay(true);
  socket.setKeepAlive(true, 60_000);
  await joinWith(await rendezvousClient(socket, context.clock));
}

function ownVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { readonly version: string }).version; // our own file
}
