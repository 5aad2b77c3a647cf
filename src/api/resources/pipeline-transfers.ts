import Type from "typebox";
import type { App, User } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Pipeline } from "../../model/pipeline.ts";
import { sayAction } from "../actions.ts";
import type { ApiContext } from "../context.ts";
import type { Routes } from "../route.ts";
import { exactly, Uuid } from "../schema.ts";
import { pipelineNamed } from "./pipelines.ts";

const OwnerSchema = exactly({ id: Uuid, type: Type.String() });
const TransferSchema = exactly({
  new_owner: OwnerSchema,
  pipeline: exactly({ id: Uuid }),
  previous_owner: OwnerSchema,
});

const TransferBody = Type.Object({
  /** By id, as clients find it at `GET /users/:account`, or by e-mail. */
  new_owner: Type.Object({ id: Type.String({ maxLength: 300 }), type: Type.String({ maxLength: 20 }) }),
  pipeline: Type.Object({ id: Type.String({ maxLength: 200 }) }),
});

/**
 * A pipeline's owner gives it to another user, whose it is at once. The apps in it that were theirs too are offered, as by
 * `POST /account/app-transfers`: nobody comes to own what runs without saying so.
 */
export function pipelineTransferRoutes(routes: Routes, context: ApiContext): void {
  const { store } = context;
  routes.account(
    { path: "POST /pipeline-transfers", power: "global", body: TransferBody, response: TransferSchema, status: 201 },
    async ({ user, body, reply, tell }) => {
      if (body.new_owner.type !== "user")
        throw new PlatformError("invalid_params", "There are no teams here: a pipeline goes to another user.");
      const pipeline = await pipelineNamed(body.pipeline.id, user, context);
      const heir = await userNamed(body.new_owner.id);
      if (heir.id === user.id) throw new PlatformError("invalid_params", `${pipeline.name} is yours already.`);
      tell({ pipeline: pipeline.name, new_owner: heir.email });
      const apps = await appsOf(pipeline, user);
      await store.transaction(async (inside) => {
        await inside.pipelines.give(pipeline.id, heir.id);
        for (const { id } of apps) await inside.appTransfers.create({ appId: id, recipientId: heir.id });
      });
      for (const app of apps) sayAction(context, app, user, `Offer the app to ${heir.email}`);
      if (apps.length > 0) reply.header("Warning-Message", offered(apps));
      return {
        new_owner: { id: heir.id, type: "user" },
        pipeline: { id: pipeline.id },
        previous_owner: { id: user.id, type: "user" },
      };
    },
  );

  async function userNamed(wanted: string): Promise<User> {
    const found = (await store.users.list()).find(({ id, email }) => id === wanted || email === wanted.toLowerCase());
    if (found) return found;
    throw new PlatformError("not_found", `There is no user ${wanted} here.`, { resource: "user" });
  }

  /** Those in the pipeline that are the user's own. */
  async function appsOf({ id }: Pipeline, user: User): Promise<readonly App[]> {
    const apps = await Promise.all((await store.pipelines.couplings(id)).map(({ appId }) => store.apps.byId(appId)));
    return apps.flatMap((app) => (app?.ownerId === user.id ? [app] : []));
  }
}

function offered(apps: readonly App[]): string {
  const names = apps.map(({ name }) => name).toSorted();
  return `The pipeline is theirs; its apps are offered to them, and become theirs by stator apps:transfers:accept: ${names.join(", ")}`;
}
