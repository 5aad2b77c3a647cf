import type { Generated, Kysely } from "kysely";
import type { Instant } from "../lib/clock.ts";
import type { AppTransferState } from "../model/app-transfer.ts";
import type { DynoKind, DynoState } from "../model/dyno.ts";
import type { Isolation } from "../model/isolation.ts";
import type { Stage } from "../model/pipeline.ts";
import type { Build, ReleasePhase, ReleaseStatus } from "../model/release.ts";
import type { Balance, DynoProtocol } from "../model/routing.ts";
import type { RestartPolicyName, RolloutName } from "../model/runtime.ts";
import type { Concurrency, RunOutcome, ScheduleSource } from "../model/schedule.ts";
import type { WebhookEntity, WebhookLevel } from "../model/webhook.ts";
import type { WebhookDelivery } from "./store.ts";

/**
 * The tables as the queries see them. Only what SQLite and PostgreSQL share: text, integers (flags are 0 or 1, times are
 * milliseconds), JSON as text. `sealed` columns hold text of `secrets.ts`.
 */
export interface Tables {
  readonly meta: { name: string; value: string };
  readonly users: UserRow;
  readonly tokens: TokenRow;
  readonly ssh_keys: SshKeyRow;
  readonly oauth_clients: OauthClientRow;
  readonly collaborators: CollaboratorRow;
  readonly audit_events: AuditRow;
  /** Rows are never deleted, so that a range of user ids is never given twice. */
  readonly uid_indexes: { uid_index: number; app_id: string; created_at: Instant };
  readonly apps: AppRow;
  readonly app_config: { app_id: string; sealed: string };
  readonly domains: DomainRow;
  readonly slugs: SlugRow;
  readonly slug_uploads: SlugUploadRow;
  readonly pipelines: PipelineRow;
  readonly pipeline_couplings: CouplingRow;
  readonly pipeline_promotions: PromotionRow;
  readonly promotion_targets: PromotionTargetRow;
  readonly buildpack_installations: { app_id: string; ordinal: number; url: string; name: string };
  readonly releases: ReleaseRow;
  readonly builds: BuildRow;
  readonly formation: FormationRow;
  readonly dynos: DynoRow;
  readonly app_features: FeatureRow;
  readonly account_features: AccountFeatureRow;
  readonly app_transfers: AppTransferRow;
  readonly schedules: ScheduleRow;
  readonly schedule_runs: ScheduleRunRow;
  readonly egress_rules: EgressRuleRow;
  readonly recorded_apps: { app_id: string; since: Instant };
  readonly app_routing: AppRoutingRow;
  readonly basic_auth_users: BasicAuthUserRow;
  readonly health_checks: { app_id: string; type: string; checks: string };
  readonly sni_endpoints: SniEndpointRow;
  readonly acm_apps: { app_id: string; created_at: Instant };
  readonly acm_domains: AcmDomainRow;
  readonly acme_accounts: { directory: string; sealed: string; url: string | null; paused_until: Instant | null };
  readonly log_drains: LogDrainRow;
  readonly telemetry_drains: TelemetryDrainRow;
  readonly webhooks: WebhookRow;
  readonly webhook_outbox: OutboxRow;
  readonly webhook_events: WebhookEventRow;
  readonly webhook_deliveries: WebhookDeliveryRow;
  readonly crashes: { app_id: string; name: string; count: number; last_at: Instant };
}

export type Database = Kysely<Tables>;

export interface UserRow {
  id: string;
  email: string;
  name: string | null;
  /** A team will be an account of another kind. */
  kind: "person";
  operator: number;
  allow_tracking: number;
  beta: number;
  suspended_at: Instant | null;
  /** Gone, but named by what they did. */
  removed_at: Instant | null;
  created_at: Instant;
  updated_at: Instant;
}

export interface CollaboratorRow {
  id: string;
  app_id: string;
  user_id: string;
  /** JSON, a list. */
  permissions: string;
  created_at: Instant;
  updated_at: Instant;
}

export interface AuditRow {
  seq: number;
  id: string;
  at: Instant;
  user_id: string | null;
  email: string | null;
  token_id: string | null;
  app_id: string | null;
  app_name: string | null;
  type: string;
  action: string;
  outcome: "done" | "refused";
  method: string;
  path: string;
  address: string | null;
  agent: string | null;
  request_id: string;
  /** JSON. */
  data: string;
}

export interface SshKeyRow {
  id: string;
  user_id: string;
  public_key: string;
  fingerprint: string;
  comment: string;
  created_at: Instant;
  updated_at: Instant;
}

export interface OauthClientRow {
  id: string;
  user_id: string;
  name: string;
  redirect_uri: string;
  /** Its secret. */
  sealed: string;
  created_at: Instant;
  updated_at: Instant;
}

