import Type, { type Static } from "typebox";
import type { User } from "../../model/app.ts";
import type { DynoRecord } from "../../model/dyno.ts";
import { PlatformError } from "../../model/errors.ts";
import { environment, windowOf } from "../../run/call-environment.ts";
import { commandFor } from "../../run/one-off.ts";
import type { SessionRequest } from "../../run/sessions.ts";
import type { Visit } from "../../run/visits.ts";
import type { Store } from "../../store/store.ts";
import { nullable } from "../schema.ts";

/**
 * `run:inside` (platform-api 3.1) and, ours, a connection to a port of the dyno, or the content of one of its files: one of the
 * three. `attach`, `size` and `type`, which the official command line may send, say nothing here.
 */
export const InsideBody = Type.Object({
  command: Type.Optional(Type.String({ maxLength: 100_000 })),
  env: Type.Optional(nullable(Type.Record(Type.String(), Type.Union([Type.String(), Type.Number()])))),
  force_no_tty: Type.Optional(nullable(Type.Boolean())),
  attach: Type.Optional(nullable(Type.Boolean())),
  size: Type.Optional(Type.Unknown()),
  type: Type.Optional(Type.Unknown()),
  connect: Type.Optional(Type.Object({ host: Type.Optional(Type.String({ maxLength: 253 })), port: Type.Integer() })),
  file: Type.Optional(Type.String({ maxLength: 4096 })),
});

/** So much of a command stands in the audit log. */
const COMMAND_TOLD = 300;
export const commandTold = (command: string): string => command.slice(0, COMMAND_TOLD);

/** Throws `invalid_params`. */
export async function visitOf(
  body: Static<typeof InsideBody>,
  dyno: DynoRecord,
  user: User,
  store: Pick<Store, "releases" | "slugs">,
): Promise<Visit> {
  const { command, connect, file } = body;
  if ([command, connect, file].filter((each) => each !== undefined).length !== 1)
    throw new PlatformError("invalid_params", "One of command, connect and file says what is wanted in the dyno.");
  const dynoId = dyno.id;
  if (connect !== undefined) {
    const { host = "127.0.0.1", port } = connect;
    if (port < 1 || port > 65_535) throw new PlatformError("invalid_params", "A port is a number from 1 to 65535.");
    return { kind: "connection", dynoId, to: { host, port } };
  }
  if (file !== undefined) {
    if (file === "" || file.includes("\0")) throw new PlatformError("invalid_params", "file is no path.");
    return { kind: "file", dynoId, path: file };
  }
  const terminal = body.force_no_tty === true ? null : windowOf(body.env ?? {});
  const request = {
    command: commandFor(command ?? "", { processTypes: await processTypesOf(dyno, store) }),
    env: environment(body.env ?? {}, terminal !== null),
    terminal,
    attended: { userEmail: user.email },
  };
  return { kind: "process", dynoId, request };
}

export const commandOf = ({ command }: SessionRequest): string => [command].flat().join(" ");

/** What the audit log says of it. */
export function toldOf(dyno: DynoRecord, visit: Visit): Readonly<Record<string, unknown>> {
  switch (visit.kind) {
    case "process":
      return { dyno: dyno.name, command: commandTold(commandOf(visit.request)) };
    case "connection":
      return { dyno: dyno.name, connect: `${visit.to.host}:${visit.to.port}` };
    case "file":
      return { dyno: dyno.name, file: visit.path.slice(0, COMMAND_TOLD) };
  }
}

async function processTypesOf(dyno: DynoRecord, store: Pick<Store, "releases" | "slugs">) {
  const release = await store.releases.byId(dyno.releaseId);
  const slug = release?.slugId == null ? undefined : await store.slugs.byId(release.slugId);
  return slug?.processTypes ?? {};
}
