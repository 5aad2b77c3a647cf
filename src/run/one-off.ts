import type { Engine } from "../engine/engine.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Random } from "../lib/random.ts";
import type { DynoLogs } from "../logs/dyno-logs.ts";
import type { LogSink } from "../logs/line.ts";
import type { App } from "../model/app.ts";
import { type DynoRecord, freeName, launchLine, type OneOff, unstarted } from "../model/dyno.ts";
import { PlatformError } from "../model/errors.ts";
import { resolveCommand } from "../model/procfile.ts";
import type { Release, Slug } from "../model/release.ts";
import { DEFAULT_SIZE, sizeOffered, sizes } from "../model/size.ts";
import type { Store } from "../store/store.ts";
import type { Supervision } from "../supervisor/supervision.ts";
import { type AttachedClient, bridge } from "./bridge.ts";
import { environment, windowOf } from "./call-environment.ts";
import type { Recordings } from "./recordings.ts";
import { Secrets } from "./secrets.ts";

export interface RunOptions {
  readonly store: Store;
  readonly supervision: Supervision;
  readonly engine: Pick<Engine, "input" | "resize">;
  readonly output: DynoLogs["output"];
  readonly sink: LogSink;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly recordings: Pick<Recordings, "begin">;
}

export interface OneOffRequest {
  readonly app: App;
  readonly userEmail: string;
  readonly command: string;
  readonly attach: boolean;
  /** Attached, but with plain pipes. */
  readonly noTerminal: boolean;
  readonly env: Readonly<Record<string, string | number>>;
  /** null: that of `type`, or the default. */
  readonly size: string | null;
  /** A process type, whose size the dyno gets. It is a `run` dyno all the same. */
  readonly type: string | null;
  /** Seconds. */
  readonly timeToLive: number | null;
}

/** One-off dynos: making them, and joining their terminals with their clients (spec 3.9). */
export interface Runs extends AsyncDisposable {
  /**
   * Writes down that the dyno should run. Attached ones come with a secret that joins a client once, and start when it is used.
   * Waits while a deploy decides what the current release is. Throws `invalid_params` for an app without a release.
   */
  create(
    request: OneOffRequest,
    signal: AbortSignal,
  ): Promise<{ readonly dyno: DynoRecord; readonly secret: string | null }>;
  /** The dyno that the secret stands for; the secret is used up. undefined: unknown, used or too old. */
  redeem(secret: string): string | undefined;
  /** Joins the client with the dyno until either ends. Never rejects. */
  join(dynoId: string, client: AttachedClient): Promise<void>;
}

const ONE_OFFS_MAX = 50;
const DAY_SECONDS = 86_400;
const COMMAND_BYTES_MAX = 100_000;
/** A client has waited for less than its 60 s then (platform-api 1.4). */
const HOLD_MS = 30_000;

/** `Runs` over a store. At its start, dynos whose clients were lost with the daemon before are noted as disconnected. */
export async function startRuns(options: RunOptions): Promise<Runs> {
  const { store, supervision, sink, clock } = options;
  const secrets = new Secrets<string>(clock);
  const closing = new AbortController();
  const joined = new Set<Promise<void>>();
  await noteLostClients(options);
  return {
    async create(request, signal) {
      const release = await releaseFor(request.app, options, signal);
      const ahead = request.attach ? undefined : await supervision.prepare(request.app.id, release.id);
      const dyno = await store.transaction(async (inside) => {
        const newId = () => ahead?.newId() ?? options.random.uuid();
        const record = await recordFor(request, release, newId, inside, options);
        ahead?.begin(record);
        await inside.dynos.create(record);
        return record;
      });
      const said = { source: "app", process: "api", text: `${launchLine(dyno)} by user ${request.userEmail}` } as const;
      sink.append(dyno.appId, { at: clock.now(), ...said });
      if (dyno.launchedAt !== null)
        sink.append(dyno.appId, { at: clock.now(), source: "heroku", process: dyno.name, text: launchLine(dyno) });
      supervision.nudge(dyno.appId);
      return { dyno, secret: request.attach ? secrets.issue(dyno.id) : null };
    },
    redeem: (secret) => secrets.redeem(secret),
    async join(dynoId, client) {
      const work = bridge({ ...options, dynoId, client, until: closing.signal });
      joined.add(work);
      await work.finally(() => joined.delete(work));
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await Promise.all(joined);
    },
  };
}

async function noteLostClients({ store, supervision }: RunOptions): Promise<void> {
  for (const app of await store.apps.list()) {
    for (const dyno of await store.dynos.list(app.id)) {
      if (dyno.oneOff?.attach !== true || dyno.oneOff.awaiting || dyno.exit !== null) continue;
      await supervision.disconnect(dyno.id);
    }
  }
}

/**
 * The release whose code and config the dyno gets: the current one, or a pending one with the same code (a changed config var is
 * meant to be seen by the next `run`). While other code is on its way, the call is held until that is decided.
 */
