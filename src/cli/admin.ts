import { request } from "node:http";
import { join } from "node:path";
import type { Instance } from "../model/instance.ts";
import { errorOf, textOf, UnreachableError } from "./client.ts";

export interface TokenRequest {
  readonly description: string;
  /** Whose it is; made if there is no such person. Absent: the owner's. */
  readonly email?: string;
}

/** Makes a token through the daemon's admin socket, which only root and the daemon's own user can open. */
export async function createToken(
  instance: Instance,
  body: TokenRequest,
): Promise<{ readonly token: string; readonly email: string }> {
  const text = await call(instance, "POST", "/tokens", body);
  return JSON.parse(text) as { token: string; email: string }; // our own daemon's answer
}

/** Every app of the platform, through the same socket. */
export async function listApps(instance: Instance): Promise<readonly { readonly id: string; readonly name: string }[]> {
  return JSON.parse(await call(instance, "GET", "/apps")) as { id: string; name: string }[]; // our own daemon's answer
}

/** There while the daemon of this instance answers. */
export const adminSocketOf = ({ paths }: Instance): string => join(paths.daemonRun, "admin.sock");

function call(instance: Instance, method: string, path: string, body?: unknown): Promise<string> {
  const socketPath = adminSocketOf(instance);
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, path, method, headers });
    outgoing.once("error", (cause) => reject(unreachable(cause)));
    outgoing.once("response", (response) => {
      textOf(response).then((text) => {
        const status = response.statusCode ?? 0;
        if (status >= 200 && status < 300) resolve(text);
        else reject(errorOf(status, text));
      }, reject);
    });
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function unreachable(cause: Error): UnreachableError {
  const what = `No answer from the platform on this machine: ${cause.message}.`;
  return new UnreachableError(`${what} Look with \`stator status\`, start it with \`stator up\`.`, { cause });
}
