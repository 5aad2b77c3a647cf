import Type, { type Static } from "typebox";
import type { User } from "../../model/app.ts";
import type { Collaborator } from "../../model/collaborator.ts";
import { PlatformError } from "../../model/errors.ts";
import {
  COLLABORATOR_PERMISSIONS,
  isPermission,
  PERMISSION_DESCRIPTIONS,
  PERMISSIONS,
  type Permission,
  wholePermissions,
} from "../../model/permission.ts";
import { sayAction } from "../actions.ts";
import { demand } from "../auth.ts";
import type { ApiContext } from "../context.ts";
import type { AppCall, Routes } from "../route.ts";
import { constantId, DateTime, dateTime, exactly, Named, nullable, Uuid } from "../schema.ts";
import { decodedTwice } from "./accounts.ts";

const PermissionSchema = exactly({ name: Type.String(), description: Type.String() });
const CollaboratorSchema = exactly({
  app: Named,
  created_at: DateTime,
  id: Uuid,
  permissions: Type.Array(PermissionSchema),
  role: nullable(Type.String()),
  updated_at: DateTime,
  user: exactly({ email: Type.String(), federated: Type.Boolean(), id: Uuid }),
});
type CollaboratorJson = Static<typeof CollaboratorSchema>;

const Names = Type.Array(Type.String({ maxLength: 100 }), { maxItems: 100 });
const CreateBody = Type.Object({
  /** E-mail or id; Heroku's clients send either, some as an object. */
  user: Type.Union([
    Type.String(),
    Type.Object({ id: Type.Optional(Type.String()), email: Type.Optional(Type.String()) }),
  ]),
  /** Nobody is sent a message here, whatever it says. */
  silent: Type.Optional(nullable(Type.Boolean())),
  permissions: Type.Optional(nullable(Names)),
});
const ChangeBody = Type.Object({ permissions: Names });

/**
 * Who has a part in an app. Heroku keeps permissions for the apps of teams, below `/teams/apps`; here every app's collaborators have them,
 * and both paths lead to the same.
 */
