/** The real HAProxy and the real SSH door, both on port 80 as an installation has them; `door.test.ts` runs this. Throws where something fails. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { listenBeside } from "../../src/host/shared-port.ts";
import { SshDoor } from "../../src/host/ssh-door.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { run } from "../../src/lib/command.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { SimClock } from "../../src/lib/sim-clock.ts";
import { EXEC_PORT } from "../../src/model/exec-address.ts";
import { ROUTER_UID, RouterRig } from "./router-rig.ts";

const ADDRESS = "127.91.82.7";
const never = new AbortController().signal;

await run("ip", ["link", "set", "lo", "up"]);

await using rig = await RouterRig.open({ httpPort: EXEC_PORT });
const app = rig.app();
await app.set({ dynoIds: [await rig.dyno("web.1")] });

const clock = new SimClock();
await using door = new SshDoor({ address: ADDRESS, listen: listenBeside(ROUTER_UID), clock, logger: silentLogger });

/** A byte to a door that stands and back, and a request to the router beside it. */
async function bothAnswer(): Promise<Socket> {
  const client = connect(EXEC_PORT, ADDRESS);
  client.write("SSH-2.0-test\r\n");
  const server = (await door.next(never)) as Socket;
  const [said] = (await once(server, "data")) as [Buffer];
  assert.equal(String(said), "SSH-2.0-test\r\n");
  server.write("SSH-2.0-ours\r\n");
  const [answered] = (await once(client, "data")) as [Buffer];
  assert.equal(String(answered), "SSH-2.0-ours\r\n");
  assert.equal((await app.ask()).status, 200);
  return client;
}

const throughHaproxy = async (): Promise<string> => {
  const client = connect(EXEC_PORT, ADDRESS);
  client.end("SSH-2.0-test\r\n");
  return text(client);
};

assert.match(await throughHaproxy(), /^HTTP\/1\.1 400 /, "before anybody is awaited the router has that address too");
assert.equal(await door.refusal(), null);
const open = await bothAnswer();

await rig.haproxy?.reload();
(await bothAnswer()).destroy();

// Its sockets are made anew while the door, and a connection that came by it, are there.
const before = rig.pid;
process.kill(before, "SIGKILL");
while (rig.haproxy?.pid === before || rig.haproxy?.pid === undefined) await systemClock.sleep(10, never);
await app.set({ state: "maintenance" });
await app.set({ state: "serve" });
(await bothAnswer()).destroy();
assert.equal(open.destroyed, false, "the connection went on");
open.destroy();

await clock.advance(10_001);
assert.match(await throughHaproxy(), /^HTTP\/1\.1 400 /, "the door is shut again");

// Another user's sockets, as those of another installation's router, are not shared.
await using stranger = new SshDoor({
  address: "127.91.82.8",
  listen: listenBeside(ROUTER_UID + 1),
  clock,
  logger: silentLogger,
});
assert.match((await stranger.refusal()) ?? "", /^Another program has port 80/);
