import Type from "typebox";
import type { App } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import { freeName } from "../../model/manifest-cron.ts";
import {
  checkedSchedule,
  nextRunAt,
  type Schedule,
  type ScheduleDraft,
  ScheduleError,
  type ScheduleRun,
  type ScheduleSettings,
} from "../../model/schedule.ts";
import type { Store } from "../../store/store.ts";
import { sayAction } from "../actions.ts";
import type { ApiContext } from "../context.ts";
import type { AppCall, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, Named, nullable, Uuid } from "../schema.ts";

/** Ours: Heroku has its Scheduler as an add-on with a page of its own and no API. */
const RunSchema = exactly({
  created_at: DateTime,
  /** The (last) time that the line named; null: somebody asked for it. */
  due_at: nullable(DateTime),
  dyno: nullable(Named),
  ended_at: nullable(DateTime),
  /** null: it has not ended, or nobody saw it end. */
  exit_status: nullable(Type.Integer()),
  id: Uuid,
  /** How many times were missed; 0: none. */
  missed: Type.Integer(),
  outcome: Type.Union([Type.Literal("started"), Type.Literal("skipped"), Type.Literal("missed")]),
  /** Why it did not run. */
  reason: nullable(Type.String()),
  schedule: Named,
});

const ScheduleSchema = exactly({
  app: Named,
  command: Type.String(),
  concurrency_policy: Type.String(),
  created_at: DateTime,
  enabled: Type.Boolean(),
  id: Uuid,
  last_run: nullable(RunSchema),
  name: Type.String(),
  /** null: it is off, or the app has no code to run. */
  next_run_at: nullable(DateTime),
  /** Its dynos that run. */
  running: Type.Array(Named),
  schedule: Type.String(),
  size: nullable(Type.String()),
  source: Type.Union([Type.Literal("app.json"), Type.Literal("api")]),
  timezone: Type.String(),
  updated_at: DateTime,
});

const optional = {
  concurrency_policy: Type.Optional(Type.String()),
  enabled: Type.Optional(Type.Boolean()),
  name: Type.Optional(Type.String()),
  size: Type.Optional(nullable(Type.String())),
  timezone: Type.Optional(Type.String()),
};
const closed = { additionalProperties: false };
const CreateBody = Type.Object({ command: Type.String(), schedule: Type.String(), ...optional }, closed);
const ChangeBody = Type.Object(
  { command: Type.Optional(Type.String()), schedule: Type.Optional(Type.String()), ...optional },
  closed,
);

export function scheduleRoutes(routes: Routes, context: ApiContext): void {
  const { store, schedules } = context;

  routes.app(
    { path: "GET /apps/:app/schedules", needs: "view", response: Type.Array(ScheduleSchema) },
    async ({ app }) => {
      const facts = await factsOf(app);
      return (await store.schedules.list(app.id)).map((schedule) => scheduleJson(schedule, app, facts));
    },
  );
  routes.app({ path: "GET /apps/:app/schedules/:schedule", needs: "view", response: ScheduleSchema }, async (call) =>
    scheduleJson(await scheduleNamed(call), call.app, await factsOf(call.app)),
  );
  // Its command can print config vars: as much power as reading them.
  routes.app(
    {
      path: "POST /apps/:app/schedules",
      needs: "deploy",
      power: "write",
      body: CreateBody,
      response: ScheduleSchema,
      status: 201,
    },
    async ({ app, user, body, tell }) => {
      const { enabled = true, ...draft } = body;
      tell({ schedule: draft.schedule.slice(0, 200), command: draft.command.slice(0, 300) });
      const settings = { ...checked(draft), enabled };
      const made = await store.transaction(async (inside) => {
        const name = draft.name === undefined ? await freeNameFor(settings.name, app, inside) : settings.name;
        return inside.schedules.create({ ...settings, name, appId: app.id });
      });
      sayAction(context, app, user, `Add schedule ${inWords(made)}`);
      schedules.nudge();
      return scheduleJson(made, app, await factsOf(app));
    },
  );
  routes.app(
    {
      path: "PATCH /apps/:app/schedules/:schedule",
      needs: "deploy",
      power: "write",
      body: ChangeBody,
      response: ScheduleSchema,
    },
    async (call) => {
      const { app, user, body } = call;
      const before = await scheduleNamed(call);
      refuseOfFile(before);
      const { enabled = before.enabled, ...draft } = body;
      const changed = await store.schedules.update(before.id, {
        ...checked({ ...draftOf(before), ...draft }),
        enabled,
      });
      sayAction(context, app, user, `Update schedule ${inWords(changed)}`);
      schedules.nudge();
      return scheduleJson(changed, app, await factsOf(app));
    },
  );
  routes.app(
    { path: "DELETE /apps/:app/schedules/:schedule", needs: "deploy", response: ScheduleSchema },
    async (call) => {
      const { app, user } = call;
      const schedule = await scheduleNamed(call);
      refuseOfFile(schedule);
      const json = scheduleJson(schedule, app, await factsOf(app));
      await store.schedules.remove(schedule.id);
      sayAction(context, app, user, `Remove schedule ${schedule.name}`);
      return json;
    },
  );
  routes.app(
    {
      path: "GET /apps/:app/schedules/:schedule/runs",
      needs: "view",
      response: Type.Array(RunSchema),
    },
    async (call) => {
      const schedule = await scheduleNamed(call);
      return (await store.schedules.runs(schedule.id)).map((run) => runJson(run, schedule));
    },
  );
  routes.app(
    {
      path: "POST /apps/:app/schedules/:schedule/runs",
      needs: "deploy",
      power: "write",
      response: RunSchema,
      status: 201,
    },
    async (call) => {
      const { app, user } = call;
      const schedule = await scheduleNamed(call);
      return runJson(await schedules.runNow({ app, schedule, userEmail: user.email }), schedule);
    },
  );

  /** By id or by name. */
  async function scheduleNamed({ app, params }: AppCall): Promise<Schedule> {
    const wanted = params["schedule"] ?? "";
    const found = (await store.schedules.list(app.id)).filter(({ id, name }) => id === wanted || name === wanted);
    const [only, ...more] = found;
    if (only !== undefined && more.length === 0) return only;
    if (only === undefined)
      throw new PlatformError("not_found", `Couldn't find that schedule (${wanted}).`, { resource: "schedule" });
    const ids = found.map(({ id, source }) => `${id} (${source})`).join(", ");
    throw new PlatformError(
      "invalid_params",
      `${found.length} schedules are called ${wanted}; name one by its id: ${ids}.`,
    );
  }

  async function factsOf(app: App): Promise<Facts> {
    const current = app.currentReleaseId === null ? undefined : await store.releases.byId(app.currentReleaseId);
    return { runs: await store.schedules.latestRuns(app.id), hasCode: (current?.slugId ?? null) !== null };
  }
}