async function releaseFor(
  app: App,
  options: RunOptions,
  signal: AbortSignal,
): Promise<Release & { readonly slugId: string }> {
  const { store, supervision, clock } = options;
  const newest = await store.releases.newest(app.id);
  if (newest?.status === "pending" && newest.slugId !== (await currentRelease(app.id, store))?.slugId) {
    const enough = new AbortController();
    const limit = clock.sleep(HOLD_MS, enough.signal).catch(() => {}); // decided first
    const either = AbortSignal.any([signal, enough.signal]);
    await Promise.race([limit, supervision.settled(newest.id, either).catch(() => limit)]);
    enough.abort();
  }
  const current = await currentRelease(app.id, store);
  const pending = await store.releases.newest(app.id);
  const release = pending?.status === "pending" && pending.slugId === current?.slugId ? pending : current;
  if (release === undefined || release.slugId === null) {
    throw new PlatformError("invalid_params", `${app.name} has no code to run yet: deploy it with git push first.`);
  }
  return { ...release, slugId: release.slugId };
}

async function currentRelease(appId: string, store: Store): Promise<Release | undefined> {
  const app = await store.apps.byId(appId);
  if (app === undefined) throw new PlatformError("not_found", "Couldn't find that app.", { resource: "app" });
  return app.currentReleaseId === null ? undefined : store.releases.byId(app.currentReleaseId);
}

async function recordFor(
  request: OneOffRequest,
  release: Release & { readonly slugId: string },
  newId: () => string,
  store: Store,
  { clock, random }: RunOptions,
): Promise<DynoRecord> {
  const slug = await store.slugs.byId(release.slugId);
  if (slug === undefined) throw new Error(`release ${release.id} has no slug`);
  const dynos = await store.dynos.list(request.app.id);
  refuseTooMany(dynos);
  const now = clock.now();
  return {
    appId: request.app.id,
    kind: "run",
    name: nameAmong(dynos, random),
    type: "run",
    releaseId: release.id,
    size: await sizeFor(request, store),
    command: commandFor(request.command, slug),
    ...unstarted(now),
    launchedAt: request.attach ? null : now, // the supervisor's next look starts it, and need not note so first
    oneOff: oneOffFor(request),
    port: null,
    id: newId(), // after all that may be refused
  };
}

function oneOffFor(request: OneOffRequest): OneOff {
  const { attach, noTerminal, userEmail } = request;
  const terminal = attach && !noTerminal ? windowOf(request.env) : null;
  const timeToLive = timeToLiveFor(request.timeToLive);
  return {
    attach,
    awaiting: attach,
    terminal,
    env: environment(request.env, terminal !== null),
    timeToLive,
    userEmail,
  };
}

function refuseTooMany(dynos: readonly DynoRecord[]): void {
  const running = dynos.filter((dyno) => dyno.kind === "run" && dyno.exit === null).length;
  if (running < ONE_OFFS_MAX) return;
  throw new PlatformError(
    "invalid_params",
    `${running} one-off dynos are running: at most ${ONE_OFFS_MAX} for an app. End some with ps:stop.`,
  );
}

function nameAmong(dynos: readonly DynoRecord[], random: Random): string {
  const name = freeName("run", dynos, random);
  if (name !== undefined) return name;
  throw new PlatformError("service_unavailable", "No free name for the dyno was found; please try again.");
}

async function sizeFor({ app, size, type }: OneOffRequest, store: Store): Promise<string> {
  if (size !== null) {
    const found = sizeOffered(size);
    if (found) return found.name;
    const all = sizes()
      .map((each) => each.name)
      .join(", ");
    throw new PlatformError("invalid_params", `Couldn't find that dyno size (${size}). Available sizes: ${all}.`);
  }
  const formation = await store.formation.list(app.id);
  return formation.find((each) => each.type === type)?.size ?? DEFAULT_SIZE;
}

/** The command line as the dyno's shell gets it. Throws `invalid_params`. */
export function commandFor(command: string, slug: Pick<Slug, "processTypes">): string {
  if (command.trim() === "")
    throw new PlatformError("invalid_params", "The command is empty: say what the dyno should run.");
  if (command.includes("\0")) throw new PlatformError("invalid_params", "The command holds a NUL character.");
  const resolved = resolveCommand(command, slug.processTypes);
  if (Buffer.byteLength(resolved) > COMMAND_BYTES_MAX) {
    throw new PlatformError("invalid_params", `The command is longer than ${COMMAND_BYTES_MAX} bytes.`);
  }
  return resolved;
}

function timeToLiveFor(seconds: number | null): number | null {
  if (seconds === null || (Number.isSafeInteger(seconds) && seconds >= 1 && seconds <= DAY_SECONDS)) return seconds;
  throw new PlatformError("invalid_params", `time_to_live must be 1 to ${DAY_SECONDS} seconds.`);
}
