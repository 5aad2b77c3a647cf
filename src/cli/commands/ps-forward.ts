import { join } from "../../lib/join.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { connectInside, dynoOf, portsOf } from "../inside.ts";
import { listenLocally, untilInterrupted } from "../local-listener.ts";
import { print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const [ports] = input.positionals;
  if (ports === undefined)
    throw new UsageError("Name the port, or a list of ports, to forward: 8080 or 9000:9001,8080");
  const mappings = portsOf(ports, input.text("localPort"));
  const client = new Client();
  const place = { client, app: await appOf(input, client.platform), dyno: dynoOf(input) };
  const servers = [];
  try {
    for (const { local, remote } of mappings) {
      servers.push(
        await listenLocally(local, async (socket) => join(socket, await connectInside(place, { port: remote }))),
      );
      print(`Listening on ${local} and forwarding to ${place.dyno}:${remote}`);
    }
    print("Use CTRL+C to stop port forwarding");
    await untilInterrupted();
  } finally {
    for (const server of servers) server.close();
  }
  process.exit(0); // connections that are open end with us
}
