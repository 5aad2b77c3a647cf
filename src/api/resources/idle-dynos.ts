import type { App } from "../../model/app.ts";
import type { IdleDyno } from "../../model/dyno.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Supervision } from "../../supervisor/supervision.ts";

type Idle = Pick<Supervision, "idleDynos">;

/** Clients ask again and again: of an app that is awake nothing is read for it. */
export async function idleOf(app: App, supervision: Idle): Promise<readonly IdleDyno[]> {
  return app.asleepSince === null ? [] : supervision.idleDynos(app.id);
}

/** By name or id. */
export async function idleNamed(app: App, wanted: string, supervision: Idle): Promise<IdleDyno | undefined> {
  return (await idleOf(app, supervision)).find(({ id, name }) => id === wanted || name === wanted);
}

/** Throws `not_found` where the dyno is shown and there is nothing behind it. */
export async function refuseIdle(app: App, wanted: string, supervision: Idle): Promise<void> {
  const idle = await idleNamed(app, wanted, supervision);
  if (idle === undefined) return;
  const message = `${idle.name} does not run: ${app.name} sleeps. A request, or ps:restart, wakes it.`;
  throw new PlatformError("not_found", message, { resource: "dyno" });
}
