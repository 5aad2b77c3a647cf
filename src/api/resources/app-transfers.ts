import Type, { type Static } from "typebox";
import type { App, User } from "../../model/app.ts";
import type { AppTransfer } from "../../model/app-transfer.ts";
import { PlatformError } from "../../model/errors.ts";
import { COLLABORATOR_PERMISSIONS } from "../../model/permission.ts";
import { sayAction } from "../actions.ts";
import { appFor } from "../auth.ts";
import type { ApiContext } from "../context.ts";
import type { AccountCall, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, Named, nullable, Person, Uuid } from "../schema.ts";

const TransferSchema = exactly({
  app: Named,
  created_at: DateTime,
  id: Uuid,
  owner: Person,
  recipient: Person,
  state: Type.Enum(["pending", "accepted", "declined"]),
  updated_at: DateTime,
});

const CreateBody = Type.Object({
  app: Type.String({ maxLength: 200 }),
  /** E-mail or id. */
  recipient: Type.String({ maxLength: 300 }),
  /** Nobody is sent a message here, whatever it says. */
  silent: Type.Optional(nullable(Type.Boolean())),
});
const AnswerBody = Type.Object({ state: Type.Enum(["accepted", "declined"]) });

/**
 * An app's owner offers it to somebody, who accepts or declines. Accepted, it is theirs, and who owned it stays as a collaborator; what
 * runs is not touched.
 */
export function appTransferRoutes(routes: Routes, context: ApiContext): void {
  const { store } = context;
  const path = "/account/app-transfers" as const;
  const response = TransferSchema;
  routes.account(
    { path: `GET ${path}`, response: Type.Array(TransferSchema), orderBy: ["id", "created_at"] },
    async ({ user }) => Promise.all((await store.appTransfers.list(user.id)).map(json)),
  );
  routes.account({ path: `POST ${path}`, power: "global", body: CreateBody, response, status: 201 }, async (call) => {
    const { user, body, tell, about } = call;
    const { app } = await appFor(user, body.app, store);
    about(app);
    if (app.ownerId !== user.id)
      throw new PlatformError("forbidden", `Only the owner of ${app.name} can transfer it to somebody else.`);
    const recipient = await userNamed(body.recipient);
    tell({ recipient: recipient.email });
    const transfer = await store.appTransfers.create({ appId: app.id, recipientId: recipient.id });
    sayAction(context, app, user, `Offer the app to ${recipient.email}`);
    return json(transfer);
  });
  routes.account({ path: `GET ${path}/:transfer`, response }, async (call) => json(await named(call)));
  routes.account({ path: `PATCH ${path}/:transfer`, power: "global", body: AnswerBody, response }, async (call) => {
    const { user, body, tell, about } = call;
    const transfer = await named(call);
    const app = await appOf(transfer);
    about(app);
    if (transfer.recipientId !== user.id)
      throw new PlatformError("forbidden", "Only the recipient of a transfer can accept or decline it.");
    tell({ state: body.state });
    const answered = await store.appTransfers.answer(transfer.id, body.state, COLLABORATOR_PERMISSIONS);
    sayAction(context, app, user, body.state === "accepted" ? "Accept the app" : "Decline the app");
    return json(answered);
  });
  /** Taken back by its owner, or forgotten by its recipient. */
  routes.account({ path: `DELETE ${path}/:transfer`, power: "global", response }, async (call) => {
    const transfer = await named(call);
    const gone = await json(transfer);
    call.about(gone.app);
    await store.appTransfers.remove(transfer.id);
    return gone;
  });

  /** By id, or by its app's name or id. Others' are not there. */
  async function named({ user, params }: AccountCall): Promise<AppTransfer> {
    const wanted = params["transfer"] ?? "";
    for (const transfer of await store.appTransfers.list(user.id)) {
      if (transfer.id === wanted || transfer.appId === wanted || (await appOf(transfer)).name === wanted)
        return transfer;
    }
    throw new PlatformError("not_found", `Couldn't find that app transfer (${wanted}).`, { resource: "app_transfer" });
  }

  async function appOf({ appId }: AppTransfer): Promise<App> {
    const app = await store.apps.byId(appId);
    if (app) return app;
    throw new PlatformError("not_found", "Couldn't find that app.", { resource: "app" }); // destroyed just now
  }

  async function userNamed(wanted: string): Promise<User> {
    const found = (await store.users.list()).find(({ id, email }) => id === wanted || email === wanted.toLowerCase());
    if (found) return found;
    throw new PlatformError(
      "not_found",
      `There is no user ${wanted} here, and there are no teams. An operator of the platform adds users: stator users:add EMAIL.`,
      { resource: "user" },
    );
  }

  async function json(transfer: AppTransfer): Promise<Static<typeof TransferSchema>> {
    const app = await appOf(transfer);
    const [owner, recipient] = await Promise.all([person(transfer.ownerId), person(transfer.recipientId)]);
    return {
      app: { id: app.id, name: app.name },
      created_at: dateTime(transfer.createdAt),
      id: transfer.id,
      owner,
      recipient,
      state: transfer.state,
      updated_at: dateTime(transfer.updatedAt),
    };
  }

  async function person(id: string) {
    return { id, email: (await store.users.byId(id))?.email ?? "" };
  }
}
