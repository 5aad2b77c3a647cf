import type { FastifyRequest } from "fastify";
import Type from "typebox";
import type { App } from "../../model/app.ts";
import type { Access } from "../../model/collaborator.ts";
import { type DynoRecord, shownDynos } from "../../model/dyno.ts";
import { PlatformError } from "../../model/errors.ts";
import { isFeatureOn } from "../../model/feature.ts";
import { programOf } from "../../model/instance.ts";
import { parseSshKey } from "../../model/ssh-key.ts";
import { addressOf } from "../address.ts";
import { appFor, demand, nameIn } from "../auth.ts";
import type { ApiContext } from "../context.ts";
import type { AccountCall, Routes } from "../route.ts";
import { exactly } from "../schema.ts";
import { refuseIdle } from "./idle-dynos.ts";

const KEY_MAX = 4_096;

const TunnelSchema = exactly({
  /** Of the dyno as its own processes see it: what is forwarded is dialled there. */
  dyno_ip: Type.String(),
  client_user: Type.String(),
  proxy_public_key: Type.String(),
  tunnel_host: Type.String(),
});

/** What the official CLI's `ps:exec`, `ps:copy`, `ps:forward` and `ps:socks` ask before they come by SSH (platform-api 3.7). */
export function execManagerRoutes(routes: Routes, context: ApiContext): void {
  const { store, supervision, ssh, config } = context;
  routes.account(
    { path: "GET /api/v2", power: "write", response: Type.Array(exactly({ dyno_name: Type.String() })) },
    async (call) => {
      const { app } = await accessOf(call);
      return (await enterable(app)).map(({ name }) => ({ dyno_name: name }));
    },
  );
  // A terminal in a dyno can print config vars: as much power as reading them, and as much of a part in the app as `run` takes.
  routes.account(
    {
      path: "PUT /api/v2/:dyno",
      power: "write",
      body: Type.Object({ client_key: Type.String({ maxLength: KEY_MAX }) }),
      response: TunnelSchema,
    },
    async (call) => {
      const { user, token, params, request, body, tell } = call;
      const access = await accessOf(call);
      const wanted = params["dyno"] ?? "";
      tell({ dyno: wanted.slice(0, 300) });
      await demandExec(access.app, context);
      const dyno = (await enterable(access.app)).find(({ name, id }) => name === wanted || id === wanted);
      if (dyno === undefined) {
        await refuseIdle(access.app, wanted, supervision);
        throw new PlatformError("not_found", `Couldn't find that dyno (${wanted}), or it is not up.`, {
          resource: "dyno",
        });
      }
      const refusal = await officialExecRefusal(context, request);
      const tunnelHost = call.address.execAddress ?? config.execAddress;
      if (refusal !== null || tunnelHost === null)
        throw new PlatformError("service_unavailable", refusal ?? "SSH is turned off here.");
      const { tunnel, hostKey } = await ssh.register({
        appId: access.app.id,
        dynoId: dyno.id,
        dynoName: dyno.name,
        userId: user.id,
        tokenId: token.id,
        key: blobOf(body.client_key),
      });
      return {
        dyno_ip: "127.0.0.1",
        client_user: tunnel.name,
        proxy_public_key: hostKey,
        tunnel_host: tunnelHost,
      };
    },
  );

  async function accessOf({ user, request, about }: AccountCall): Promise<Access> {
    const name = nameIn(request.headers.authorization);
    if (name === undefined)
      throw new PlatformError(
        "bad_request",
        "Name the app as the user of Basic authentication, with the token as its password.",
      );
    const access = await appFor(user, name, store);
    about(access.app);
    demand(access, "deploy");
    return access;
  }

  async function enterable(app: App): Promise<readonly DynoRecord[]> {
    const dynos = shownDynos(await store.dynos.list(app.id));
    return dynos.filter(({ kind, state, exit }) => kind !== "build" && state === "up" && exit === null);
  }
}

/** Throws `forbidden` where the app's owner has turned sessions in running dynos off. */
export async function demandExec(app: App, { store }: Pick<ApiContext, "store">): Promise<void> {
  if (isFeatureOn("runtime-heroku-exec", await store.features.list(app.id), app)) return;
  throw new PlatformError(
    "forbidden",
    `Sessions in running dynos are turned off for ${app.name}: turn them on with features:enable runtime-heroku-exec.`,
  );
}

/** Why the official CLI's `ps:exec` cannot work, and what can; null: it works. */
export async function officialExecRefusal(
  { ssh, config }: Pick<ApiContext, "ssh" | "config">,
  request: FastifyRequest,
): Promise<string | null> {
  if (addressOf(request).execAddress !== undefined) return null; // a relay has a door of its own
  const why = isOfThisMachine(request.socket.remoteAddress)
    ? await ssh.refusal()
    : "It comes by SSH to port 80 of a loopback address of the platform's machine, and you are on another.";
  if (why === null) return null;
  const program = programOf(config.instance);
  return `ps:exec, ps:copy, ps:forward and ps:socks of the official CLI cannot work here. ${why} Use these commands of ${program} instead: ${program} ps:exec, and so on.`;
}

function isOfThisMachine(address: string | undefined): boolean {
  return address !== undefined && /^(?:::ffff:)?127\.|^::1$/.test(address);
}

function blobOf(text: string): Buffer {
  const key = parseSshKey(text);
  if (key === undefined) throw new PlatformError("invalid_params", "client_key is no SSH public key.");
  return Buffer.from(key.text.split(" ")[1] ?? "", "base64");
}
