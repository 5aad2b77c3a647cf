import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { silentLogger } from "../lib/logger.ts";
import { SimClock } from "../lib/sim-clock.ts";
import type { Listen } from "./shared-port.ts";
import { listenerOn, SshDoor } from "./ssh-door.ts";

/** In our own process: the other way takes root. */
const listen: Listen = async (host, port, take) => {
  const server = createServer(take).listen({ host, port, reusePort: true });
  await once(server, "listening");
  return server;
};
const never = new AbortController().signal;
/** Each test has an address of its own, and a port that needs no privilege. */
let last = 1;
const place = () => ({ address: `127.91.82.${last++}`, port: 28_080 });
const knock = ({ address, port }: ReturnType<typeof place>): Socket => connect(port, address).on("error", () => {}); // nobody there: told by `close`

const closed = (socket: Socket) => new Promise<void>((resolve) => socket.once("close", () => resolve()));

test("nobody listens before it is asked for, nor ten seconds after the last who asked", async () => {
  const clock = new SimClock();
  const at = place();
  await using door = new SshDoor({ ...at, listen, clock, logger: silentLogger });
  await closed(knock(at));
  assert.equal(await door.refusal(), null);
  const early = knock(at);
  await once(early, "connect");
  early.write("hello");
  const client = (await door.next(never)) as Socket;
  const [said] = (await once(client, "data")) as [Buffer];
  assert.equal(said.toString(), "hello");
  const waiting = door.next(never);
  await clock.advance(60_000);
  const late = knock(at);
  await waiting;
  await clock.advance(10_001);
  await closed(knock(at));
  for (const socket of [early, late]) socket.destroy();
});

test("who gives up waiting is not handed anybody", async () => {
  const clock = new SimClock();
  const at = place();
  await using door = new SshDoor({ ...at, listen, clock, logger: silentLogger });
  const over = new AbortController();
  const given = door.next(over.signal);
  await door.refusal();
  over.abort();
  await assert.rejects(given);
  const socket = knock(at);
  await once(socket, "connect");
  const client = (await door.next(never)) as Socket;
  assert.equal(client.destroyed, false);
  socket.destroy();
});

test("more than can wait are sent away", async () => {
  const at = place();
  await using door = new SshDoor({ ...at, listen, clock: new SimClock(), logger: silentLogger });
  await door.refusal();
  const sockets = Array.from({ length: 20 }, () => knock(at).resume());
  const gone = await Promise.race([
    Promise.all(sockets.map(closed)),
    new Promise<string>((resolve) => {
      let closed = 0;
      for (const socket of sockets) socket.once("close", () => ++closed === 4 && resolve("four"));
    }),
  ]);
  assert.equal(gone, "four");
  for (const socket of sockets) socket.destroy();
});

test("where another has the port, on this address or on all of them, it says so; and again when asked again", async () => {
  for (const host of ["own", "0.0.0.0"] as const) {
    const at = { ...place(), port: 28_081 };
    const other = createServer();
    other.listen(at.port, host === "own" ? at.address : host);
    await once(other, "listening");
    await using door = new SshDoor({ ...at, listen, clock: new SimClock(), logger: silentLogger });
    assert.match((await door.refusal()) ?? "", /Another program/);
    await assert.rejects(door.next(never), /Another program/);
    other.close();
    await once(other, "close");
    assert.equal(await door.refusal(), null);
  }
});

test("turned off", async () => {
  await using door = new SshDoor({ address: null, listen, clock: new SimClock(), logger: silentLogger });
  assert.match((await door.refusal()) ?? "", /turned .* off/);
});

test("the kernel's table of who listens", () => {
  const table = [
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    "   0: 0302017F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1",
    "   1: 0402017F:0050 0402017F:AAAA 01 00000000:00000000 00:00000000 00000000     0        0 1 1",
  ].join("\n");
  assert.equal(listenerOn(table, "127.1.2.3", 80), "4711");
  assert.equal(listenerOn(table, "127.1.2.3", 81), undefined);
  assert.equal(listenerOn(table, "127.1.2.4", 80), undefined, "a connection, not a listener");
});
