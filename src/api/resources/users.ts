import Type, { type Static } from "typebox";
import type { User } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { ApiContext } from "../context.ts";
import type { Call, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, nullable, Uuid } from "../schema.ts";

const UserSchema = exactly({
  created_at: DateTime,
  email: Type.String(),
  id: Uuid,
  name: nullable(Type.String()),
  operator: Type.Boolean(),
  suspended_at: nullable(DateTime),
  updated_at: DateTime,
});
const CreateBody = Type.Object({
  email: Type.String({ maxLength: 300 }),
  operator: Type.Optional(Type.Boolean()),
});
const ChangeBody = Type.Object({ operator: Type.Optional(Type.Boolean()), suspended: Type.Optional(Type.Boolean()) });
const RemoveBody = Type.Object({
  /** Who has their apps from then on: e-mail or id. */
  apps_to: Type.Optional(nullable(Type.String())),
});

/** Ours: who has an account on this platform. Their tokens are made on the platform's machine (`stator token --new`). */
export function userRoutes(routes: Routes, { store }: ApiContext): void {
  const one = "/stator/users/:user" as const;
  const response = UserSchema;
  routes.operator({ path: "GET /stator/users", response: Type.Array(UserSchema), orderBy: ["email", "id"] }, async () =>
    (await store.users.list()).map(userJson),
  );
  routes.operator(
    { path: "POST /stator/users", body: CreateBody, response, status: 201 },
    async ({ body: { email, operator = false }, tell }) => {
      tell({ email, operator });
      if (await store.users.byEmail(email))
        throw new PlatformError("invalid_params", `There is a user ${email} already.`);
      return userJson(
        await store.transaction(async (inside) => {
          const user = await inside.users.ensure(email);
          return operator ? inside.users.update(user.id, { isOperator: true }) : user;
        }),
      );
    },
  );
  routes.operator({ path: `GET ${one}`, response }, async (call) => userJson(await named(call.params["user"])));
  routes.operator({ path: `PATCH ${one}`, body: ChangeBody, response }, async (call) => {
    const { operator, suspended } = call.body;
    const { id, email } = await named(call.params["user"]);
    call.tell({ email, ...call.body });
    const change = {
      ...(operator !== undefined && { isOperator: operator }),
      ...(suspended !== undefined && { isSuspended: suspended }),
    };
    return userJson(await store.users.update(id, change));
  });
  routes.operator(
    { path: `DELETE ${one}`, body: RemoveBody, response },
    async (call: Call<Static<typeof RemoveBody>>) => {
      const user = await named(call.params["user"]);
      const heir = call.body?.apps_to ? await named(call.body.apps_to) : undefined;
      call.tell({ email: user.email, apps_to: heir?.email ?? null });
      const apps = await store.apps.visibleTo(user.id, { field: "id", order: "asc", limit: Number.MAX_SAFE_INTEGER });
      call.about(...apps.map(({ app }) => app));
      await store.users.remove(user.id, heir?.id ?? null);
      return userJson(user);
    },
  );

  async function named(wanted = ""): Promise<User> {
    const found = (await store.users.list()).find(({ id, email }) => id === wanted || email === wanted.toLowerCase());
    if (found) return found;
    throw new PlatformError("not_found", `Couldn't find that user (${wanted}).`, { resource: "user" });
  }
}

function userJson(user: User): Static<typeof UserSchema> {
  return {
    created_at: dateTime(user.createdAt),
    email: user.email,
    id: user.id,
    name: user.name,
    operator: user.isOperator,
    suspended_at: user.suspendedAt === null ? null : dateTime(user.suspendedAt),
    updated_at: dateTime(user.updatedAt),
  };
}
