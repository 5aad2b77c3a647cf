import { join } from "node:path";
import type { App } from "./app.ts";
import type { Formation } from "./formation.ts";
import type { Instance } from "./instance.ts";

/** Heroku's Eco dynos (spec 10.3). */
const ECO = "Eco";
const ECO_SLEEP_MINUTES = 30;

/**
 * After how long without requests all of an app's dynos are stopped until the next request, ms; null: never. An app that says nothing
 * sleeps if all of its dynos are Eco. One without web dynos never does: nothing would wake it.
 */
export function sleepAfterMs(
  { sleepAfterMinutes }: Pick<App, "sleepAfterMinutes">,
  formation: readonly Pick<Formation, "type" | "quantity" | "size">[],
): number | null {
  const running = formation.filter(({ quantity }) => quantity > 0);
  if (!running.some(({ type }) => type === "web")) return null;
  const bySize = running.every(({ size }) => size === ECO) ? ECO_SLEEP_MINUTES : 0;
  const minutes = sleepAfterMinutes ?? bySize;
  return minutes === 0 ? null : minutes * 60_000;
}

/** Where HAProxy says to the daemon which app a request waits for that sleeps. */
export function wakeSocket({ paths }: { readonly paths: Pick<Instance["paths"], "daemonRun"> }): string {
  return join(paths.daemonRun, "wake.sock");
}
