import { PROCESS_TYPE } from "./app.ts";
import type { HealthCheck } from "./health.ts";
import { CheckError, parseChecks } from "./health-check.ts";
import { ManifestError } from "./manifest-section.ts";

/** By process type. */
export type Checks = Readonly<Record<string, readonly HealthCheck[]>>;

/** Process types with checks of one app. */
const TYPES_MAX = 100;

/** The object `healthchecks` of an `app.json`, with Dokku's keys and some more. Throws `ManifestError`. */
export function parseHealthchecks(value: unknown): Checks {
  if (value === undefined) return {};
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ManifestError("healthchecks", "is not an object of process types.");
  const entries = Object.entries(value);
  if (entries.length > TYPES_MAX) throw new ManifestError("healthchecks", `has more than ${TYPES_MAX} process types.`);
  return Object.fromEntries(entries.map(([type, list]) => [type, checksOf(type, list)]));
}

function checksOf(type: string, list: unknown): readonly HealthCheck[] {
  if (!PROCESS_TYPE.test(type) || type === "__proto__")
    throw new ManifestError("healthchecks", `has ${JSON.stringify(type.slice(0, 80))}, which is no process type.`);
  try {
    return parseChecks(type, list, `healthchecks.${type}`);
  } catch (error) {
    if (!(error instanceof CheckError)) throw error;
    throw new ManifestError(error.place, error.what);
  }
}

/** What asks for checks of a type that there is not would never be asked. Throws `ManifestError`. */
export function refuseUnknownTypes(checks: Checks, types: readonly string[]): void {
  const unknown = Object.keys(checks).find((type) => !types.includes(type));
  if (unknown !== undefined)
    throw new ManifestError(`healthchecks.${unknown}`, `is no process type of the Procfile: ${types.join(", ")}.`);
}

/** Those of one type. */
export function checksOfType(checks: Checks, type: string): readonly HealthCheck[] {
  return (Object.hasOwn(checks, type) ? checks[type] : undefined) ?? [];
}
