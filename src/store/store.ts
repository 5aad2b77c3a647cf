import type { Instant } from "../lib/clock.ts";
import type { App, Domain, User } from "../model/app.ts";
import type { AppTransfer } from "../model/app-transfer.ts";
import type { AuditEvent, NewAuditEvent } from "../model/audit.ts";
import type { BasicAuthUser } from "../model/basic-auth.ts";
import type { BuildpackRef } from "../model/buildpack.ts";
import type { Access, Collaborator } from "../model/collaborator.ts";
import type { DynoRecord } from "../model/dyno.ts";
import type { EgressRule } from "../model/egress-rule.ts";
import type { AccountFeatureName, FeatureName, FeatureSwitch } from "../model/feature.ts";
import type { Formation } from "../model/formation.ts";
import type { HealthCheck } from "../model/health.ts";
import type { Isolation } from "../model/isolation.ts";
import type { Checks } from "../model/manifest-health.ts";
import type { Permission } from "../model/permission.ts";
import type { Coupling, Pipeline, Promotion, PromotionTarget, Stage } from "../model/pipeline.ts";
import type {
  Build,
  BuildSource,
  ConfigVars,
  Release,
  ReleasePhase,
  ReleaseStatus,
  Slug,
  SlugUpload,
} from "../model/release.ts";
import type { RoutingSettings } from "../model/routing.ts";
import type { Runtime } from "../model/runtime.ts";
import type { Schedule, ScheduleRun, ScheduleSettings } from "../model/schedule.ts";
import type { Signal } from "../model/telemetry.ts";
import type { WebhookEntity, WebhookLevel } from "../model/webhook.ts";
import type { CertificateStore } from "./certificates.ts";

/**
 * What features ask of storage. A call that has resolved is on disk. Every write is one transaction; `transaction` joins
 * several. Reads give immutable snapshots. Unknown ids give undefined, or `not_found` where a write needs the row.
 */
export interface Store extends AsyncDisposable {
  readonly users: UserStore;
  readonly tokens: TokenStore;
  readonly sshKeys: SshKeyStore;
  readonly oauthClients: OauthClientStore;
  readonly collaborators: CollaboratorStore;
  readonly audit: AuditStore;
  readonly apps: AppStore;
  readonly appTransfers: AppTransferStore;
  readonly domains: DomainStore;
  readonly egressRules: EgressRuleStore;
  readonly recordedApps: RecordedAppStore;
  readonly routing: RoutingStore;
  readonly config: ConfigStore;
  readonly features: FeatureStore;
  readonly accountFeatures: AccountFeatureStore;
  readonly slugs: SlugStore;
  readonly releases: ReleaseStore;
  readonly builds: BuildStore;
  readonly buildpacks: BuildpackStore;
  readonly pipelines: PipelineStore;
  readonly formation: FormationStore;
  readonly dynos: DynoStore;
  readonly schedules: ScheduleStore;
  readonly checks: CheckStore;
  readonly certificates: CertificateStore;
  readonly logDrains: LogDrainStore;
  readonly telemetryDrains: TelemetryDrainStore;
  readonly webhooks: WebhookStore;
  /** Runs `body` in one transaction: all of it or nothing. Writers wait for each other. */
  transaction<T>(body: (store: Store) => Promise<T>): Promise<T>;
  /**
   * Runs `body`, of which the audit log shall tell: the events, asked for then, are part of the first transaction in it that commits, else
   * of one of their own before this resolves. Nothing is told of a `body` that failed before it changed anything.
   */
  audited<T>(events: () => readonly NewAuditEvent[], body: () => Promise<T>): Promise<T>;
  /** Calls `listener` after a commit that changed something of an app. */
  onChange(listener: (appId: string) => void): Disposable;
}

export interface UserStore {
  byId(id: string): Promise<User | undefined>;
  byEmail(email: string): Promise<User | undefined>;
  /** The first user of the installation. */
  owner(): Promise<User | undefined>;
  /** Makes the user, or gives the one who has that address; who was removed is back. */
  ensure(email: string): Promise<User>;
  /** Everybody who was not removed, by address. */
  list(): Promise<readonly User[]>;
  update(
    id: string,
    change: Partial<Pick<User, "name" | "allowTracking" | "beta" | "isOperator">> & { readonly isSuspended?: boolean },
  ): Promise<User>;
  /**
   * Forgets the user with their tokens, keys and parts in apps; their own apps and pipelines go to `appsTo`. Releases and builds go on naming
   * them. Throws `invalid_params` for the installation's owner, and for somebody who has apps while nobody is named to have them.
   */
  remove(id: string, appsTo: string | null): Promise<void>;
}

