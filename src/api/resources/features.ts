import Type, { type Static } from "typebox";
import type { App } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import { ACCOUNT_FEATURES, FEATURES, type FeatureSwitch, isFeatureOn } from "../../model/feature.ts";
import type { Runtime } from "../../model/runtime.ts";
import { sayAction } from "../actions.ts";
import type { ApiContext } from "../context.ts";
import type { Routes } from "../route.ts";
import { constantId, DateTime, dateTime, exactly, Uuid } from "../schema.ts";
import { officialExecRefusal } from "./exec-manager.ts";

const FeatureSchema = exactly({
  created_at: DateTime,
  description: Type.String(),
  display_name: Type.String(),
  doc_url: Type.String(),
  enabled: Type.Boolean(),
  feedback_email: Type.String(),
  id: Uuid,
  name: Type.String(),
  state: Type.String(),
  updated_at: DateTime,
});

/** When features that were never switched were made, for whoever asks. */
const SINCE = "2026-01-01T00:00:00Z";

export function featureRoutes(routes: Routes, context: ApiContext): void {
  const { store, supervision } = context;
  routes.app(
    { path: "GET /apps/:app/features", needs: "view", response: Type.Array(FeatureSchema), orderBy: ["name", "id"] },
    async ({ app }) => {
      const switches = await store.features.list(app.id);
      return FEATURES.map((feature) => featureJson(feature, switches, app));
    },
  );
  routes.app(
    { path: "GET /apps/:app/features/:feature", needs: "view", response: FeatureSchema },
    async ({ app, params, request, reply }) => {
      const feature = featureNamed(params["feature"]);
      // The official ps:exec asks for this first, shows a warning, and of what follows no word of ours.
      const warning = feature.name === "runtime-heroku-exec" ? await officialExecRefusal(context, request) : null;
      if (warning !== null) reply.header("X-Heroku-Warning", warning);
      return featureJson(feature, await store.features.list(app.id), app);
    },
  );
  routes.app(
    {
      path: "PATCH /apps/:app/features/:feature",
      needs: "operate",
      body: Type.Object({ enabled: Type.Boolean() }),
      response: FeatureSchema,
    },
    async ({ app, user, params, body: { enabled } }) => {
      const feature = featureNamed(params["feature"]);
      const before = await store.features.list(app.id);
      if (enabled === isFeatureOn(feature.name, before, app)) return featureJson(feature, before, app);
      const json = await turn(feature, app, enabled);
      sayAction(context, app, user, `${enabled ? "Enable" : "Disable"} ${feature.name} feature`);
      supervision.nudge(app.id);
      return json;
    },
  );

  const account = "/account/features" as const;
  routes.account(
    { path: `GET ${account}`, power: "identity", response: Type.Array(FeatureSchema), orderBy: ["name", "id"] },
    async ({ user }) => {
      const switches = await store.accountFeatures.list(user.id);
      return ACCOUNT_FEATURES.map((feature) => accountFeatureJson(feature, switches));
    },
  );
  routes.account(
    { path: `GET ${account}/:feature`, power: "identity", response: FeatureSchema },
    async ({ user, params }) =>
      accountFeatureJson(accountFeatureNamed(params["feature"]), await store.accountFeatures.list(user.id)),
  );
  routes.account(
    {
      path: `PATCH ${account}/:feature`,
      power: "global",
      body: Type.Object({ enabled: Type.Boolean() }),
      response: FeatureSchema,
    },
    async ({ user, params, body: { enabled }, tell }) => {
      const feature = accountFeatureNamed(params["feature"]);
      tell({ feature: feature.name, enabled });
      return accountFeatureJson(feature, [await store.accountFeatures.set(user.id, feature.name, enabled)]);
    },
  );

  async function turn(feature: Known, app: App, enabled: boolean) {
    switch (feature.control.kind) {
      case "fixed":
        throw new PlatformError("invalid_params", feature.control.why);
      case "setting": {
        const changed = await store.apps.update(app.id, feature.control.change(enabled));
        return featureJson(feature, [], changed);
      }
      case "switch":
        return featureJson(feature, [await store.features.set(app.id, feature.name, enabled)], app);
      default:
        return feature.control satisfies never;
    }
  }
}

type Known = (typeof FEATURES)[number];

function featureNamed(wanted = ""): Known {
  const found = FEATURES.find(({ name }) => name === wanted || constantId("feature", name) === wanted);
  if (found) return found;
  throw new PlatformError("not_found", `Couldn't find that app feature (${wanted}).`, { resource: "app_feature" });
}

type KnownOfAccount = (typeof ACCOUNT_FEATURES)[number];

function accountFeatureNamed(wanted = ""): KnownOfAccount {
  const idOf = (name: string) => constantId("account-feature", name);
  const found = ACCOUNT_FEATURES.find(({ name }) => name === wanted || idOf(name) === wanted);
  if (found) return found;
  // Clients look for a feature of the app then, if it is this status.
  throw new PlatformError("not_found", `Couldn't find that account feature (${wanted}).`, {
    resource: "account_feature",
  });
}

function accountFeatureJson(feature: KnownOfAccount, switches: readonly FeatureSwitch[]): Static<typeof FeatureSchema> {
  const switched = switches.find(({ name }) => name === feature.name);
  return {
    ...switchedJson(feature, switched),
    enabled: switched?.enabled ?? false,
    id: constantId("account-feature", feature.name),
    state: STATE.labs,
  };
}

function featureJson(feature: Known, switches: readonly FeatureSwitch[], runtime: Runtime) {
  const { name, kind } = feature;
  const switched = switches.find((each) => each.name === name);
  return {
    ...switchedJson(feature, switched),
    enabled: isFeatureOn(name, switches, runtime),
    id: constantId("feature", name),
    state: STATE[kind],
  };
}

function switchedJson({ name, displayName, description }: Known | KnownOfAccount, switched: FeatureSwitch | undefined) {
  return {
    created_at: switched ? dateTime(switched.createdAt) : SINCE,
    description,
    display_name: displayName,
    doc_url: "",
    feedback_email: "",
    name,
    updated_at: switched ? dateTime(switched.updatedAt) : SINCE,
  };
}

/** `features` shows what is `general`, `labs` all else (spec 12). */
const STATE = { feature: "general", labs: "beta" } as const;
