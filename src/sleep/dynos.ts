import { constantId } from "../lib/constant-id.ts";
import type { App } from "../model/app.ts";
import type { DynoRecord } from "../model/dyno.ts";
import { readDesired } from "../supervisor/app-loop.ts";
import type { DesiredDyno } from "../supervisor/desired.ts";
import type { SupervisorStore } from "../supervisor/parts.ts";

/** A dyno that would run if its app did not sleep; `heroku ps` shows it as `idle` (spec 1.3). */
export type IdleDyno = Omit<DynoRecord, "state"> & { readonly state: "idle" };

/** The dynos that an app has when it is awake. */
export async function awakeDynos(
  app: App,
  store: SupervisorStore,
  now: number,
): Promise<{ readonly releaseId: string; readonly dynos: readonly DesiredDyno[] } | null> {
  const { current } = await readDesired({ ...app, asleepSince: null }, store, now);
  return current && { releaseId: current.id, dynos: current.dynos };
}

/** None of an app that is awake. Their ids are always the same: there is nothing behind them. */
export async function idleDynos(app: App, store: SupervisorStore, now: number): Promise<readonly IdleDyno[]> {
  const { asleepSince } = app;
  if (asleepSince === null) return [];
  const awake = await awakeDynos(app, store, now);
  return (awake?.dynos ?? []).map(({ name, type, size, command }) => ({
    id: constantId("idle-dyno", `${app.id}/${name}`),
    appId: app.id,
    kind: "formation",
    name,
    type,
    releaseId: awake?.releaseId ?? "",
    size,
    command,
    state: "idle",
    stateSince: asleepSince,
    createdAt: asleepSince,
    launchedAt: null,
    stopping: null,
    exit: null,
    oneOff: null,
    port: null,
  }));
}