/** The audit log: entries are added and, once old, deleted; none is ever changed. */
export interface AuditStore {
  add(events: readonly NewAuditEvent[]): Promise<void>;
  /** By sequence; both ends are part of it. */
  list(query: {
    readonly appId?: string;
    readonly from?: number;
    readonly to?: number;
    readonly order: "asc" | "desc";
    readonly limit: number;
  }): Promise<readonly AuditEvent[]>;
  /** Deletes some of those that are older, and says how many: 0 once there are none. */
  prune(before: Instant): Promise<number>;
}

/** Who has a part in which app. */
export interface CollaboratorStore {
  /** Oldest first; the owner is none of them. */
  list(appId: string): Promise<readonly Collaborator[]>;
  /** Throws `invalid_params` for the owner, and for who is one already. */
  add(collaborator: {
    readonly appId: string;
    readonly userId: string;
    readonly permissions: readonly Permission[];
  }): Promise<Collaborator>;
  setPermissions(id: string, permissions: readonly Permission[]): Promise<Collaborator>;
  remove(id: string): Promise<void>;
}

/**
 * OAuth authorizations, each with its access token, perhaps a refresh token, and before these a grant. Only hashes are stored; a text is
 * given once.
 */
export interface TokenStore {
  create(token: NewToken): Promise<{ readonly token: Token; readonly text: string }>;
  /** An authorization of a client that has no tokens yet: the client gets them for the code, within the time. */
  createGrant(
    token: NewToken & { readonly clientId: string },
    lifetimeMs: number,
  ): Promise<{ readonly token: Token; readonly code: string }>;
  /** The live token with this text; undefined if unknown, expired or revoked. Constant time in the text. */
  find(text: string): Promise<Token | undefined>;
  /** The authorization with this refresh token, or with this grant if it is live. */
  findRefresh(text: string): Promise<Token | undefined>;
  findGrant(code: string): Promise<Token | undefined>;
  list(userId: string): Promise<readonly Token[]>;
  byId(id: string): Promise<Token | undefined>;
  update(id: string, change: Partial<Pick<Token, "description" | "clientId">>): Promise<Token>;
  /**
   * A new text for the access token, the old one is worth nothing from then on, and a grant is used up. The refresh token: a new one where
   * there is one; `new`: a new one in any case; `keep`: as it is. `expiresAt`: by default it lives as long as it did.
   */
  regenerate(
    id: string,
    options?: { readonly refresh?: "new" | "keep"; readonly expiresAt?: Instant | null },
  ): Promise<{ readonly token: Token; readonly text: string; readonly refreshText: string | null }>;
  revoke(id: string): Promise<void>;
}

export interface NewToken {
  readonly userId: string;
  readonly description: string;
  readonly scopes: readonly string[];
  readonly expiresAt: Instant | null;
  /** Handed out at a login: it is also a session. Default false. */
  readonly isSession?: boolean;
}