export interface TokenRow {
  id: string;
  user_id: string;
  description: string;
  scopes: string;
  /** SHA-256 of the text, hex; of nobody's text while only a grant was given. */
  hash: string;
  /** Empty while only a grant was given. */
  redacted: string;
  expires_at: Instant | null;
  client_id: string | null;
  /** 1: handed out at a login. */
  session: number;
  /** When the text was made; null: with the row. */
  issued_at: Instant | null;
  refresh_hash: string | null;
  refresh_redacted: string | null;
  grant_hash: string | null;
  grant_expires_at: Instant | null;
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
  /** Seconds. */
  release_timeout: number;
  daily_cycling: number;
  /** UTC. */
  cycling_hour: number | null;
  /** After the last push. */
  repo_bytes: number | null;
  /** Minutes. */
  sleep_after: number | null;
  asleep_since: Instant | null;
}

export interface FeatureRow {
  app_id: string;
  name: string;
  enabled: number;
  created_at: Instant;
  updated_at: Instant;
}

export interface AccountFeatureRow {
  user_id: string;
  name: string;
  enabled: number;
  created_at: Instant;
  updated_at: Instant;
}

export interface AppTransferRow {
  id: string;
  /** One for each app. */
  app_id: string;
  owner_id: string;
  recipient_id: string;
  state: AppTransferState;
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
  sni_endpoint_id: string | null;
}

export interface SniEndpointRow {
  id: string;
  app_id: string;
  name: string;
  automatic: number;
  /** PEM. */
  chain: string;
  given: string | null;
  /** The private key. */
  sealed: string;
  created_at: Instant;
  updated_at: Instant;
}

export interface AcmDomainRow {
  domain_id: string;
  hostname: string;
  status: string;
  reason: string | null;
  failures: number;
  next_at: Instant;
  order_url: string | null;
  /** The key of the certificate that is being ordered. */
  sealed: string | null;
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

export interface LogDrainRow {
  id: string;
  app_id: string;
  /** Order of creation within the app. */
  seq: number;
  token: string;
  /** Its URL. */
  sealed: string;
  position: number | null;
  created_at: Instant;
  updated_at: Instant;
}

export interface TelemetryDrainRow {
  id: string;
  app_id: string;
  /** Order of creation within the app. */
  seq: number;
  signals: string;
  /** JSON of its exporter. */
  sealed: string;
  position: number | null;
  created_at: Instant;
  updated_at: Instant;
}

export interface WebhookRow {
  id: string;
  /** Of an app that may be gone: it is told of its end too. */
  app_id: string;
  /** Order of creation. */
  seq: number;
  include: string;
  level: WebhookLevel;
  /** JSON of its URL, secret and authorization. */
  sealed: string;
  created_at: Instant;
  updated_at: Instant;
}

/** Written by the triggers of `outbox.ts`. */
export interface OutboxRow {
  seq: Generated<number>;
  app_id: string;
  kind: string;
  action: "create" | "update" | "destroy";
  row: string;
  before: string | null;
  actor_id: string | null;
  /** null until the end of the transaction. */
  at: Instant | null;
}

export interface WebhookEventRow {
  id: string;
  app_id: string;
  seq: number;
  include: WebhookEntity;
  payload: string;
  created_at: Instant;
}

export interface WebhookDeliveryRow {
  id: string;
  app_id: string;
  seq: number;
  event_id: string;
  webhook_id: string;
  level: WebhookLevel;
  status: WebhookDelivery["status"];
  attempts: number;
  next_attempt_at: Instant | null;
  /** A `DeliveryAttempt`. */
  last_attempt: string | null;
  created_at: Instant;
  updated_at: Instant;
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
  commit_description: string | null;
  checksum: string | null;
  created_at: Instant;
}

export interface PipelineRow {
  id: string;
  name: string;
  owner_id: string;
  created_at: Instant;
  updated_at: Instant;
}

export interface CouplingRow {
  id: string;
  pipeline_id: string;
  app_id: string;
  stage: Stage;
  created_at: Instant;
  updated_at: Instant;
}

export interface PromotionRow {
  id: string;
  pipeline_id: string;
  source_app_id: string;
  source_release_id: string;
  created_at: Instant;
}

export interface PromotionTargetRow {
  id: string;
  promotion_id: string;
  app_id: string;
  release_id: string;
}

export type SlugUploadRow = Omit<SlugRow, "digest" | "size_bytes" | "manifest">;

export interface ReleaseRow {
  id: string;
  app_id: string;
  version: number;
  description: string;
  status: ReleaseStatus;
  failure: string | null;
  phase: ReleasePhase | null;
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
  /** A `BuildSource`; null: pushed. */
  source: string | null;
  /** `BuildpackRef`s; null: none chosen. */
  buildpacks: string | null;
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
