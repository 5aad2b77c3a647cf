import type { Instant } from "../lib/clock.ts";
import { DEFAULT_RUNTIME, type Runtime } from "./runtime.ts";

/** What somebody may turn on or off for an app (spec 12). */
export interface Feature {
  readonly name: string;
  readonly displayName: string;
  /** As `features` and `labs` list it. */
  readonly description: string;
  /** Which of the two commands shows it: `heroku features` or `heroku labs`. */
  readonly kind: "feature" | "labs";
  readonly isOnByDefault: boolean;
  readonly control: Control;
}

export type Control =
  /** `does` says what is different while it is on, for whoever adds to it. */
  | { readonly kind: "switch"; readonly does: string }
  /** A word for settings of the app's row, which have finer ones of their own (`/apps/:app/runtime`). */
  | {
      readonly kind: "setting";
      readonly isOn: (runtime: Runtime) => boolean;
      readonly change: (enabled: boolean) => Partial<Runtime>;
    }
  /** It is as `isOnByDefault` says, for good; `why` is the answer to whoever wants the other. */
  | { readonly kind: "fixed"; readonly why: string };

/** A feature that was switched for an app; what was never switched is at its default. */
export interface FeatureSwitch {
  readonly name: string;
  readonly enabled: boolean;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

/**
 * Every feature that there is. To add one: a line here, and `isFeatureOn` where it matters. One that would do nothing is
 * `fixed`: a flag that can be set and changes nothing would be a lie.
 */
export const FEATURES = [
  {
    name: "preboot",
    displayName: "Preboot",
    description: "Provide seamless dyno deploys: new dynos come up before the old ones are stopped",
    kind: "feature",
    isOnByDefault: true,
    control: {
      kind: "setting",
      isOn: ({ rollout }) => rollout !== "stop-start",
      change: (enabled) => ({ rollout: enabled ? "surge" : "stop-start" }),
    },
  },
  {
    name: "daily-cycling",
    displayName: "Daily cycling",
    description: "Restart each dyno once a day, one of a process type at a time",
    kind: "labs",
    isOnByDefault: false,
    control: {
      kind: "setting",
      isOn: ({ dailyCycling }) => dailyCycling,
      change: (enabled) => ({ dailyCycling: enabled }),
    },
  },
  {
    name: "runtime-dyno-metadata",
    displayName: "Dyno metadata",
    description: "Dyno, app and release in environment variables",
    kind: "labs",
    isOnByDefault: true,
    control: { kind: "fixed", why: "Dyno metadata is always in the environment here, and cannot be turned off." },
  },
  {
    name: "runtime-dyno-build-metadata",
    displayName: "Build metadata",
    description: "Commit and description of the build in environment variables",
    kind: "labs",
    isOnByDefault: true,
    control: { kind: "fixed", why: "Build metadata is always in the environment here, and cannot be turned off." },
  },
  {
    name: "http-session-affinity",
    displayName: "Session affinity",
    description: "Requests of one browser go to one dyno",
    kind: "feature",
    isOnByDefault: false,
    control: {
      kind: "switch",
      does: "the router gives browsers a cookie that names their dyno (src/router/routes.ts)",
    },
  },
  {
    name: "runtime-heroku-exec",
    displayName: "Exec",
    description: "A shell inside a running dyno",
    kind: "feature",
    // The official CLI restarts every dyno of the app once it has turned it on.
    isOnByDefault: true,
    control: {
      kind: "switch",
      does: "who may deploy the app may open processes in its running dynos, and reach their ports and files",
    },
  },
  {
    name: "log-runtime-metrics",
    displayName: "Runtime metrics in the log",
    description: "Emit dyno resource usage information into app logs",
    kind: "labs",
    isOnByDefault: false,
    control: { kind: "switch", does: "src/metrics writes load and memory of each dyno into the app's log every 20 s" },
  },
] as const satisfies readonly Feature[];

export type FeatureName = (typeof FEATURES)[number]["name"];

/** Whether the feature is on for an app that has these switches and settings. */
export function isFeatureOn(
  name: FeatureName,
  switches: readonly FeatureSwitch[],
  runtime: Runtime = DEFAULT_RUNTIME,
): boolean {
  const feature: Feature | undefined = FEATURES.find((each) => each.name === name);
  if (feature === undefined) throw new Error(`there is no feature ${name}`);
  if (feature.control.kind === "fixed") return feature.isOnByDefault;
  if (feature.control.kind === "setting") return feature.control.isOn(runtime);
  return switches.find((each) => each.name === name)?.enabled ?? feature.isOnByDefault;
}

/** What somebody may turn on or off for their account: it holds for what they make from then on. */
export interface AccountFeature {
  readonly name: string;
  readonly displayName: string;
  readonly description: string;
  /** How new apps of the account live. */
  readonly newApps: Partial<Runtime>;
}

/** Every account feature that there is. To add one: a line here. */
export const ACCOUNT_FEATURES = [
  {
    name: "heroku-defaults",
    displayName: "New apps live as at Heroku",
    description: "Apps that you make restart, roll out and cycle as Heroku's do, until their settings say otherwise",
    newApps: { restartPolicy: "heroku", rollout: "stop-start", dailyCycling: true },
  },
] as const satisfies readonly AccountFeature[];

export type AccountFeatureName = (typeof ACCOUNT_FEATURES)[number]["name"];

/** Settings of an app that an account with these switches makes. */
export function newAppSettings(switches: readonly FeatureSwitch[]): Partial<Runtime> {
  const on = ACCOUNT_FEATURES.filter(({ name }) => switches.some((each) => each.name === name && each.enabled));
  return Object.assign({}, ...on.map(({ newApps }) => newApps)) as Partial<Runtime>; // of nothing else
}
