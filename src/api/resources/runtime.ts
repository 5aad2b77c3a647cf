import Type, { type Static } from "typebox";
import type { App } from "../../model/app.ts";
import type { Runtime } from "../../model/runtime.ts";
import { sayAction } from "../actions.ts";
import type { ApiContext } from "../context.ts";
import type { Routes } from "../route.ts";
import { DateTime, dateTime, exactly, Named, nullable } from "../schema.ts";

const RestartPolicy = Type.Union([Type.Literal("steady"), Type.Literal("heroku")]);
const Rollout = Type.Union([Type.Literal("surge"), Type.Literal("stop-start"), Type.Literal("preboot")]);

const RuntimeSchema = exactly({
  app: Named,
  /** Since when its dynos are stopped for want of requests; null: awake. */
  asleep_since: nullable(DateTime),
  /** Seconds. */
  boot_timeout: Type.Integer(),
  /** UTC. */
  cycling_hour: nullable(Type.Integer()),
  daily_cycling: Type.Boolean(),
  /** Seconds. */
  preboot_delay: Type.Integer(),
  /** Seconds. */
  release_timeout: Type.Integer(),
  restart_policy: RestartPolicy,
  rollout: Rollout,
  /** Minutes without requests; 0: never; null: as its size says. */
  sleep_after: nullable(Type.Integer()),
  /** Seconds. */
  stop_grace: Type.Integer(),
  updated_at: DateTime,
});

const ChangeBody = Type.Object(
  {
    boot_timeout: Type.Optional(Type.Integer()),
    cycling_hour: Type.Optional(nullable(Type.Integer())),
    daily_cycling: Type.Optional(Type.Boolean()),
    preboot_delay: Type.Optional(Type.Integer()),
    release_timeout: Type.Optional(Type.Integer()),
    restart_policy: Type.Optional(RestartPolicy),
    rollout: Type.Optional(Rollout),
    sleep_after: Type.Optional(nullable(Type.Integer())),
    stop_grace: Type.Optional(Type.Integer()),
  },
  { additionalProperties: false },
);

/** Ours: how an app's dynos live. What changes holds from the next decision on; nothing is restarted by it. */
export function runtimeRoutes(routes: Routes, context: ApiContext): void {
  const { store, supervision } = context;
  routes.app({ path: "GET /apps/:app/runtime", needs: "view", response: RuntimeSchema }, ({ app }) => runtimeJson(app));
  routes.app(
    { path: "PATCH /apps/:app/runtime", needs: "operate", body: ChangeBody, response: RuntimeSchema },
    async ({ app, user, body, tell }) => {
      tell(body);
      const changed = await store.apps.update(app.id, changeOf(body));
      const said = Object.entries(body).map(([name, value]) => `${name.replaceAll("_", "-")}=${value ?? "none"}`);
      if (said.length > 0) sayAction(context, app, user, `Set runtime ${said.join(" ")}`);
      supervision.nudge(app.id);
      return runtimeJson(changed);
    },
  );
}

function changeOf(body: Static<typeof ChangeBody>): Partial<Runtime> {
  return {
    ...(body.boot_timeout !== undefined && { bootTimeoutSeconds: body.boot_timeout }),
    ...(body.cycling_hour !== undefined && { cyclingHour: body.cycling_hour }),
    ...(body.daily_cycling !== undefined && { dailyCycling: body.daily_cycling }),
    ...(body.preboot_delay !== undefined && { prebootDelaySeconds: body.preboot_delay }),
    ...(body.release_timeout !== undefined && { releaseTimeoutSeconds: body.release_timeout }),
    ...(body.restart_policy !== undefined && { restartPolicy: body.restart_policy }),
    ...(body.rollout !== undefined && { rollout: body.rollout }),
    ...(body.sleep_after !== undefined && { sleepAfterMinutes: body.sleep_after }),
    ...(body.stop_grace !== undefined && { stopGraceSeconds: body.stop_grace }),
  };
}

function runtimeJson(app: App): Static<typeof RuntimeSchema> {
  return {
    app: { id: app.id, name: app.name },
    asleep_since: app.asleepSince === null ? null : dateTime(app.asleepSince),
    boot_timeout: app.bootTimeoutSeconds,
    cycling_hour: app.cyclingHour,
    daily_cycling: app.dailyCycling,
    preboot_delay: app.prebootDelaySeconds,
    release_timeout: app.releaseTimeoutSeconds,
    restart_policy: app.restartPolicy,
    rollout: app.rollout,
    sleep_after: app.sleepAfterMinutes,
    stop_grace: app.stopGraceSeconds,
    updated_at: dateTime(app.updatedAt),
  };
}
