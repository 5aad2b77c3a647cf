import Type from "typebox";
import { PlatformError } from "../../model/errors.ts";
import type { Routes } from "../route.ts";
import { constantId, DateTime, exactly, Uuid } from "../schema.ts";

const Feature = exactly({
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

interface Fixed {
  readonly name: string;
  readonly display: string;
  readonly description: string;
  readonly state: "general" | "beta";
  readonly isOn: boolean;
  /** Why it cannot be the other way. */
  readonly why: string;
}

/** Each is on or off for good: a flag that could be set and did nothing would be a lie. */
const FEATURES: readonly Fixed[] = [
  {
    name: "preboot",
    display: "Preboot",
    description: "Provide seamless dyno deploys: new dynos come up before the old ones are stopped",
    state: "general",
    isOn: true,
    why: "Preboot is how every release rolls out here, and cannot be turned off.",
  },
  {
    name: "runtime-dyno-metadata",
    display: "Dyno metadata",
    description: "Dyno, app and release in environment variables",
    state: "beta",
    isOn: true,
    why: "Dyno metadata is always in the environment here, and cannot be turned off.",
  },
  {
    name: "http-session-affinity",
    display: "Session affinity",
    description: "Requests of one browser go to one dyno",
    state: "general",
    isOn: false,
    why: "Session affinity is not there yet: every request goes to any web dyno.",
  },
  {
    name: "runtime-heroku-exec",
    display: "Exec",
    description: "A shell inside a running dyno",
    state: "general",
    isOn: false,
    why: "ps:exec is not there yet; use run, which starts a dyno of its own.",
  },
  {
    name: "log-runtime-metrics",
    display: "Runtime metrics in the log",
    description: "Memory and load of each dyno in the app's log",
    state: "beta",
    isOn: false,
    why: "Metrics in the log are not there yet.",
  },
];
const SINCE = "2026-01-01T00:00:00Z";

export function featureRoutes(routes: Routes): void {
  routes.app({ path: "GET /apps/:app/features", response: Type.Array(Feature), orderBy: ["name", "id"] }, () =>
    FEATURES.map(featureJson),
  );
  routes.app({ path: "GET /apps/:app/features/:feature", response: Feature }, ({ params }) =>
    featureJson(featureNamed(params["feature"])),
  );
  routes.app(
    { path: "PATCH /apps/:app/features/:feature", body: Type.Object({ enabled: Type.Boolean() }), response: Feature },
    ({ params, body }) => {
      const feature = featureNamed(params["feature"]);
      if (body.enabled !== feature.isOn) throw new PlatformError("invalid_params", feature.why);
      return featureJson(feature);
    },
  );
}

function featureNamed(wanted = ""): Fixed {
  const found = FEATURES.find(({ name }) => name === wanted || constantId("feature", name) === wanted);
  if (found) return found;
  throw new PlatformError("not_found", `Couldn't find that app feature (${wanted}).`, { resource: "app_feature" });
}

function featureJson({ name, display, description, state, isOn }: Fixed) {
  return {
    created_at: SINCE,
    description,
    display_name: display,
    doc_url: "",
    enabled: isOn,
    feedback_email: "",
    id: constantId("feature", name),
    name,
    state,
    updated_at: SINCE,
  };
}
