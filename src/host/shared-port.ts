import { Server, type Socket } from "node:net";
import { join } from "node:path";
import { type ChildProcess, ended, start } from "../lib/command.ts";

/** Listens on an address and a port, and gives `take` who comes. Rejects with an error whose `code` says why it cannot. */
export type Listen = (host: string, port: number, take: (client: Socket) => void) => Promise<Server>;

const CHILD = join(import.meta.dirname, "shared-port-child.ts");
const CHILD_MS = 10_000;
/** All that the child keeps of root's power: to listen below port 1024, to be a user, and to read a program in a closed folder. */
const ONLY = "-all,+net_bind_service,+setuid,+dac_read_search";

/**
 * Listens on one address although the router listens on all of them: the narrower one wins. The kernel lets them share a port if both
 * say so (SO_REUSEPORT) and one user made both sockets, so ours is made as the router's user: by a child, since a process has one
 * user at a time, which hands it over and ends. Its real user is root, so that whoever took HAProxy over can neither end nor trace it.
 */
export function listenBeside(routerUid: number): Listen {
  return async (host, port, take) => {
    const command = [process.execPath, CHILD, String(routerUid), host, String(port)];
    const args = ["--inh-caps=-all", `--bounding-set=${ONLY}`, "--securebits=+no_setuid_fixup", "--no-new-privs", "--"];
    const child = start("setpriv", [...args, ...command], { stdio: ["ignore", "ignore", "ignore", "ipc"] });
    const end = ended(child, "setpriv", { timeoutMs: CHILD_MS }).catch(() => undefined); // then it gave nothing
    const answer = await Promise.race([given(child, take), end]);
    await end; // until then some might come to it
    if (answer instanceof Server) return answer;
    throw Object.assign(new Error(`cannot listen on ${host}:${port}`), {
      code: typeof answer === "string" ? answer : "unknown",
    });
  };
}

/** The child's one message: a server that listens, or an error's code. */
function given(child: ChildProcess, take: (client: Socket) => void): Promise<Server | string> {
  return new Promise((resolve) => {
    child.once("message", (code: unknown, server: unknown) => {
      if (server instanceof Server) server.on("connection", take);
      resolve(server instanceof Server ? server : String(code));
      child.send("taken");
    });
  });
}
