import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { outputPath } from "./api/output-links.ts";
import { tellEgress } from "./api/resources/egress-rules.ts";
import { startApi } from "./api/server.ts";
import { openSigner, type Signer } from "./api/signer.ts";
import { type Builds, openBuilds } from "./build/builds.ts";
import { ReleaseOutputs } from "./build/release-output.ts";
import { startCertificates } from "./certificates/certificates.ts";
import type { Config } from "./config.ts";
import type { EngineNotice } from "./engine/engine.ts";
import { HostClient } from "./host/client.ts";
import { reachOf } from "./host/reach.ts";
import { aborted } from "./lib/abort.ts";
import { systemClock } from "./lib/clock.ts";
import { jsonLogger } from "./lib/logger.ts";
import { monotonicMs } from "./lib/monotonic.ts";
import { systemRandom } from "./lib/random.ts";
import { startDrains } from "./logs/drains.ts";
import { openLogs } from "./logs/hub.ts";
import type { LogSink } from "./logs/line.ts";
import { startMetrics } from "./metrics/sampler.ts";
import { isDenied } from "./model/egress-rule.ts";
import { type Instance, programOf } from "./model/instance.ts";
import { refusalText } from "./model/refusal.ts";
import { Outbound } from "./outbound/outbound.ts";
import { startRouter } from "./router/router.ts";
import { OpenSessions } from "./run/open-sessions.ts";
import { startScheduler } from "./schedule/scheduler.ts";
import { keepSizes } from "./sizes.ts";
import { Sleeper } from "./sleep/sleeper.ts";
import { openKeyFile } from "./store/secrets.ts";
import { openStore } from "./store/sqlite.ts";
import type { Store } from "./store/store.ts";
import type { Supervision } from "./supervisor/supervision.ts";
import { startSupervisor } from "./supervisor/supervisor.ts";
import type { Addresses } from "./webhooks/payload.ts";
import { startWebhooks } from "./webhooks/webhooks.ts";

/** How many lines of an app's log a failed rollout shows. */
const HISTORY_LINES = 200;

