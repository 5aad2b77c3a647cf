import type { Kysely } from "kysely";
import type { Instant } from "../lib/clock.ts";
import type { DynoKind, DynoState } from "../model/dyno.ts";
import type { Isolation } from "../model/isolation.ts";
import type { Build, ReleaseStatus } from "../model/release.ts";
import type { Balance, DynoProtocol } from "../model/routing.ts";
import type { RestartPolicyName, RolloutName } from "../model/runtime.ts";
import type { Concurrency, RunOutcome, ScheduleSource } from "../model/schedule.ts";

/**
 * The tables as the queries see them. Only what SQLite and PostgreSQL share: text, integers (flags are 0 or 1, times are
 * milliseconds), JSON as text. `sealed` columns hold text of `secrets.ts`.
 */
export interface Tables {
  readonly meta: { name: string; value: string };
  readonly users: { id: string; email: string; name: string | null; created_at: Instant; updated_at: Instant };
  readonly tokens: TokenRow;
  /** Rows are never deleted, so that a range of user ids is never given twice. */
  readonly uid_indexes: { uid_index: number; app_id: string; created_at: Instant };
  readonly apps: AppRow;
  readonly app_config: { app_id: string; sealed: string };
  readonly domains: DomainRow;
  readonly slugs: SlugRow;
  readonly releases: ReleaseRow;
  readonly builds: BuildRow;
  readonly formation: FormationRow;
  readonly dynos: DynoRow;
  readonly app_features: FeatureRow;
  readonly schedules: ScheduleRow;
  readonly schedule_runs: ScheduleRunRow;
  readonly egress_rules: EgressRuleRow;
  readonly app_routing: AppRoutingRow;
  readonly basic_auth_users: BasicAuthUserRow;
  readonly health_checks: { app_id: string; type: string; checks: string };
  readonly crashes: { app_id: string; name: string; count: number; last_at: Instant };
}

export type Database = Kysely<Tables>;

export interface TokenRow {
  id: string;
  user_id: string;
  description: string;
  scopes: string;
  /** SHA-256 of the text, hex. */
  hash: string;
  redacted: string;
  expires_at: Instant | null;
  created_at: Instant;
  updated_at: Instant;
}

export interface AppRow {
  id: string;
  name: string;
  owner_id: string;
  uid_index: number;
  maintenance: number;
  stack: string;
  restart_policy: RestartPolicyName;
  isolation: Isolation;
  current_release_id: string | null;
  /** Whether it ever had a formation: only the first one gets a web dyno by itself (spec 5.1). */
  had_formation: number;
  created_at: Instant;
  updated_at: Instant;
  released_at: Instant | null;
  rollout: RolloutName;
  /** Seconds. */
  boot_timeout: number;
  /** Seconds. */
  preboot_delay: number;
  /** Seconds. */
  stop_grace: number;
  daily_cycling: number;
  /** UTC. */
  cycling_hour: number | null;
}

export interface FeatureRow {
  app_id: string;
  name: string;
  enabled: number;
  created_at: Instant;
  updated_at: Instant;
}

export interface DomainRow {
  id: string;
  app_id: string;
  hostname: string;
  kind: "heroku" | "custom";
  created_at: Instant;
  updated_at: Instant;
}

export interface EgressRuleRow {
  id: string;
  app_id: string;
  action: "allow" | "deny";
  cidr: string;
  port: number | null;
  created_at: Instant;
}

export interface AppRoutingRow {
  app_id: string;
  balance: Balance;
  dyno_protocol: DynoProtocol;
  https_redirect: number;
  /** Seconds. */
  first_byte_timeout: number;
  /** Seconds. */
  rolling_timeout: number;
}

export interface BasicAuthUserRow {
  app_id: string;
  name: string;
  /** Salt and digest. */
  sealed: string;
  created_at: Instant;
}

export interface SlugRow {
  id: string;
  app_id: string;
  digest: string;
  size_bytes: number;
  process_types: string;
  stack: string;
  commit_hash: string | null;
  buildpack_description: string | null;
  /** An `AppManifest`; null: made before there were any. */
  manifest: string | null;
  created_at: Instant;
}

export interface ReleaseRow {
  id: string;
  app_id: string;
  version: number;
  description: string;
  status: ReleaseStatus;
  failure: string | null;
  slug_id: string | null;
  isolation: Isolation;
  user_id: string;
  /** Its config vars. */
  sealed: string;
  created_at: Instant;
  updated_at: Instant;
}

export interface BuildRow {
  id: string;
  app_id: string;
  /** Order of creation. */
  seq: number;
  user_id: string;
  status: Build["status"];
  commit_hash: string | null;
  buildpack_description: string | null;
  slug_id: string | null;
  release_id: string | null;
  created_at: Instant;
  updated_at: Instant;
}

export interface FormationRow {
  id: string;
  app_id: string;
  type: string;
  quantity: number;
  size: string;
  scaling: string | null;
  created_at: Instant;
  updated_at: Instant;
}

export interface DynoRow {
  id: string;
  app_id: string;
  /** Order of creation. */
  seq: number;
  kind: DynoKind;
  name: string;
  type: string;
  release_id: string;
  size: string;
  command: string;
  state: DynoState;
  state_since: Instant;
  created_at: Instant;
  launched_at: Instant | null;
  stopping: string | null;
  exit: string | null;
  /** Without its environment, which is `sealed`. */
  one_off: string | null;
  sealed: string | null;
  port: number | null;
  ready: number;
}

export interface ScheduleRow {
  id: string;
  app_id: string;
  source: ScheduleSource;
  name: string;
  command: string;
  cron: string;
  time_zone: string;
  size: string | null;
  concurrency: Concurrency;
  enabled: number;
  decided_until: Instant;
  created_at: Instant;
  updated_at: Instant;
}

export interface ScheduleRunRow {
  id: string;
  schedule_id: string;
  /** Order of creation. */
  seq: number;
  due_at: Instant | null;
  decided_at: Instant;
  outcome: RunOutcome["kind"];
  /** How many: 1 unless missed. */
  count: number;
  reason: string | null;
  dyno_id: string | null;
  dyno_name: string | null;
  ended_at: Instant | null;
  exit_status: number | null;
}
