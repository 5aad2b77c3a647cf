import { request } from "node:http";
import { join } from "node:path";
import type { Instance } from "../model/instance.ts";
import { errorOf, textOf } from "./client.ts";

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
  const text = await post(join(instance.paths.daemonRun, "admin.sock"), "/tokens", body);
  return JSON.parse(text) as { token: string; email: string }; // our own daemon's answer
}

function post(socketPath: string, path: string, body: unknown): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, path, method: "POST", headers: { "Content-Type": "application/json" } });
    outgoing.once("error", reject);
    outgoing.once("response", (response) => {
      textOf(response).then((text) => {
        const status = response.statusCode ?? 0;
        if (status >= 200 && status < 300) resolve(text);
        else reject(errorOf(status, text));
      }, reject);
    });
    outgoing.end(JSON.stringify(body));
  });
}
