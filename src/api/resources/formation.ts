import Type, { type Static } from "typebox";
import type { App } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Formation } from "../../model/formation.ts";
import { sayAction } from "../actions.ts";
import type { ApiContext } from "../context.ts";
import type { AppCall, Routes } from "../route.ts";
import { constantRef, DateTime, dateTime, exactly, Named, nullable, Uuid } from "../schema.ts";
import { sizeNameOf } from "./dyno-sizes.ts";

const FormationSchema = exactly({
  app: Named,
  command: Type.String(),
  created_at: DateTime,
  dyno_size: Named,
  id: Uuid,
  quantity: Type.Integer(),
  size: Type.String(),
  type: Type.String(),
  updated_at: DateTime,
});

const changes = {
  /** `2`, `"2"`, `"+1"`, `"-1"`. */
  quantity: Type.Optional(nullable(Type.Union([Type.Integer(), Type.String()]))),
  size: Type.Optional(nullable(Type.String())),
  dyno_size: Type.Optional(
    nullable(
      Type.Union([
        Type.String(),
        Type.Object({ id: Type.Optional(Type.String()), name: Type.Optional(Type.String()) }),
      ]),
    ),
  ),
  docker_image: Type.Optional(nullable(Type.String())),
};
const OneBody = Type.Object(changes);
const BatchBody = Type.Object({ updates: Type.Array(Type.Object({ ...changes, type: Type.String() })) });
type One = Static<typeof OneBody>;
const orderBy = ["type", "id"] as const;

export function formationRoutes(routes: Routes, context: ApiContext): void {
  const { store, supervision } = context;
  const list = async (app: App) => {
    const commands = await commandsOf(app);
    return (await store.formation.list(app.id)).map((each) => formationJson(each, app, commands));
  };

  routes.app(
    { path: "GET /apps/:app/formation", needs: "view", response: Type.Array(FormationSchema), orderBy },
    ({ app }) => list(app),
  );
  routes.app(
    { path: "GET /apps/:app/formation/:formation", needs: "view", response: FormationSchema },
    async ({ app, params }) => named(await list(app), params["formation"] ?? ""),
  );
  routes.app(
    {
      path: "PATCH /apps/:app/formation",
      needs: "operate",
      startsDynos: true,
      body: BatchBody,
      response: Type.Array(FormationSchema),
    },
    async (call) => {
      await scale(call, call.body.updates);
      const types = new Set(call.body.updates.map(({ type }) => type));
      return (await list(call.app)).filter(({ type }) => types.has(type));
    },
  );
  routes.app(
    {
      path: "PATCH /apps/:app/formation/:formation",
      needs: "operate",
      startsDynos: true,
      body: OneBody,
      response: FormationSchema,
    },
    async (call) => {
      const { type } = named(await list(call.app), call.params["formation"] ?? "");
      await scale(call, [{ ...call.body, type }]);
      return named(await list(call.app), type);
    },
  );

  async function scale(
    { app, user, tell }: AppCall,
    updates: readonly (One & { readonly type: string })[],
  ): Promise<void> {
    tell({ updates: updates.map(({ type, quantity, size }) => ({ type, quantity, size })) });
    const all = await store.formation.change(app.id, updates.map(changeOf));
    const line = all.toSorted((one, other) => (one.type < other.type ? -1 : 1));
    sayAction(
      context,
      app,
      user,
      `Scaled to ${line.map((each) => `${each.type}@${each.quantity}:${each.size}`).join(" ")}`,
    );
    supervision.nudge(app.id);
  }

  async function commandsOf(app: App): Promise<Readonly<Record<string, string>>> {
    const release = app.currentReleaseId === null ? undefined : await store.releases.byId(app.currentReleaseId);
    const slug = release?.slugId ? await store.slugs.byId(release.slugId) : undefined;
    return slug?.processTypes ?? {};
  }
}

function changeOf(update: One & { readonly type: string }) {
  if (update.docker_image !== undefined && update.docker_image !== null) {
    throw new PlatformError("invalid_params", "Images cannot be released here yet: deploy with git push.");
  }
  const size = update.size ?? sizeNameOf(update.dyno_size);
  const quantity = quantityOf(update.quantity ?? null, update.type);
  return { type: update.type, ...(quantity !== undefined && { quantity }), ...(size !== undefined && { size }) };
}

function quantityOf(quantity: number | string | null, type: string): number | { readonly by: number } | undefined {
  if (quantity === null || typeof quantity === "number") return quantity ?? undefined;
  if (/^\d{1,6}$/.test(quantity)) return Number(quantity);
  if (/^[+-]\d{1,6}$/.test(quantity)) return { by: Number(quantity) };
  throw new PlatformError("invalid_params", `Cannot scale ${type} to ${JSON.stringify(quantity)}: say 2, +1 or -1.`);
}

function named<T extends { readonly id: string; readonly type: string }>(all: readonly T[], wanted: string): T {
  const found = all.find((each) => each.type === wanted || each.id === wanted);
  if (found) return found;
  throw new PlatformError("not_found", `Couldn't find that process type (${wanted}).`, { resource: "formation" });
}

function formationJson(formation: Formation, app: App, commands: Readonly<Record<string, string>>) {
  return {
    app: { id: app.id, name: app.name },
    command: (Object.hasOwn(commands, formation.type) ? commands[formation.type] : undefined) ?? "",
    created_at: dateTime(formation.createdAt),
    dyno_size: constantRef("dyno-size", formation.size),
    id: formation.id,
    quantity: formation.quantity,
    size: formation.size,
    type: formation.type,
    updated_at: dateTime(formation.updatedAt),
  };
}
