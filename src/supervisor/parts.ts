import type { Engine } from "../engine/engine.ts";
import type { Clock } from "../lib/clock.ts";
import type { Limit } from "../lib/limit.ts";
import type { Logger } from "../lib/logger.ts";
import type { Random } from "../lib/random.ts";
import type { DynoLogs } from "../logs/dyno-logs.ts";
import type { LogSink } from "../logs/line.ts";
import type {
  AppStore,
  CheckStore,
  DomainStore,
  DynoStore,
  FormationStore,
  ReleaseStore,
  SlugStore,
  UserStore,
} from "../store/store.ts";
import type { Observer } from "./observer.ts";
import type { plan } from "./plan.ts";
import type { Line } from "./situation.ts";
import type { CommandOutput, Routing, SlugImages } from "./supervision.ts";

/** What the supervisor needs of the store; `Store` has it. */
export interface SupervisorStore {
  readonly users: Pick<UserStore, "byId">;
  readonly apps: Pick<AppStore, "byId" | "list" | "update" | "wake">;
  readonly domains: Pick<DomainStore, "list">;
  readonly slugs: Pick<SlugStore, "byId">;
  readonly releases: Pick<ReleaseStore, "byId" | "byVersion" | "newest" | "config" | "setStatus" | "setPhase">;
  readonly formation: Pick<FormationStore, "list" | "sync" | "ensure">;
  readonly dynos: DynoStore;
  readonly checks: Pick<CheckStore, "list">;
  transaction<T>(body: (store: SupervisorStore) => Promise<T>): Promise<T>;
  onChange(listener: (appId: string) => void): Disposable;
}

/** What the supervisor asks of builds: their dynos are started, watched and removed by the build itself. */
export interface BuildDynos {
  /** Whether a build of this daemon works with the dyno; it says so before it starts it. Others are killed. */
  isLive(dynoId: string): boolean;
}

export interface SupervisorOptions {
  readonly store: SupervisorStore;
  readonly engine: Engine;
  readonly logs: DynoLogs;
  readonly sink: LogSink;
  readonly commands: CommandOutput;
  readonly routing: Routing;
  readonly slugs: SlugImages;
  readonly builds: BuildDynos;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** `hello` answers to `hello.<domain>`. */
  readonly domain: string;
  /** No dyno is given one of these as its `$PORT`. */
  readonly routerPorts: readonly number[];
  /** Tests plant faults here. */
  readonly plan?: typeof plan;
}

/** What the parts of the supervisor share. */
export interface Parts extends Required<SupervisorOptions> {
  readonly observer: Observer;
  /** Starts of all apps wait here: more than a few at once only compete for the processors (facts, 1). */
  readonly starts: Limit;
  /** Looks of all apps wait here: whoever waits for the one connection of the store costs every other waiter time. */
  readonly looks: Limit;
  /** Slug images, by slug and range of user ids, that the engine had when it was last asked. */
  readonly images: Set<string>;
}

export function say({ sink, clock }: Parts, appId: string, lines: readonly Line[]): void {
  for (const line of lines) sink.append(appId, { at: clock.now(), ...line });
}
