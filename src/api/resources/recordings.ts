import Type from "typebox";
import { PlatformError } from "../../model/errors.ts";
import type { RecordingFacts } from "../../run/recordings.ts";
import type { ApiContext } from "../context.ts";
import type { AppCall, Routes } from "../route.ts";
import { DateTime, dateTime, Empty, exactly, nullable, Uuid } from "../schema.ts";
import { sendStream } from "../stream.ts";

const Setting = exactly({ enabled: Type.Boolean() });
const Schema = exactly({
  bytes: Type.Integer(),
  command: Type.String(),
  created_at: DateTime,
  dyno: Type.String(),
  /** null: the session goes on, or broke off. */
  exit_status: nullable(Type.Integer()),
  id: Uuid,
  updated_at: DateTime,
  user: exactly({ email: Type.String() }),
});

/** An extension: recorded sessions (docs/exec.md), for those who manage the app: they may show what config vars hold. */
export function recordingRoutes(routes: Routes, { store, recordings }: ApiContext): void {
  const setting = "/apps/:app/stator/session-recording";
  const all = "/apps/:app/stator/recordings";

  routes.app({ path: `GET ${setting}`, needs: "manage", response: Setting }, async ({ app }) => ({
    enabled: await store.recordedApps.has(app.id),
  }));
  routes.app({ path: `PATCH ${setting}`, needs: "manage", body: Setting, response: Setting }, async (call) => {
    const { enabled } = call.body;
    call.tell({ enabled });
    await store.recordedApps.set(call.app.id, enabled);
    return { enabled };
  });

  routes.app(
    { path: `GET ${all}`, needs: "manage", response: Type.Array(Schema), orderBy: ["created_at", "id"] },
    async ({ app }) => (await recordings.list(app.id)).map(recordingJson),
  );
  routes.app({ path: `GET ${all}/:recording`, needs: "manage", response: Schema }, async (call) => {
    const facts = await recordings.get(call.app.id, idIn(call));
    if (facts === undefined) throw unknown();
    return recordingJson(facts);
  });
  routes.app(
    { path: `GET ${all}/:recording/cast`, needs: "manage", power: "read", audit: "read", response: Type.Unknown() },
    async (call) => {
      const body = await recordings.read(call.app.id, idIn(call));
      if (body === undefined) throw unknown();
      return sendStream(call.reply, { type: "application/x-asciicast", body });
    },
  );
  routes.app({ path: `DELETE ${all}/:recording`, needs: "manage", response: Empty }, async (call) => {
    if (!(await recordings.remove(call.app.id, idIn(call)))) throw unknown();
    return {};
  });
}

const idIn = ({ params }: AppCall): string => params["recording"] ?? "";

function unknown(): PlatformError {
  return new PlatformError("not_found", "Couldn't find that recording.", { resource: "recording" });
}

function recordingJson(facts: RecordingFacts) {
  return {
    bytes: facts.bytes,
    command: facts.command,
    created_at: dateTime(facts.startedAt),
    dyno: facts.dyno,
    exit_status: facts.exitStatus,
    id: facts.id,
    updated_at: dateTime(facts.changedAt),
    user: { email: facts.userEmail },
  };
}
