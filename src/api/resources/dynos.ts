import Type from "typebox";
import { monotonicMs } from "../../lib/monotonic.ts";
import { UUID } from "../../lib/uuid.ts";
import type { App } from "../../model/app.ts";
import { type DynoRecord, type EndedOneOff, endedOneOffs, type IdleDyno, shownDynos } from "../../model/dyno.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Release } from "../../model/release.ts";
import type { Which } from "../../supervisor/supervision.ts";
import { sayAction } from "../actions.ts";
import type { ApiContext } from "../context.ts";
import type { AppCall, Routes } from "../route.ts";
import { DateTime, dateTime, Empty, exactly, Named, nullable, Uuid } from "../schema.ts";
import { ExitSchema, endedWithin, exitJson, secondsOf, Waits } from "./dyno-exit.ts";
import { sizeNameOf } from "./dyno-sizes.ts";
import { demandExec } from "./exec-manager.ts";
import { idleNamed, idleOf, refuseIdle } from "./idle-dynos.ts";
import { commandOf, commandTold, InsideBody, toldOf, visitOf } from "./inside.ts";
import { TimelineSchema, timelineOf } from "./start-timeline.ts";

const DynoSchema = exactly({
  app: Named,
  attach_url: nullable(Type.String()),
  command: Type.String(),
  created_at: DateTime,
  /** Ours: how it ended; null: it has not, or nobody saw it. */
  exit_status: nullable(Type.Integer()),
  id: Uuid,
  name: Type.String(),
  /** Ours: of a crashed one, when it is started again. */
  next_start_at: nullable(DateTime),
  /** Ours: false while it fails its readiness check, so that no new request goes to it. */
  ready: Type.Boolean(),
  release: exactly({ id: Uuid, version: Type.Integer() }),
  size: Type.String(),
  state: Type.String(),
  type: Type.String(),
  updated_at: DateTime,
});

/** Ours: a one-off dyno that has ended. */
const EndedSchema = exactly({
  app: Named,
  command: Type.String(),
  created_at: DateTime,
  ended_at: DateTime,
  /** null: nobody saw it end, or it never ran. */
  exit_status: nullable(Type.Integer()),
  id: Uuid,
  name: Type.String(),
  release: exactly({ id: Uuid, version: Type.Integer() }),
  size: Type.String(),
  /** null: it never ran. */
  started_at: nullable(DateTime),
  type: Type.String(),
});

const CreateBody = Type.Object({
  command: Type.String({ maxLength: 100_000 }),
  attach: Type.Optional(nullable(Type.Boolean())),
  env: Type.Optional(nullable(Type.Record(Type.String(), Type.Union([Type.String(), Type.Number()])))),
  force_no_tty: Type.Optional(nullable(Type.Boolean())),
  size: Type.Optional(nullable(Type.Union([Type.String(), Type.Object({ name: Type.String() })]))),
  type: Type.Optional(nullable(Type.String())),
  time_to_live: Type.Optional(nullable(Type.Integer())),
});

