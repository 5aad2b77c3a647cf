import type { Certificates } from "../certificates/certificates.ts";
import type { Config } from "../config.ts";
import type { Engine } from "../engine/engine.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Random } from "../lib/random.ts";
import type { UsageReader } from "../metrics/usage-reader.ts";
import type { Outbound } from "../outbound/outbound.ts";
import type { RequestReader } from "../router/request-metrics.ts";
import type { Runs } from "../run/one-off.ts";
import type { Recordings } from "../run/recordings.ts";
import type { Visits } from "../run/visits.ts";
import type { Schedules } from "../schedule/schedules.ts";
import type { Ssh } from "../ssh/ssh.ts";
import type { Store } from "../store/store.ts";
import type { Supervision } from "../supervisor/supervision.ts";
import type { Audit } from "./audit.ts";
import type { Background } from "./background.ts";
import type { BuildRoutes } from "./builds-interface.ts";
import type { AppLogs } from "./logs-interface.ts";
import type { RateLimit } from "./rate-limit.ts";
import type { Signer } from "./signer.ts";

/** What every resource may use. */
export interface ApiContext {
  readonly config: Config;
  readonly version: string;
  readonly store: Store;
  readonly supervision: Supervision;
  readonly logs: AppLogs;
  readonly engine: Pick<Engine, "expectStart" | "removeApp" | "setEgress" | "isolationRefusal" | "startMarks">;
  readonly runs: Runs;
  readonly recordings: Pick<Recordings, "list" | "get" | "read" | "remove" | "removeApp">;
  readonly visits: Pick<Visits, "issue" | "redeem" | "join">;
  readonly schedules: Schedules;
  readonly builds: BuildRoutes;
  readonly certificates: Certificates;
  readonly usage: UsageReader;
  /** How drains and webhooks reach what they name. */
  readonly outbound: Pick<Outbound, "mayReach">;
  readonly requests: RequestReader;
  readonly ssh: Pick<Ssh, "refusal" | "register" | "join">;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signer: Signer;
  readonly rateLimit: RateLimit;
  readonly audit: Audit;
  /** Aborted when the API stops: streams end then. */
  readonly until: AbortSignal;
  readonly background: Background;
  readonly tlsPort: () => number;
}
