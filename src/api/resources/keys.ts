import Type, { type Static } from "typebox";
import { PlatformError } from "../../model/errors.ts";
import { parseSshKey } from "../../model/ssh-key.ts";
import type { SshKey } from "../../store/store.ts";
import type { ApiContext } from "../context.ts";
import type { AccountCall, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, Uuid } from "../schema.ts";

const KeySchema = exactly({
  comment: Type.String(),
  created_at: DateTime,
  email: Type.String(),
  fingerprint: Type.String(),
  id: Uuid,
  public_key: Type.String(),
  updated_at: DateTime,
});
const CreateBody = Type.Object({ public_key: Type.String() });

/** Both clients print it once (platform-api 1.4). */
const NO_SSH = "git talks HTTPS here, with your token as the password: keys are kept, and nothing asks for them yet.";

/** People's SSH keys. */
export function keyRoutes(routes: Routes, { store }: ApiContext): void {
  const power = "global";
  const response = KeySchema;
  routes.account({ path: "GET /account/keys", response: Type.Array(KeySchema), orderBy: ["id"] }, async (call) =>
    (await store.sshKeys.list(call.user.id)).map((key) => keyJson(key, call)),
  );
  routes.account({ path: "POST /account/keys", power, body: CreateBody, response, status: 201 }, async (call) => {
    call.tell({ fingerprint: parseSshKey(call.body.public_key)?.fingerprint ?? null });
    const key = await store.sshKeys.add(call.user.id, call.body.public_key);
    call.reply.header("Warning-Message", NO_SSH);
    return keyJson(key, call);
  });
  routes.account({ path: "GET /account/keys/:key", response }, async (call) => keyJson(await named(call), call));
  routes.account({ path: "DELETE /account/keys/:key", power, response }, async (call) => {
    const key = await named(call);
    await store.sshKeys.remove(key.id);
    return keyJson(key, call);
  });

  /** By id or fingerprint. */
  async function named({ params, user }: AccountCall): Promise<SshKey> {
    const wanted = params["key"] ?? "";
    const found = (await store.sshKeys.list(user.id)).find((key) => key.id === wanted || key.fingerprint === wanted);
    if (found) return found;
    throw new PlatformError("not_found", "Couldn't find that key.", { resource: "key" });
  }
}

function keyJson(key: SshKey, { user }: AccountCall): Static<typeof KeySchema> {
  return {
    comment: key.comment,
    created_at: dateTime(key.createdAt),
    email: user.email,
    fingerprint: key.fingerprint,
    id: key.id,
    public_key: key.publicKey,
    updated_at: dateTime(key.updatedAt),
  };
}