export function dynoRoutes(routes: Routes, context: ApiContext): void {
  const { store, supervision, runs, visits, tlsPort, until, engine, clock } = context;

  routes.app(
    { path: "GET /apps/:app/dynos", needs: "view", response: Type.Array(DynoSchema), orderBy: ["name", "id"] },
    async ({ app }) => {
      const dynos = shownDynos(await store.dynos.list(app.id));
      const idle = await idleOf(app, supervision);
      const isThere = (name: string) => dynos.some((each) => each.name === name); // it was woken at this instant
      const shown = [...idle.filter(({ name }) => !isThere(name)), ...dynos];
      const facts = await factsOf(app, shown);
      return shown.map((dyno) => dynoJson(dyno, app, facts, null));
    },
  );
  routes.app(
    {
      path: "GET /apps/:app/ended-dynos",
      needs: "view",
      response: Type.Array(EndedSchema),
      orderBy: ["ended_at", "id"],
    },
    async ({ app }) => {
      const versions = new Map((await store.releases.list(app.id)).map(({ id, version }) => [id, version]));
      return endedOneOffs(await store.dynos.list(app.id)).map((dyno) => endedJson(dyno, app, versions));
    },
  );
  routes.app({ path: "GET /apps/:app/dynos/:dyno", needs: "view", response: DynoSchema }, async (call) => {
    const { app } = call;
    const dyno = await dynoOrIdle(call);
    return dynoJson(dyno, app, await factsOf(app, [dyno]), null);
  });
  routes.app(
    { path: "GET /apps/:app/dynos/:dyno/start-timeline", needs: "view", response: TimelineSchema },
    async (call) => {
      const dyno = await dynoNamed(call);
      const marks = await engine.startMarks(dyno.id);
      if (marks !== null) return timelineOf(dyno, marks, { now: clock.now(), monotonic: monotonicMs() });
      const message = `How ${dyno.name} was started is not known any more: it has ended, or was not started yet.`;
      throw new PlatformError("not_found", message, { resource: "dyno" });
    },
  );
  const waits = new Waits();
  // Answers once it has ended, or when the client has waited long enough.
  routes.app({ path: "GET /apps/:app/dynos/:dyno/exit", needs: "view", response: ExitSchema }, async (call) => {
    const seconds = secondsOf(call.query["wait"]);
    const { id, name } = await dynoNamed(call);
    if (seconds > 0) {
      using _wait = waits.begin(call.user.id);
      await endedWithin(context, id, seconds, call);
    }
    const now = await store.dynos.byId(id);
    if (now !== undefined) return exitJson(now);
    const message = `How ${name} ended is not known any more: it was replaced, or its app was destroyed.`;
    throw new PlatformError("not_found", message, { resource: "dyno" });
  });
  // Its command can print config vars: as much power as reading them.
  routes.app(
    {
      path: "POST /apps/:app/dynos",
      needs: "deploy",
      power: "write",
      body: CreateBody,
      response: DynoSchema,
      status: 201,
      startsDynos: true,
    },
    async (call) => {
      const { app, user, body } = call;
      call.tell({ command: commandTold(body.command) }); // the app's log says it too
      const { dyno, secret } = await runs.create(
        {
          app,
          userEmail: user.email,
          command: body.command,
          attach: body.attach ?? false,
          noTerminal: body.force_no_tty ?? false,
          env: body.env ?? {},
          size: sizeNameOf(body.size) ?? null,
          type: body.type ?? null,
          timeToLive: body.time_to_live ?? null,
        },
        until,
      );
      const attachUrl = secret === null ? null : call.address.rendezvous(secret, tlsPort());
      // Only what a new dyno needs: its start is under way, and waits for whatever else is asked of the store now.
      const release = await store.releases.byId(dyno.releaseId);
      const versions = new Map(release ? [[release.id, release.version]] : []);
      return dynoJson(dyno, app, { versions, nextStarts: {} }, attachUrl);
    },
  );
  // The same power: a process in a running dyno sees what one in a dyno of its own does.
  routes.app(
    {
      path: "POST /apps/:app/dynos/:dyno",
      needs: "deploy",
      power: "write",
      body: InsideBody,
      response: DynoSchema,
      status: 201,
    },
    async (call) => {
      const { app, user, body } = call;
      await demandExec(app, context);
      const dyno = await dynoNamed(call);
      const visit = await visitOf(body, dyno, user, store);
      call.tell(toldOf(dyno, visit));
      if (dyno.exit !== null)
        throw new PlatformError("not_found", `${dyno.name} has ended: nothing can be run in it.`, { resource: "dyno" });
      if (visit.kind === "process")
        sayAction(context, app, user, `Starting process with command \`${commandOf(visit.request)}\` in ${dyno.name}`);
      const attachUrl = call.address.rendezvous(visits.issue(visit), tlsPort());
      return dynoJson(dyno, app, await factsOf(app, [dyno]), attachUrl);
    },
  );

  const act = (what: "restart" | "stop", which: (call: AppCall) => Which | Promise<Which>) => async (call: AppCall) => {
    await supervision[what](call.app.id, await which(call));
    return {};
  };
  const all = (): Which => ({ kind: "all" });
  const type = ({ params }: AppCall): Which => ({ kind: "type", type: params["type"] ?? "" });
  const dyno = async (call: AppCall): Promise<Which> => ({ kind: "dyno", name: (await dynoOrIdle(call)).name });
  const accepted = { response: Empty, status: 202, needs: "operate" } as const;
  const restarted = { ...accepted, startsDynos: true };
  routes.app({ path: "DELETE /apps/:app/dynos", ...restarted }, act("restart", all));
  routes.app({ path: "DELETE /apps/:app/dynos/:dyno", ...restarted }, act("restart", dyno));
  routes.app({ path: "DELETE /apps/:app/formations/:type", ...restarted }, act("restart", type));
  routes.app({ path: "POST /apps/:app/dynos/:dyno/actions/stop", ...accepted }, act("stop", dyno));
  routes.app({ path: "POST /apps/:app/formations/:type/actions/stop", ...accepted }, act("stop", type));

  async function dynoOrIdle(call: AppCall): Promise<ShownDyno> {
    const wanted = call.params["dyno"] ?? "";
    return (await idleNamed(call.app, wanted, supervision)) ?? dynoNamed(call);
  }

  /** By name, the one that is shown; by id, and one-off ones by name too, also one that has ended. */
  async function dynoNamed({ app, params }: AppCall): Promise<DynoRecord> {
    const wanted = params["dyno"] ?? "";
    // Clients ask by id again and again: that is one row, and not the app's last hundred one-offs.
    const found = UUID.test(wanted)
      ? await store.dynos.byId(wanted)
      : latestNamed(wanted, await store.dynos.list(app.id));
    if (found?.appId === app.id && found.kind !== "build") return found;
    await refuseIdle(app, wanted, supervision);
    throw new PlatformError("not_found", `Couldn't find that dyno (${wanted}).`, { resource: "dyno" });
  }

  /** Clients ask again and again until a dyno is up or has ended: when it starts next is found out for crashed ones only. */
  async function factsOf(app: App, dynos: readonly ShownDyno[]): Promise<Facts> {
    const isAsked = dynos.some(({ state }) => state === "crashed");
    const [releases, nextStarts] = await Promise.all([
      store.releases.list(app.id),
      isAsked ? supervision.nextStarts(app.id) : {},
    ]);
    return { versions: shownVersions(releases, app.currentReleaseId), nextStarts };
  }
}

