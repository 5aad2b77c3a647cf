import type { Duplex } from "node:stream";
import { pipeline } from "node:stream";
import type { TLSSocket } from "node:tls";
import { MarkerKeeper } from "../run/exit-marker.ts";
import { ATTACH_SECRET } from "../run/secrets.ts";
import type { Access } from "./access.ts";
import type { Upstream } from "./upstream.ts";

/** `SECRET?relay=TICKET`, as `attach_url` had it. */
const WORD = /^([\w-]+)\?relay=([\w-]+)$/;

/**
 * Joins a client of rendezvous with its dyno (platform-api 3.1). Without the relay's ticket, or where the platform does not answer,
 * it is cut off: that protocol knows no answers.
 */
export async function carryRendezvous(
  line: string,
  client: TLSSocket,
  { access, upstream }: { readonly access: Access; readonly upstream: Upstream },
): Promise<void> {
  const [, secret = "", ticket = ""] = WORD.exec(line) ?? [];
  if (!ATTACH_SECRET.test(secret) || !access.isTicket(ticket)) {
    client.destroy();
    return;
  }
  client.setNoDelay(true);
  let platform: TLSSocket;
  try {
    platform = await upstream.connect();
  } catch {
    client.destroy();
    return;
  }
  platform.on("error", () => client.destroy());
  client.once("close", () => platform.destroy());
  if (client.destroyed) return void platform.destroy();
  platform.write(`${secret}\r\n`);
  pipeline(client, platform, () => {}); // one that breaks ends the other
  try {
    await carryOutput(platform, client);
    client.end();
  } catch {
    client.destroy();
  }
}

/**
 * That client throws its first chunk away, whatever it holds, and looks for the exit status in one chunk: each is written
 * by itself, as the platform did.
 */
async function carryOutput(platform: Duplex, client: Duplex): Promise<void> {
  const keeper = new MarkerKeeper();
  let greeting: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of platform) {
    let rest = chunk as Buffer; // no encoding is set
    if (greeting !== undefined) {
      greeting = Buffer.concat([greeting, rest]);
      const end = greeting.indexOf("\n") + 1;
      if (end === 0) continue;
      await write(client, greeting.subarray(0, end));
      rest = greeting.subarray(end);
      greeting = undefined;
    }
    for (const part of keeper.push(rest)) await write(client, part);
  }
  for (const part of keeper.rest()) await write(client, part);
}

function write(client: Duplex, part: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => client.write(part, (error) => (error ? reject(error) : resolve())));
}