interface Facts {
  /** Of each schedule the newest run, and those that go on; newest first. */
  readonly runs: readonly ScheduleRun[];
  readonly hasCode: boolean;
}

/** Throws `invalid_params` in words that name the field. */
function checked(draft: ScheduleDraft): Omit<ScheduleSettings, "enabled"> {
  try {
    return checkedSchedule(draft);
  } catch (error) {
    if (!(error instanceof ScheduleError)) throw error;
    throw new PlatformError("invalid_params", `Invalid parameters: ${error.field} ${error.message}`);
  }
}

function draftOf({ command, cron, timeZone, name, size, concurrency }: Schedule): ScheduleDraft {
  return { command, schedule: cron, timezone: timeZone, name, size, concurrency_policy: concurrency };
}

async function freeNameFor(name: string, app: App, store: Store): Promise<string> {
  const others = await store.schedules.list(app.id);
  return others.some((other) => other.name === name) ? freeName(name, others) : name;
}

function refuseOfFile({ source, name }: Schedule): void {
  if (source !== "app.json") return;
  throw new PlatformError("invalid_params", `${name} is in the app's app.json: change it there, and deploy.`);
}

function inWords({ name, cron, timeZone, enabled }: Schedule): string {
  return `${name} (${cron} ${timeZone}${enabled ? "" : ", off"})`;
}

function scheduleJson(schedule: Schedule, app: App, { runs, hasCode }: Facts) {
  const own = runs.filter(({ scheduleId }) => scheduleId === schedule.id);
  const [last] = own;
  const next = schedule.enabled && hasCode ? nextRunAt(schedule, schedule.decidedUntil) : null;
  return {
    app: { id: app.id, name: app.name },
    command: schedule.command,
    concurrency_policy: schedule.concurrency,
    created_at: dateTime(schedule.createdAt),
    enabled: schedule.enabled,
    id: schedule.id,
    last_run: last === undefined ? null : runJson(last, schedule),
    name: schedule.name,
    next_run_at: next === null ? null : dateTime(next),
    running: own.flatMap(({ outcome }) =>
      outcome.kind === "started" && outcome.end === null ? [{ id: outcome.dynoId, name: outcome.dynoName }] : [],
    ),
    schedule: schedule.cron,
    size: schedule.size,
    source: schedule.source,
    timezone: schedule.timeZone,
    updated_at: dateTime(schedule.updatedAt),
  };
}

function runJson({ id, dueAt, decidedAt, outcome }: ScheduleRun, schedule: Schedule) {
  const started = outcome.kind === "started" ? outcome : undefined;
  const end = started?.end ?? null;
  return {
    created_at: dateTime(decidedAt),
    due_at: dueAt === null ? null : dateTime(dueAt),
    dyno: started === undefined ? null : { id: started.dynoId, name: started.dynoName },
    ended_at: end === null ? null : dateTime(end.at),
    exit_status: end?.status ?? null,
    id,
    missed: outcome.kind === "missed" ? outcome.count : 0,
    outcome: outcome.kind,
    reason: outcome.kind === "started" ? null : outcome.reason,
    schedule: { id: schedule.id, name: schedule.name },
  };
}
