import Type from "typebox";
import type { App } from "../../model/app.ts";
import { parseDrainUrl } from "../../model/drain-url.ts";
import { PlatformError } from "../../model/errors.ts";
import type { LogDrain } from "../../store/store.ts";
import { sayAction } from "../actions.ts";
import type { ApiContext } from "../context.ts";
import { refuseUnreachable } from "../outbound.ts";
import type { AppCall, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, Named, Uuid } from "../schema.ts";

const DrainSchema = exactly({
  /** Drains of add-ons, which there are none of here. */
  addon: Type.Null(),
  app: Named,
  created_at: DateTime,
  id: Uuid,
  token: Type.String(),
  updated_at: DateTime,
  url: Type.String(),
});
const CreateBody = Type.Object({ url: Type.String() });

/** Log drains (spec 8.4), whose URLs may hold passwords: seeing them takes as much as making them. They deliver from the lines on that come after the answer to their creation. */
export function logDrainRoutes(routes: Routes, context: ApiContext): void {
  const { store, logs } = context;
  routes.app(
    {
      path: "GET /apps/:app/log-drains",
      needs: "operate",
      response: Type.Array(DrainSchema),
      orderBy: ["id", "created_at"],
    },
    async ({ app }) => (await store.logDrains.list(app.id)).map((drain) => drainJson(drain, app)),
  );
  routes.app({ path: "GET /apps/:app/log-drains/:drain", needs: "operate", response: DrainSchema }, async (call) =>
    drainJson(await drainNamed(call), call.app),
  );
  routes.app(
    { path: "POST /apps/:app/log-drains", needs: "operate", body: CreateBody, response: DrainSchema, status: 201 },
    async ({ app, user, body }) => {
      const target = parseDrainUrl(body.url);
      await refuseUnreachable(context, app, target);
      const [newest] = await logs.history(app.id, { lines: 1 });
      const drain = await store.logDrains.create({ appId: app.id, url: body.url, position: newest?.id ?? null });
      sayAction(context, app, user, `Add log drain ${target.shown}`);
      return drainJson(drain, app);
    },
  );
  routes.app({ path: "DELETE /apps/:app/log-drains/:drain", needs: "operate", response: DrainSchema }, async (call) => {
    const drain = await drainNamed(call);
    await store.logDrains.remove(drain.id);
    sayAction(context, call.app, call.user, `Remove log drain ${parseDrainUrl(drain.url).shown}`);
    return drainJson(drain, call.app);
  });

  /** By id, token or URL. */
  async function drainNamed({ app, params }: AppCall): Promise<LogDrain> {
    const wanted = params["drain"] ?? "";
    const all = await store.logDrains.list(app.id);
    const found = all.find(({ id, token, url }) => [id, token, url].includes(wanted));
    if (found) return found;
    throw new PlatformError("not_found", "Couldn't find that log drain.", { resource: "log_drain" });
  }
}

function drainJson({ id, token, url, createdAt, updatedAt }: LogDrain, app: App) {
  return {
    addon: null,
    app: { id: app.id, name: app.name },
    created_at: dateTime(createdAt),
    id,
    token,
    updated_at: dateTime(updatedAt),
    url,
  };
}
