import type { Instant } from "../lib/clock.ts";
import type { App, Domain, User } from "../model/app.ts";
import type { BasicAuthUser } from "../model/basic-auth.ts";
import type { DynoRecord } from "../model/dyno.ts";
import type { EgressRule } from "../model/egress-rule.ts";
import type { FeatureName, FeatureSwitch } from "../model/feature.ts";
import type { Formation } from "../model/formation.ts";
import type { HealthCheck } from "../model/health.ts";
import type { Isolation } from "../model/isolation.ts";
import type { Checks } from "../model/manifest-health.ts";
import type { Build, ConfigVars, Release, ReleaseStatus, Slug } from "../model/release.ts";
import type { RoutingSettings } from "../model/routing.ts";
import type { Runtime } from "../model/runtime.ts";
import type { Schedule, ScheduleRun, ScheduleSettings } from "../model/schedule.ts";

/**
 * What features ask of storage. A call that has resolved is on disk. Every write is one transaction; `transaction` joins
 * several. Reads give immutable snapshots. Unknown ids give undefined, or `not_found` where a write needs the row.
 */
export interface Store extends AsyncDisposable {
  readonly users: UserStore;
  readonly tokens: TokenStore;
  readonly apps: AppStore;
  readonly domains: DomainStore;
  readonly egressRules: EgressRuleStore;
  readonly routing: RoutingStore;
  readonly config: ConfigStore;
  readonly features: FeatureStore;
  readonly slugs: SlugStore;
  readonly releases: ReleaseStore;
  readonly builds: BuildStore;
  readonly formation: FormationStore;
  readonly dynos: DynoStore;
  readonly schedules: ScheduleStore;
  readonly checks: CheckStore;
  /** Runs `body` in one transaction: all of it or nothing. Writers wait for each other. */
  transaction<T>(body: (store: Store) => Promise<T>): Promise<T>;
  /** Calls `listener` after a commit that changed something of an app. */
  onChange(listener: (appId: string) => void): Disposable;
}

export interface UserStore {
  byId(id: string): Promise<User | undefined>;
  byEmail(email: string): Promise<User | undefined>;
  /** The first user of the installation. */
  owner(): Promise<User | undefined>;
  /** Makes the user, or gives the one who has that address. */
  ensure(email: string): Promise<User>;
}

/** Access tokens (OAuth authorizations). Only a hash is stored; the text is shown once. */
export interface TokenStore {
  create(token: NewToken): Promise<{ readonly token: Token; readonly text: string }>;
  /** The live token with this text; undefined if unknown, expired or revoked. Constant time in the text. */
  find(text: string): Promise<Token | undefined>;
  list(userId: string): Promise<readonly Token[]>;
  byId(id: string): Promise<Token | undefined>;
  revoke(id: string): Promise<void>;
}

export interface NewToken {
  readonly userId: string;
  readonly description: string;
  readonly scopes: readonly string[];
  readonly expiresAt: Instant | null;
}

export interface Token extends NewToken {
  readonly id: string;
  /** First and last characters, the rest starred. */
  readonly redacted: string;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

export interface AppStore {
  byId(id: string): Promise<App | undefined>;
  /** By name, or by id. */
  find(nameOrId: string): Promise<App | undefined>;
  list(): Promise<readonly App[]>;
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
  /** Forgets the app and all that belongs to it; its uid index stays used for ever. Its dynos become orphans. */
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

export interface SlugStore {
  byId(id: string): Promise<Slug | undefined>;
  create(slug: Omit<Slug, "id" | "createdAt">): Promise<Slug>;
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
  }): Promise<Release>;
  /** The config vars that the release was made with. */
  config(id: string): Promise<ConfigVars>;
  /** `failure` says why, with status failed. */
  setStatus(id: string, status: ReleaseStatus, failure?: string): Promise<void>;
}

export interface BuildStore {
  byId(id: string): Promise<Build | undefined>;
  list(appId: string): Promise<readonly Build[]>;
  create(build: { readonly appId: string; readonly userId: string; readonly commit: string | null }): Promise<Build>;
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
