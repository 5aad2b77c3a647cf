import Type from "typebox";
import { PlatformError } from "../../model/errors.ts";
import type { ApiContext } from "../context.ts";
import type { AppCall, Routes } from "../route.ts";
import { constantId, DateTime, dateTime, exactly, Named, nullable, Uuid } from "../schema.ts";

const Collaborator = exactly({
  app: Named,
  created_at: DateTime,
  id: Uuid,
  permissions: Type.Array(Type.Never()),
  role: nullable(Type.String()),
  updated_at: DateTime,
  user: exactly({ email: Type.String(), federated: Type.Boolean(), id: Uuid }),
});

/** An app belongs to one person; nobody else has a part in it yet. */
export function collaboratorRoutes(routes: Routes, { store }: ApiContext): void {
  routes.app(
    { path: "GET /apps/:app/collaborators", response: Type.Array(Collaborator), orderBy: ["id"] },
    async (call) => [await owner(call)],
  );
  routes.app({ path: "GET /apps/:app/collaborators/:collaborator", response: Collaborator }, async (call) => {
    const wanted = decodeURIComponent(call.params["collaborator"] ?? "").toLowerCase();
    const only = await owner(call);
    if (wanted === only.id || wanted === only.user.email) return only;
    throw new PlatformError("not_found", `Couldn't find that collaborator (${wanted}).`, { resource: "collaborator" });
  });
  for (const path of ["POST /apps/:app/collaborators", "DELETE /apps/:app/collaborators/:collaborator"] as const) {
    routes.app({ path, response: Type.Never() }, () => {
      throw new PlatformError("invalid_params", "Apps cannot be shared here yet: each belongs to the one who made it.");
    });
  }

  async function owner({ app, user }: AppCall) {
    const email = (await store.users.byId(app.ownerId))?.email ?? user.email;
    return {
      app: { id: app.id, name: app.name },
      created_at: dateTime(app.createdAt),
      id: constantId("collaborator", `${app.id}/${app.ownerId}`),
      permissions: [],
      role: "owner",
      updated_at: dateTime(app.createdAt),
      user: { email, federated: false, id: app.ownerId },
    };
  }
}