/** The whole daemon, in the order its parts start; they stop in the opposite order. */
export async function runDaemon(config: Config, until: AbortSignal): Promise<void> {
  const { instance } = config;
  const { data, logs: rawFolder } = instance.paths;
  const clock = systemClock;
  const random = systemRandom;
  const logger = jsonLogger("daemon");
  await mkdir(data, { recursive: true, mode: 0o700 });

  await using parts = new AsyncDisposableStack();
  parts.use(keepSizes(instance, logger, "daemon"));
  const key = await openKeyFile(join(data, "secret.key"));
  const store = parts.use(await openStore({ path: join(data, "stator.db"), key, clock }));
  const engine = parts.use(new HostClient({ instance, clock, logger }));
  const appIds = async () => (await store.apps.list()).map(({ id }) => id);
  const logs = parts.use(await openLogs({ folder: join(data, "logs"), rawFolder, engine, clock, logger, appIds }));
  const commands = parts.use(await ReleaseOutputs.open({ folder: join(data, "releases"), logs, clock, logger }));
  const routing = parts.use(await startRouter({ store, target: engine, logs, instance, clock, logger }));

  // The supervisor needs builds for the images of slugs, builds need the supervisor for rollouts: each is promised to the other.
  const supervised = Promise.withResolvers<Supervision>();
  const builds: Builds = parts.use(
    await openBuilds({
      store,
      engine,
      supervision: {
        settled: async (...args) => (await supervised.promise).settled(...args),
        commandEnded: async (...args) => (await supervised.promise).commandEnded(...args),
        nudge: (appId) => void supervised.promise.then((supervision) => supervision.nudge(appId)),
      },
      logs,
      commands,
      dynoLogs: logs,
      config,
      history: (appId) => logs.history(appId, { lines: HISTORY_LINES }),
      clock,
      random,
      logger,
    }),
  );
  const supervision = parts.use(
    await startSupervisor({
      store,
      engine,
      logs,
      sink: logs,
      commands,
      routing,
      slugs: builds,
      builds: { isLive: (dynoId) => builds.activeBuildDynos().has(dynoId) },
      clock,
      random,
      logger,
      domain: config.domain,
      routerPorts: [config.httpPort, config.httpsPort],
    }),
  );
  supervised.resolve(supervision);
  const openSessions = new OpenSessions();
  parts.use(
    await Sleeper.open({
      store,
      supervision,
      requests: routing,
      target: engine,
      sessions: openSessions,
      sink: logs,
      instance,
      clock,
      monotonicMs,
      logger,
    }),
  );
  const certificates = parts.use(startCertificates({ store, target: engine, acme: config.acme, logs, clock, logger }));
  const metrics = parts.use(await startMetrics({ store, engine, logs, clock, logger }));
  const schedules = parts.use(startScheduler({ store, supervision, sink: logs, clock, random, logger }));
  parts.use(
    engine.notices(
      (notice) =>
        void tellRefused(notice, instance, store, logs).catch((error: unknown) =>
          logger.warn("notice.failed", { error }),
        ),
    ),
  );

  // What the store says holds: the host process may have missed a rule, and remembers those it was told.
  const tellAll = () =>
    void tellEgressRules(store, engine).catch((error: unknown) => logger.warn("egress.untold", { error }));
  parts.use(engine.onReturn(tellAll));
  tellAll();
  const outbound = new Outbound({ clock, mayReach: reachOf(instance) });
  const program = programOf(instance);
  parts.use(await startDrains({ store, logs, outbound, clock, random, logger, program }));
  const signer = await openSigner(data);
  parts.use(startWebhooks({ store, outbound, addresses: addressesOf(config, signer), clock, random, logger }));
  parts.use(
    await startApi({
      config,
      store,
      supervision,
      schedules,
      logs,
      builds,
      certificates,
      engine,
      openSessions,
      usage: metrics,
      outbound,
      requests: routing,
      door: engine.door,
      signer,
      checkResponses: config.checksAnswers === true,
      output: (dynoId, signal) => logs.output(dynoId, signal),
      clock,
      random,
      logger,
    }),
  );
  logger.info("daemon.ready", { apiPort: config.apiPort, tlsPort: config.tlsPort });
  await aborted(until);
  logger.info("daemon.stopping");
}

/** As the API shows them to whoever asks on this machine. */
function addressesOf({ domain, httpPort, apiPort }: Config, signer: Signer): Addresses {
  const port = httpPort === 80 ? "" : `:${httpPort}`;
  const api = `http://localhost:${apiPort}`;
  return {
    hostname: (name) => `${name}.${domain}`,
    outputUrl: (kind, id) => `${api}${outputPath(kind, id, { signer, now: systemClock.now(), tokenId: null })}`,
    webUrl: (name) => `http://${name}.${domain}${port}/`,
    gitUrl: (name) => `${api}/${name}.git`,
  };
}

async function tellEgressRules(store: Store, engine: HostClient): Promise<void> {
  for (const appId of await store.egressRules.apps()) await tellEgress(appId, store, engine);
}

/** The app's owner reads in the app's own log what was refused and how it would be allowed. */
async function tellRefused(notice: EngineNotice, instance: Instance, store: Store, logs: LogSink): Promise<void> {
  const dyno = await store.dynos.byId(notice.dynoId);
  const app = dyno && (await store.apps.byId(dyno.appId));
  if (!dyno || !app) return;
  const byOwner = isDenied(await store.egressRules.list(app.id), notice.destination);
  const text = refusalText({ ...notice, byOwner, appName: app.name, program: programOf(instance) });
  logs.append(app.id, { at: systemClock.now(), source: "heroku", process: dyno.name, text });
}
