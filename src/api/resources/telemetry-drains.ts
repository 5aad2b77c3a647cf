import Type, { type Static } from "typebox";
import type { App } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Permission } from "../../model/permission.ts";
import { checkedSignals, checkHeaders, logsEndpoint } from "../../model/telemetry.ts";
import type { TelemetryDrain } from "../../store/store.ts";
import { sayAction } from "../actions.ts";
import { appFor, demand } from "../auth.ts";
import type { ApiContext } from "../context.ts";
import { refuseUnreachable } from "../outbound.ts";
import type { AccountCall, Routes } from "../route.ts";
import { DateTime, dateTime, Empty, exactly, Uuid } from "../schema.ts";

const Signal = Type.Union([Type.Literal("traces"), Type.Literal("metrics"), Type.Literal("logs")]);
const ExporterType = Type.Union([Type.Literal("otlphttp"), Type.Literal("otlp")]);
const Headers = Type.Record(Type.String(), Type.String());
const Kind = Type.Union([Type.Literal("app"), Type.Literal("space")]);
const DrainSchema = exactly({
  created_at: DateTime,
  exporter: exactly({ endpoint: Type.String(), headers: Headers, type: ExporterType }),
  id: Uuid,
  owner: exactly({ id: Uuid, type: Kind }),
  signals: Type.Array(Signal),
  updated_at: DateTime,
});
const CreateBody = Type.Object({
  exporter: Type.Object({ endpoint: Type.String(), headers: Type.Optional(Headers), type: ExporterType }),
  owner: Type.Object({ id: Type.String(), type: Kind }),
  signals: Type.Array(Signal),
});
const ChangeBody = Type.Object({
  exporter: Type.Optional(
    Type.Object({
      endpoint: Type.Optional(Type.String()),
      headers: Type.Optional(Headers),
      type: Type.Optional(ExporterType),
    }),
  ),
  signals: Type.Optional(Type.Array(Signal)),
});
/** The official command prints it; its default asks for all signals. */
const WARNING = "Only logs are sent from here; traces and metrics are not there yet.";

/** Telemetry drains: an app's log lines as OpenTelemetry has them, over HTTP in JSON. */
export function telemetryDrainRoutes(routes: Routes, context: ApiContext): void {
  const { store, logs } = context;
  routes.app(
    {
      path: "GET /apps/:app/telemetry-drains",
      needs: "operate",
      response: Type.Array(DrainSchema),
      orderBy: ["id", "created_at"],
    },
    async ({ app }) => (await store.telemetryDrains.list(app.id)).map(drainJson),
  );
  routes.account(
    { path: "POST /telemetry-drains", body: CreateBody, response: DrainSchema, status: 201 },
    async ({ user, body, reply, about }) => {
      if (body.owner.type === "space")
        throw new PlatformError("not_found", "There are no spaces here.", { resource: "space" });
      const access = await appFor(user, body.owner.id, store);
      const { app } = access;
      about(app);
      demand(access, "operate");
      const { endpoint, headers = {} } = body.exporter;
      const settings = { signals: checkedSignals(body.signals), endpoint, headers };
      await check(app, body.exporter);
      const [newest] = await logs.history(app.id, { lines: 1 });
      const made = await store.telemetryDrains.create({ ...settings, appId: app.id, position: newest?.id ?? null });
      sayAction(context, app, user, `Add telemetry drain ${made.id}`);
      if (made.signals.length > 1) reply.header("Warning-Message", WARNING);
      return drainJson(made);
    },
  );
  routes.account({ path: "GET /telemetry-drains/:drain", response: DrainSchema }, async (call) =>
    drainJson((await drainNamed(call, "operate")).drain),
  );
  routes.account({ path: "PATCH /telemetry-drains/:drain", body: ChangeBody, response: DrainSchema }, async (call) => {
    const { app, drain } = await drainNamed(call, "operate");
    const { exporter = {}, signals } = call.body;
    await check(app, exporter);
    const changed = await store.telemetryDrains.update(drain.id, {
      ...(signals !== undefined && { signals: checkedSignals(signals) }),
      ...(exporter.endpoint !== undefined && { endpoint: exporter.endpoint }),
      ...(exporter.headers !== undefined && { headers: exporter.headers }),
    });
    sayAction(context, app, call.user, `Update telemetry drain ${drain.id}`);
    if (changed.signals.length > 1) call.reply.header("Warning-Message", WARNING);
    return drainJson(changed);
  });
  routes.account({ path: "DELETE /telemetry-drains/:drain", response: DrainSchema }, async (call) => {
    const { app, drain } = await drainNamed(call, "operate");
    await store.telemetryDrains.remove(drain.id);
    sayAction(context, app, call.user, `Remove telemetry drain ${drain.id}`);
    return drainJson(drain);
  });
  routes.account({ path: "GET /spaces/:space/telemetry-drains", response: Empty }, () => {
    throw new PlatformError("not_found", "There are no spaces here.", { resource: "space" });
  });

  /** What the caller may not see is not there for them; `forbidden` for what they see and may not do. */
  async function drainNamed(
    { user, params, about }: AccountCall,
    needed: Permission,
  ): Promise<{ readonly app: App; readonly drain: TelemetryDrain }> {
    const drain = await store.telemetryDrains.byId(params["drain"] ?? "");
    const access = drain && (await store.apps.findFor(user.id, drain.appId));
    if (drain === undefined || access === undefined)
      throw new PlatformError("not_found", "Couldn't find that telemetry drain.", { resource: "telemetry_drain" });
    about(access.app);
    demand(access, needed);
    return { app: access.app, drain };
  }

  async function check(app: App, exporter: Partial<Static<typeof CreateBody>["exporter"]>): Promise<void> {
    if (exporter.type === "otlp") {
      const message = "Telemetry is sent by OTLP over HTTP: use the type otlphttp (--transport http).";
      throw new PlatformError("invalid_params", message);
    }
    if (exporter.headers !== undefined) checkHeaders(exporter.headers);
    if (exporter.endpoint !== undefined) await refuseUnreachable(context, app, logsEndpoint(exporter.endpoint));
  }
}

function drainJson({ id, appId, signals, endpoint, headers, createdAt, updatedAt }: TelemetryDrain) {
  return {
    created_at: dateTime(createdAt),
    exporter: { endpoint, headers: { ...headers }, type: "otlphttp" as const },
    id,
    owner: { id: appId, type: "app" as const },
    signals: [...signals],
    updated_at: dateTime(updatedAt),
  };
}
