import { createServer, type Server, type Socket } from "node:net";
import { note } from "./output.ts";

/** Listens on this machine's loopback alone: what comes in goes to a dyno. Throws where the port is taken. */
export async function listenLocally(port: number, take: (socket: Socket) => Promise<void>): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {}); // its close follows
    take(socket).catch((error: unknown) => {
      note(` ›   Warning: ${error instanceof Error ? error.message : String(error)}`);
      socket.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return server;
}

/** Until somebody types Ctrl-C, or ends us. */
export async function untilInterrupted(): Promise<void> {
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
}
