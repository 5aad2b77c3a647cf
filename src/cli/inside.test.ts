import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Server } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { portsOf } from "./inside.ts";
import { listenLocally } from "./local-listener.ts";
import { castEvent } from "./recordings.ts";
import { readSocks, type SocksTarget } from "./socks.ts";

test("ports to forward: one, a pair, a list; anything else is refused", () => {
  assert.deepEqual(portsOf("8080"), [{ local: 8080, remote: 8080 }]);
  assert.deepEqual(portsOf("4000,9000:9001"), [
    { local: 4000, remote: 4000 },
    { local: 9000, remote: 9001 },
  ]);
  assert.deepEqual(portsOf("4000", "80"), [{ local: 4000, remote: 80 }]);
  for (const bad of ["", "0", "70000", "a", "80:", "80:81:82", "80,", "-1", "8080 ", "1e3"])
    assert.throws(() => portsOf(bad), /ports are given as/, bad);
});

test("what a player passes over: half a line, and what is no event", () => {
  assert.deepEqual(castEvent('[1.5,"o","text"]'), { at: 1.5, type: "o", text: "text" });
  for (const bad of ["", '[1.5,"o","te', "{}", '["1","o","x"]', "[1]", "null"])
    assert.equal(castEvent(bad), undefined, bad);
});

/** What the proxy makes of these bytes, and what it answers. */
async function socks(bytes: readonly number[]): Promise<{ target?: SocksTarget; refusal?: string; answer: string }> {
  const asked = Promise.withResolvers<{ target: SocksTarget } | { refusal: string }>();
  const server: Server = await listenLocally(0, async (socket) => {
    await readSocks(socket).then(
      (target) => asked.resolve({ target }),
      (error: unknown) => asked.resolve({ refusal: String(error) }),
    );
    socket.end();
  });
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null && address.address === "127.0.0.1");
  const client = connect(address.port, "127.0.0.1");
  await once(client, "connect");
  for (const byte of bytes) client.write(Buffer.of(byte)); // cut anywhere
  const answer = text(client).then((all) => Buffer.from(all, "latin1").toString("hex"));
  client.end();
  const outcome = await asked.promise;
  server.close();
  return { ...outcome, answer: await answer };
}

test("the proxy listens on the loopback, and speaks SOCKS 5: names, both kinds of address, connections alone", async () => {
  const hello = [5, 1, 0];
  const name = [...Buffer.from("db.test")];
  assert.deepEqual((await socks([...hello, 5, 1, 0, 3, name.length, ...name, 0x15, 0x38])).target, {
    host: "db.test",
    port: 5432,
  });
  assert.deepEqual((await socks([...hello, 5, 1, 0, 1, 127, 0, 0, 1, 0, 80])).target, { host: "127.0.0.1", port: 80 });
  const six = [0x20, 1, 0xd, 0xb8, ...Array.from({ length: 11 }, () => 0), 1];
  assert.deepEqual((await socks([...hello, 5, 1, 0, 4, ...six, 0, 80])).target, {
    host: "2001:0db8:0000:0000:0000:0000:0000:0001",
    port: 80,
  });
  assert.match((await socks([4, 1])).refusal ?? "", /no SOCKS 5 client/);
  const bound = await socks([...hello, 5, 2, 0, 1, 127, 0, 0, 1, 0, 80]);
  assert.match(bound.refusal ?? "", /Only connections/);
  assert.match(bound.answer, /^05000507/);
  assert.match((await socks([5])).refusal ?? "", /The client left/);
});
