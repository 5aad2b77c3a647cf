import { join } from "../../lib/join.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { connectInside, dynoOf } from "../inside.ts";
import { listenLocally, untilInterrupted } from "../local-listener.ts";
import { print } from "../output.ts";
import { answerSocks, readSocks } from "../socks.ts";

/** The official command line's. */
const PORT = 1080;

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const place = { client, app: await appOf(input, client.platform), dyno: dynoOf(input) };
  await listenLocally(PORT, async (socket) => {
    const target = await readSocks(socket);
    const connection = await connectInside(place, target).catch((error: unknown) => {
      answerSocks(socket, false);
      throw error;
    });
    answerSocks(socket, true);
    join(socket, connection);
  });
  print(`SOCKSv5 proxy server started on port ${PORT}`);
  print("Use CTRL+C to stop the proxy");
  await untilInterrupted();
  process.exit(0); // connections that are open end with us
}
