import { parseCron } from "./manifest-cron.ts";
import { type Checks, parseHealthchecks } from "./manifest-health.ts";
import { ManifestError } from "./manifest-section.ts";
import type { ScheduleSettings } from "./schedule.ts";

export { ManifestError } from "./manifest-section.ts";

/**
 * What an app's own `app.json` asks of the platform (spec 5.4). It is kept with the slug, so that it follows a rollback. Each
 * top-level key of the file that is ours has one field here; all others (env, formation, addons, ...) mean nothing to a deploy.
 */
export interface AppManifest {
  /** `cron`, in the order of the file. */
  readonly schedules: readonly ScheduleSettings[];
  /** `healthchecks`, by process type. */
  readonly checks: Checks;
}

/** That of an app without `app.json`. */
export const NO_MANIFEST: AppManifest = { schedules: [], checks: {} };

/** Reads an `app.json`; a stranger wrote it. Throws `ManifestError` for what is no JSON, and for a bad value of a key of ours. */
export function parseAppManifest(text: string): AppManifest {
  const file = objectOf(text);
  return { schedules: parseCron(file["cron"]), checks: parseHealthchecks(file["healthchecks"]) };
}

function objectOf(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new ManifestError("the file", `is not valid JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ManifestError("the file", "is not an object: it has to begin with { and end with }.");
  return value as Record<string, unknown>; // an object that is no array
}

/** As stored with a slug. What an older version did not know of is as if it were not in the file. */
export function storedManifest(text: string | null): AppManifest {
  // The cast holds because `AppManifest` is all that is written there.
  return text === null ? NO_MANIFEST : { ...NO_MANIFEST, ...(JSON.parse(text) as Partial<AppManifest>) };
}
