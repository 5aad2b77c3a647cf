import { connect, createServer } from "node:net";
import { pipeline } from "node:stream";
import { Limit } from "../../src/lib/limit.ts";

/**
 * Takes connections on a port of this host, and makes one for each to another port, one after the other. QEMU listens on the ports that it
 * forwards with a backlog of one: of twenty connections at once it reset thirteen, half a minute later, before its machine had seen them.
 * For as long as this process lives.
 */
export async function forwardOneByOne(port: number, to: number): Promise<void> {
  const connecting = new Limit(1);
  const server = createServer({ allowHalfOpen: true }, (client) => {
    client.on("error", () => {}); // until there is somebody to tell
    void connecting.run(async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const onward = connect({ port: to, host: "127.0.0.1", allowHalfOpen: true });
      onward.once("connect", resolve).once("close", resolve);
      pipeline(client, onward, () => {}); // a side that breaks off ends both
      pipeline(onward, client, () => {});
      await promise;
    });
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
  server.unref();
}