function latestNamed(name: string, records: readonly DynoRecord[]): DynoRecord | undefined {
  return (
    shownDynos(records).find((each) => each.name === name) ??
    records.findLast((each) => each.kind !== "formation" && each.name === name)
  );
}

/**
 * Release id to version. After releases that failed, those that run are as new as it gets: they carry the number of the newest
 * one, or `heroku ps:wait`, which waits for the highest number there is, would wait for ever.
 */
function shownVersions(releases: readonly Release[], currentId: string | null): ReadonlyMap<string, number> {
  const versions = new Map(releases.map(({ id, version }) => [id, version]));
  const newer = releases.filter(({ version }) => version > (versions.get(currentId ?? "") ?? Infinity));
  if (currentId === null || newer.some(({ status }) => status === "pending")) return versions;
  return versions.set(currentId, Math.max(...newer.map(({ version }) => version), versions.get(currentId) ?? 0));
}

type ShownDyno = DynoRecord | IdleDyno;

interface Facts {
  /** Release id to version. */
  readonly versions: ReadonlyMap<string, number>;
  readonly nextStarts: Readonly<Record<string, number>>;
}

function endedJson({ exit, ...dyno }: EndedOneOff, app: App, versions: Facts["versions"]) {
  return {
    app: { id: app.id, name: app.name },
    command: dyno.command,
    created_at: dateTime(dyno.createdAt),
    ended_at: dateTime(exit.at),
    exit_status: exit.status,
    id: dyno.id,
    name: dyno.name,
    release: { id: dyno.releaseId, version: versions.get(dyno.releaseId) ?? 0 },
    size: dyno.size,
    started_at: dyno.launchedAt === null ? null : dateTime(dyno.launchedAt),
    type: dyno.type,
  };
}

function dynoJson(dyno: ShownDyno, app: App, { versions, nextStarts }: Facts, attachUrl: string | null) {
  const nextStart = dyno.state === "crashed" ? nextStarts[dyno.name] : undefined;
  return {
    app: { id: app.id, name: app.name },
    attach_url: attachUrl,
    command: dyno.command,
    created_at: dateTime(dyno.createdAt),
    exit_status: dyno.exit?.status ?? null,
    id: dyno.id,
    name: dyno.name,
    next_start_at: nextStart === undefined ? null : dateTime(nextStart),
    ready: dyno.ready !== false,
    release: { id: dyno.releaseId, version: versions.get(dyno.releaseId) ?? 0 },
    size: dyno.size,
    state: dyno.state,
    type: dyno.type,
    updated_at: dateTime(dyno.stateSince),
  };
}