export interface Token extends Required<NewToken> {
  readonly id: string;
  /** First and last characters, the rest starred; null while only a grant was given. */
  readonly redacted: string | null;
  readonly clientId: string | null;
  readonly refreshRedacted: string | null;
  readonly grantExpiresAt: Instant | null;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

/** Public keys of people. The fingerprint is MD5 in colons, as the API gives it. */
export interface SshKeyStore {
  list(userId: string): Promise<readonly SshKey[]>;
  /** Throws `invalid_params` for what is no key, one that is there, or one too many. */
  add(userId: string, publicKey: string): Promise<SshKey>;
  remove(id: string): Promise<void>;
}

export interface SshKey {
  readonly id: string;
  readonly userId: string;
  readonly publicKey: string;
  readonly fingerprint: string;
  readonly comment: string;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

/** Programs of others that people let act for them. The secret is encrypted at rest. */
export interface OauthClientStore {
  byId(id: string): Promise<OauthClient | undefined>;
  list(userId: string): Promise<readonly OauthClient[]>;
  create(client: Pick<OauthClient, "userId" | "name" | "redirectUri">): Promise<OauthClient>;
  update(id: string, change: Partial<Pick<OauthClient, "name" | "redirectUri">>): Promise<OauthClient>;
  /** A new secret. */
  rotate(id: string): Promise<OauthClient>;
  /** With every authorization that was given to it. */
  remove(id: string): Promise<void>;
}

export interface OauthClient {
  readonly id: string;
  readonly userId: string;
  readonly name: string;
  readonly redirectUri: string;
  readonly secret: string;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

export interface AppStore {
  byId(id: string): Promise<App | undefined>;
  /** By name, or by id. */
  find(nameOrId: string): Promise<App | undefined>;
  list(): Promise<readonly App[]>;
  /** Of those that the user owns or has a part in, what lies between two names or ids, in that order. */
  visibleTo(userId: string, page: AppPage): Promise<readonly AppFacts[]>;
  /** One app with what clients are told beside it; undefined: it is gone. */
  facts(id: string): Promise<AppFacts | undefined>;
  /** By name or id, if the user may see it: the one way in for a caller. */
  findFor(userId: string, nameOrId: string): Promise<Access | undefined>;
  /**
   * Makes the app, its uid index, its default domain `<name>.<domain>`, and releases v1 "Initial release" and v2 "Enable
   * Logplex" (spec 8.2), v2 being current. Throws `invalid_params` when the name is taken or not a name.
   */
  create(app: {
    readonly name: string;
    readonly ownerId: string;
    readonly stack: string;
    readonly domain: string;
  }): Promise<App>;
  /** Throws `invalid_params` for a name that is taken or none, and for a setting out of range. */
  update(
    id: string,
    change: Partial<
      Runtime & {
        readonly name: string;
        readonly maintenance: boolean;
        readonly isolation: Isolation;
        readonly currentReleaseId: string;
        readonly releasedAt: Instant;
      }
    >,
  ): Promise<App>;
  /** Nothing follows from it: nobody is told. An app that is gone is none of its business. */
  setRepoBytes(id: string, bytes: number): Promise<void>;
  /** Those that are awake, and may go to sleep by what they or their sizes say (`model/sleep.ts`), but not in maintenance. */
  sleepers(): Promise<readonly App[]>;
  /** From now on it sleeps, if it is there and no release of it is pending: whether that comes up is to be seen. */
  sleep(id: string): Promise<void>;
  /** Whether it slept. A new release, and a change of its formation, wake it too. */
  wake(id: string): Promise<boolean>;
  /** Forgets the app and all that belongs to it; its uid index stays used for ever. Its dynos become orphans. */
  remove(id: string): Promise<void>;
}

export interface AppPage {
  readonly field: "id" | "name";
  readonly low?: PageBound;
  readonly high?: PageBound;
  readonly order: "asc" | "desc";
  readonly limit: number;
}

export interface PageBound {
  readonly text: string;
  readonly isExclusive: boolean;
}

/** An app with what belongs to it elsewhere, read together. */
export interface AppFacts {
  readonly app: App;
  readonly ownerEmail: string;
  /** Of the current release; null: it has none. */
  readonly slug: Pick<Slug, "sizeBytes" | "buildpackDescription"> | null;
  /** Certificates come by themselves. */
  readonly isAutomatic: boolean;
  /** Of the repository, after the last push; null: there was none. */
  readonly repoBytes: number | null;
}

/** Offers of apps. The newest one of each app is kept, with what became of it. */
export interface AppTransferStore {
  /** Those that the user made or was made. */
  list(userId: string): Promise<readonly AppTransfer[]>;
  byId(id: string): Promise<AppTransfer | undefined>;
  /** Throws `invalid_params` while another one of the app is pending, and for its owner as the recipient. */
  create(transfer: Pick<AppTransfer, "appId" | "recipientId">): Promise<AppTransfer>;
  /**
   * The recipient's answer. Accepted, the app is theirs, and who owned it is a collaborator with `permissions`. Throws `invalid_params`
   * for an offer that is no longer pending.
   */
  answer(id: string, state: "accepted" | "declined", permissions: readonly Permission[]): Promise<AppTransfer>;
  /** It is as if it had never been made. */
  remove(id: string): Promise<void>;
}

export interface DomainStore {
  list(appId: string): Promise<readonly Domain[]>;
  add(domain: {
    readonly appId: string;
    readonly hostname: string;
    readonly kind: "heroku" | "custom";
  }): Promise<Domain>;
  remove(id: string): Promise<void>;
}

export interface StoredEgressRule extends EgressRule {
  readonly id: string;
  readonly appId: string;
  readonly createdAt: Instant;
}

export interface EgressRuleStore {
  /** Oldest first. */
  list(appId: string): Promise<readonly StoredEgressRule[]>;
  /** Ids of the apps that have any. */
  apps(): Promise<readonly string[]>;
  /** Throws `invalid_params` for what is no rule, is there already, or is one too many. */
  add(appId: string, rule: EgressRule): Promise<StoredEgressRule>;
  remove(id: string): Promise<void>;
}

/** Apps whose sessions are recorded. */
export interface RecordedAppStore {
  has(appId: string): Promise<boolean>;
  set(appId: string, isRecorded: boolean): Promise<void>;
}

/** Where an app's log lines go besides (spec 8.4). */
export interface LogDrain {
  readonly id: string;
  readonly appId: string;
  /** As it was given; it may hold a password, so it is encrypted at rest. */
  readonly url: string;
  /** `d.<uuid>` */
  readonly token: string;
  /** The last line of the app's log that was delivered; null: none of its lines is older than the drain. */
  readonly position: number | null;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

export interface LogDrainStore {
  /** Oldest first. */
  list(appId: string): Promise<readonly LogDrain[]>;
  /** Of all apps. */
  all(): Promise<readonly LogDrain[]>;
  /** Throws `invalid_params` when the app has this URL already, or has too many. */
  create(drain: { readonly appId: string; readonly url: string; readonly position: number | null }): Promise<LogDrain>;
  remove(id: string): Promise<void>;
  /** By the drains' ids; those that are gone are left out. Tells no listener. */
  setPositions(positions: ReadonlyMap<string, number>): Promise<void>;
}

/** Where an app's signals go as OpenTelemetry has them; of these there are log lines. */
export interface TelemetryDrain extends TelemetrySettings {
  readonly id: string;
  readonly appId: string;
  /** As of a `LogDrain`. */
  readonly position: number | null;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

/** Endpoint and headers are encrypted at rest. */
export interface TelemetrySettings {
  readonly signals: readonly Signal[];
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface TelemetryDrainStore {
  /** Oldest first. */
  list(appId: string): Promise<readonly TelemetryDrain[]>;
  /** Of all apps. */
  all(): Promise<readonly TelemetryDrain[]>;
  byId(id: string): Promise<TelemetryDrain | undefined>;
  /** Throws `invalid_params` when the app has too many. */
  create(drain: TelemetrySettings & Pick<TelemetryDrain, "appId" | "position">): Promise<TelemetryDrain>;
  update(id: string, change: Partial<TelemetrySettings>): Promise<TelemetryDrain>;
  remove(id: string): Promise<void>;
  /** As of `LogDrainStore`. */
  setPositions(positions: ReadonlyMap<string, number>): Promise<void>;
}

/** Who is told of what happens to an app, and by which URL. */
export interface Webhook extends WebhookSettings {
  readonly id: string;
  readonly appId: string;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

/** URL, secret and authorization are encrypted at rest. */
export interface WebhookSettings {
  readonly include: readonly WebhookEntity[];
  readonly level: WebhookLevel;
  readonly url: string;
  /** Signs each delivery. */
  readonly secret: string;
  /** An `Authorization` header of each delivery. */
  readonly authorization: string | null;
}

/** A change of an app's row as it was noted in the transaction that made it. */
export interface NotedChange {
  /** Order of the changes. */
  readonly seq: number;
  readonly appId: string;
  /** The table. */
  readonly kind: string;
  readonly action: "create" | "update" | "destroy";
  readonly row: ChangedRow;
  /** As it was before an update. */
  readonly before: ChangedRow | null;
  /** Who asked for it; null: the platform itself. */
  readonly actorId: string | null;
  readonly at: Instant;
}

export type ChangedRow = Readonly<Record<string, string | number | null>>;

export interface WebhookEvent {
  readonly id: string;
  readonly appId: string;
  /** Order of creation. */
  readonly seq: number;
  readonly include: WebhookEntity;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly createdAt: Instant;
}

export interface WebhookDelivery {
  readonly id: string;
  readonly appId: string;
  /** Order of creation. */
  readonly seq: number;
  readonly event: Pick<WebhookEvent, "id" | "include">;
  readonly webhookId: string;
  readonly level: WebhookLevel;
  readonly status: "pending" | "retrying" | "succeeded" | "failed";
  readonly attempts: number;
  /** null: there will be none. */
  readonly nextAttemptAt: Instant | null;
  readonly lastAttempt: DeliveryAttempt | null;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

export interface DeliveryAttempt {
  readonly id: string;
  /** null: there was no answer. */
  readonly code: number | null;
  readonly errorClass: string | null;
  readonly status: "succeeded" | "failed";
  readonly at: Instant;
}

/**
 * Webhooks, what they are to be told, and how that went. What changes is noted by the database in the very transaction of the
 * change, for apps that have webhooks; events and deliveries are made of it later. Deliveries outlive their app, until done.
 */
export interface WebhookStore {
  /** Whether there may be any, of any app: cheap, for those who would look after each commit. */
  areUsed(): boolean;
  /** Oldest first. */
  list(appId: string): Promise<readonly Webhook[]>;
  byId(id: string): Promise<Webhook | undefined>;
  /** Throws `invalid_params` when the app has too many. */
  create(webhook: WebhookSettings & { readonly appId: string }): Promise<Webhook>;
  update(id: string, change: Partial<WebhookSettings>): Promise<Webhook>;
  /** Its deliveries go with it. */
  remove(id: string): Promise<void>;
  /** The oldest changes of which no events were made yet. */
  noted(count: number): Promise<readonly NotedChange[]>;
  /** Makes these events of the change, each with a delivery for each webhook that wants it, and forgets the change. */
  publish(change: NotedChange, events: readonly Pick<WebhookEvent, "include" | "payload">[]): Promise<void>;
  /** Newest first. */
  events(appId: string): Promise<readonly WebhookEvent[]>;
  event(id: string): Promise<WebhookEvent | undefined>;
  /** Newest first. */
  deliveries(appId: string): Promise<readonly WebhookDelivery[]>;
  /** Of each webhook that has deliveries to make, when the first of them is due. */
  due(): Promise<ReadonlyMap<string, Instant>>;
  /** The webhook's delivery that is due first. */
  next(webhookId: string): Promise<WebhookDelivery | undefined>;
  attempted(
    deliveryId: string,
    attempt: Omit<DeliveryAttempt, "id">,
    then: { readonly status: WebhookDelivery["status"]; readonly nextAttemptAt: Instant | null },
  ): Promise<void>;
  /** Forgets what is older, what is beyond the newest events of an app, and what is left of apps that are gone. */
  sweep(olderThan: Instant): Promise<void>;
}

/** How the router treats an app's requests, and who may come in (`model/routing.ts`, `model/basic-auth.ts`). */
export interface RoutingStore {
  /** The defaults where nothing was changed. */
  get(appId: string): Promise<RoutingSettings>;
  /** Throws `invalid_params` for a value out of range. */
  change(appId: string, change: Partial<RoutingSettings>): Promise<RoutingSettings>;
  /** By name. Their passwords are not known here either. */
  users(appId: string): Promise<readonly BasicAuthUser[]>;
  /** Makes a password if none is given. Throws `invalid_params` for a name that is taken or none, and for a bad password. */
  addUser(appId: string, name: string, password: string | undefined): Promise<{ readonly password: string }>;
  /** Throws `not_found`. */
  removeUser(appId: string, name: string): Promise<void>;
}

/** Config vars for the next release. Encrypted at rest. */
export interface ConfigStore {
  get(appId: string): Promise<ConfigVars>;
  /** null deletes. Gives all vars after the change. Throws `invalid_params` past 64 kB or for a bad key (spec 4.5). */
  change(appId: string, change: Readonly<Record<string, string | null>>): Promise<ConfigVars>;
  /** Replaces all (rollback, spec 9.6). */
  replace(appId: string, vars: ConfigVars): Promise<void>;
}

/** What was switched on or off for apps (spec 12, `model/feature.ts`). */
export interface FeatureStore {
  /** Those of the app that were ever switched, by name. */
  list(appId: string): Promise<readonly FeatureSwitch[]>;
  /** Throws `not_found` for an app that is not there. */
  set(appId: string, name: FeatureName, enabled: boolean): Promise<FeatureSwitch>;
  /** Ids of the apps for which the feature was last switched this way. */
  appsWith(name: FeatureName, enabled: boolean): Promise<readonly string[]>;
}

/** What was switched on or off for accounts (`ACCOUNT_FEATURES` of `model/feature.ts`). */
export interface AccountFeatureStore {
  /** Those of the account that were ever switched, by name. */
  list(userId: string): Promise<readonly FeatureSwitch[]>;
  set(userId: string, name: AccountFeatureName, enabled: boolean): Promise<FeatureSwitch>;
}

export interface SlugStore {
  byId(id: string): Promise<Slug | undefined>;
  create(slug: NewSlug): Promise<Slug>;
  /** Announces a slug whose archive is to come. */
  announce(slug: Omit<SlugUpload, "id" | "createdAt">): Promise<SlugUpload>;
  /** One that was announced and has not come. */
  uploadById(id: string): Promise<SlugUpload | undefined>;
  /** It has come: from now on it is a slug, with the same id. Throws `not_found` if it is one already. */
  arrive(id: string, slug: Pick<Slug, "digest" | "sizeBytes" | "manifest">): Promise<Slug>;
  /** The same code for another app. */
  copy(id: string, appId: string): Promise<Slug>;
}

export type NewSlug = Omit<Slug, "id" | "createdAt" | "commitDescription" | "checksum">;

/** The buildpacks that an app's owner chose. */
export interface BuildpackStore {
  /** In their order; empty: the first that fits is taken. */
  list(appId: string): Promise<readonly BuildpackRef[]>;
  replace(appId: string, buildpacks: readonly BuildpackRef[]): Promise<void>;
}

/** Pipelines, the apps in them, and promotions from one to others. */
export interface PipelineStore {
  /** By name. */
  list(ownerId: string): Promise<readonly Pipeline[]>;
  byId(id: string): Promise<Pipeline | undefined>;
  /** Throws `invalid_params` for what is no name, and for one that its owner has given already. */
  create(pipeline: { readonly name: string; readonly ownerId: string }): Promise<Pipeline>;
  /** Throws as `create` does. */
  rename(id: string, name: string): Promise<Pipeline>;
  /** It is somebody else's from now on. Throws `invalid_params` if they have one of its name. */
  give(id: string, ownerId: string): Promise<Pipeline>;
  /** Its apps stay. */
  remove(id: string): Promise<void>;
  /** Oldest first. */
  couplings(pipelineId: string): Promise<readonly Coupling[]>;
  couplingById(id: string): Promise<Coupling | undefined>;
  couplingOfApp(appId: string): Promise<Coupling | undefined>;
  /** Throws `invalid_params` for an app that is in a pipeline. */
  couple(coupling: { readonly pipelineId: string; readonly appId: string; readonly stage: Stage }): Promise<Coupling>;
  setStage(id: string, stage: Stage): Promise<Coupling>;
  uncouple(id: string): Promise<void>;
  addPromotion(promotion: {
    readonly pipelineId: string;
    readonly sourceAppId: string;
    readonly sourceReleaseId: string;
    readonly targets: readonly { readonly appId: string; readonly releaseId: string }[];
  }): Promise<Promotion>;
  promotionById(id: string): Promise<Promotion | undefined>;
  targets(promotionId: string): Promise<readonly PromotionTarget[]>;
}

export interface ReleaseStore {
  byId(id: string): Promise<Release | undefined>;
  byVersion(appId: string, version: number): Promise<Release | undefined>;
  /** Newest first. */
  list(appId: string): Promise<readonly Release[]>;
  newest(appId: string): Promise<Release | undefined>;
  /** The next version, with the app's config vars and isolation class of this instant. */
  create(release: {
    readonly appId: string;
    readonly slugId: string | null;
    readonly description: string;
    readonly userId: string;
    readonly status: ReleaseStatus;
    /** Whether the slug's release command is to run, if it has one. Default false. */
    readonly withCommand?: boolean;
  }): Promise<Release>;
  /** The config vars that the release was made with. */
  config(id: string): Promise<ConfigVars>;
  /** `failure` says why, with status failed. */
  setStatus(id: string, status: ReleaseStatus, failure?: string): Promise<void>;
  setPhase(id: string, phase: ReleasePhase): Promise<void>;
}

export interface BuildStore {
  byId(id: string): Promise<Build | undefined>;
  list(appId: string): Promise<readonly Build[]>;
  create(build: {
    readonly appId: string;
    readonly userId: string;
    readonly commit: string | null;
    readonly source?: BuildSource;
    readonly buildpacks?: readonly BuildpackRef[];
  }): Promise<Build>;
  update(
    id: string,
    change: Partial<Pick<Build, "status" | "slugId" | "releaseId" | "commit" | "buildpackDescription">>,
  ): Promise<Build>;
  /** Builds that were pending when the daemon died: nobody works on them any more. */
  listPending(): Promise<readonly Build[]>;
}

export interface FormationStore {
  list(appId: string): Promise<readonly Formation[]>;
  /**
   * Brings the types in line with a new release's (spec 5.1): new types start at 0 (web at 1 if the app never had any
   * formation), vanished ones go.
   */
  sync(appId: string, types: readonly string[]): Promise<void>;
  /** Makes the type known, at 0, if it is not: that of a release command, which has run (spec 5.3). */
  ensure(appId: string, type: string): Promise<void>;
  /** All of the changes or none. Throws `invalid_params` for an unknown type or size, or a quantity out of range. */
  change(
    appId: string,
    changes: readonly {
      readonly type: string;
      /** A number, or a signed difference: `{ by: -1 }`. */
      readonly quantity?: number | { readonly by: number };
      readonly size?: string;
    }[],
  ): Promise<readonly Formation[]>;
}

export interface DynoStore {
  byId(id: string): Promise<DynoRecord | undefined>;
  /** Every record of the app that was not removed, oldest first: those that should live, are stopping, or have crashed. */
  list(appId: string): Promise<readonly DynoRecord[]>;
  create(record: DynoRecord): Promise<void>;
  update(id: string, change: Partial<Omit<DynoRecord, "id" | "appId">>): Promise<void>;
  remove(id: string): Promise<void>;
  /** Crashes in a row of each name of the app's formation; kept over restarts of the daemon. */
  crashes(appId: string): Promise<readonly CrashRecord[]>;
  setCrashes(appId: string, record: CrashRecord): Promise<void>;
  /** Forgets the crashes of one name, or of all. */
  clearCrashes(appId: string, name?: string): Promise<void>;
}

/** Health checks given through the API, by process type: they stand for those of the slug's `app.json`. */
export interface CheckStore {
  list(appId: string): Promise<Checks>;
  /** An empty list: none, whatever the slug says. */
  set(appId: string, type: string, checks: readonly HealthCheck[]): Promise<void>;
  /** The slug's hold again. */
  clear(appId: string, type: string): Promise<void>;
}

/** `count` crashes in a row, the latest at `lastAt`. */
export interface CrashRecord {
  readonly name: string;
  readonly count: number;
  readonly lastAt: Instant;
}

/**
 * Schedules, and what became of their runs. Those of `app.json` follow the current release: `apps.update` brings them in line with its
 * slug's manifest in the same transaction. A run's end is noted with its dyno's, by `dynos.update`.
 */
export interface ScheduleStore {
  /** By name. */
  list(appId: string): Promise<readonly Schedule[]>;
  /** Those of all apps that are on and whose app has code to run. */
  listRunnable(): Promise<readonly Schedule[]>;
  /** One of the API's. Throws `invalid_params` when the name is taken, or there are too many. */
  create(schedule: ScheduleSettings & { readonly appId: string }): Promise<Schedule>;
  /** With another line or zone, or switched on, it begins anew: what was due until now is not. */
  update(id: string, change: Partial<ScheduleSettings>): Promise<Schedule>;
  /** Its dynos live on. */
  remove(id: string): Promise<void>;
  /** Notes that of every time up to this instant it is decided what became of it. */
  decided(id: string, until: Instant): Promise<void>;
  /** The newest 100 runs, newest first. */
  runs(scheduleId: string): Promise<readonly ScheduleRun[]>;
  /** Of each schedule of the app its newest run, and those whose dynos have not ended. */
  latestRuns(appId: string): Promise<readonly ScheduleRun[]>;
  addRun(run: Omit<ScheduleRun, "id">): Promise<ScheduleRun>;
}
