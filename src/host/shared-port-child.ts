/** What `shared-port.ts` starts: listens as the user of its first argument, hands that over, and ends when it was taken. */
import { createServer } from "node:net";

const [uid, host, port] = process.argv.slice(2);
process.seteuid?.(Number(uid)); // its power to listen below port 1024 stays, by what `setpriv` was told
const server = createServer((early) => early.destroy());
server.once("error", (error: NodeJS.ErrnoException) => process.send?.(error.code ?? "unknown"));
server.listen({ ...(host !== undefined && { host }), port: Number(port), reusePort: true }, () =>
  process.send?.("listens", server),
);
for (const over of ["message", "disconnect"]) process.once(over, () => process.exit(0));