export function collaboratorRoutes(routes: Routes, context: ApiContext): void {
  const { store } = context;
  for (const apps of ["/apps", "/teams/apps"] as const) {
    const path = `${apps}/:app/collaborators` as const;
    const response = CollaboratorSchema;
    routes.app(
      { path: `GET ${path}`, needs: "view", response: Type.Array(CollaboratorSchema), orderBy: ["id"] },
      (call) => everybody(call),
    );
    routes.app({ path: `POST ${path}`, needs: "manage", body: CreateBody, response, status: 201 }, (call) => add(call));
    routes.app({ path: `GET ${path}/:collaborator`, needs: "view", response }, async (call) => named(call));
    routes.app({ path: `PATCH ${path}/:collaborator`, needs: "manage", body: ChangeBody, response }, (call) =>
      change(call),
    );
    // To leave takes nothing.
    routes.app({ path: `DELETE ${path}/:collaborator`, needs: "view", response }, (call) => remove(call));
  }
  routes.account({ path: "GET /teams/permissions", response: Type.Array(PermissionSchema) }, () =>
    PERMISSIONS.map(permissionJson),
  );

  async function everybody({ app }: AppCall): Promise<CollaboratorJson[]> {
    const [owner, others] = await Promise.all([store.users.byId(app.ownerId), store.collaborators.list(app.id)]);
    if (owner === undefined) throw new Error(`app ${app.id} has no owner`);
    return [
      ownerJson(owner, app),
      ...(await Promise.all(
        others.map(async (each) => collaboratorJson(each, app, await store.users.byId(each.userId))),
      )),
    ];
  }

  /** By id, by e-mail or by the user's id; `~` is the caller. */
  async function named(call: AppCall): Promise<CollaboratorJson> {
    const wanted = wordOf(call);
    const found = (await everybody(call)).find(({ id, user }) => [id, user.email, user.id].includes(wanted));
    if (found) return found;
    throw new PlatformError("not_found", `Couldn't find that collaborator (${wanted}).`, { resource: "collaborator" });
  }

  async function add(call: AppCall<Static<typeof CreateBody>>): Promise<CollaboratorJson> {
    const { app, user, body } = call;
    const person = await userNamed(
      typeof body.user === "string" ? body.user : (body.user.id ?? body.user.email ?? ""),
      user,
    );
    const permissions = permissionsOf(body.permissions ?? COLLABORATOR_PERMISSIONS);
    call.tell({ user: person.email, permissions });
    const made = await store.collaborators.add({ appId: app.id, userId: person.id, permissions });
    sayAction(context, app, user, `Add collaborator ${person.email} with ${permissions.join(", ")}`);
    return collaboratorJson(made, app, person);
  }

  async function change(call: AppCall<Static<typeof ChangeBody>>): Promise<CollaboratorJson> {
    const { app, user, body } = call;
    const before = await named(call);
    if (before.role === "owner")
      throw new PlatformError("invalid_params", `${before.user.email} owns ${app.name}, and may do everything.`);
    const permissions = permissionsOf(body.permissions);
    call.tell({ user: before.user.email, permissions });
    const changed = await store.collaborators.setPermissions(before.id, permissions);
    sayAction(context, app, user, `Give collaborator ${before.user.email} ${permissions.join(", ")}`);
    return collaboratorJson(changed, app, await store.users.byId(before.user.id));
  }

  async function remove(call: AppCall): Promise<CollaboratorJson> {
    const { app, user, access } = call;
    if (wordOf(call) !== user.email && wordOf(call) !== user.id) demand(access, "manage");
    const gone = await named(call);
    if (gone.role === "owner")
      throw new PlatformError("invalid_params", `${gone.user.email} owns ${app.name}, and cannot leave it.`);
    call.tell({ user: gone.user.email });
    await store.collaborators.remove(gone.id);
    sayAction(context, app, user, `Remove collaborator ${gone.user.email}`);
    return gone;
  }

  async function userNamed(wanted: string, caller: User): Promise<User> {
    const listed = (await store.users.list()).find(({ id, email }) => id === wanted || email === wanted.toLowerCase());
    const found = wanted === "~" ? caller : listed;
    if (found) return found;
    throw new PlatformError(
      "not_found",
      `There is no user ${wanted} here. An operator of the platform adds them: stator users:add EMAIL.`,
      { resource: "user" },
    );
  }
}

function wordOf({ params, user }: AppCall): string {
  const word = decodedTwice(params["collaborator"] ?? "").toLowerCase();
  return word === "~" ? user.email : word;
}

function permissionsOf(names: readonly string[]): readonly Permission[] {
  const wrong = names.find((name) => !isPermission(name));
  if (wrong !== undefined)
    throw new PlatformError(
      "invalid_params",
      `There is no permission ${wrong}; give some of: ${PERMISSIONS.join(", ")}.`,
    );
  return wholePermissions(names.filter(isPermission));
}

function permissionJson(name: Permission) {
  return { name, description: PERMISSION_DESCRIPTIONS[name] };
}

function ownerJson(
  owner: User,
  app: { readonly id: string; readonly name: string; readonly createdAt: number },
): CollaboratorJson {
  return {
    app: { id: app.id, name: app.name },
    created_at: dateTime(app.createdAt),
    id: constantId("collaborator", `${app.id}/${owner.id}`),
    permissions: PERMISSIONS.map(permissionJson),
    role: "owner",
    updated_at: dateTime(app.createdAt),
    user: { email: owner.email, federated: false, id: owner.id },
  };
}

function collaboratorJson(
  { id, userId, permissions, createdAt, updatedAt }: Collaborator,
  app: { readonly id: string; readonly name: string },
  user: User | undefined,
): CollaboratorJson {
  return {
    app: { id: app.id, name: app.name },
    created_at: dateTime(createdAt),
    id,
    permissions: permissions.map(permissionJson),
    role: null,
    updated_at: dateTime(updatedAt),
    user: { email: user?.email ?? "", federated: false, id: userId },
  };
}
