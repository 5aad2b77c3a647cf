import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { test } from "node:test";
import { connectedPeers } from "./network-range.ts";

test("who is connected, of both families' tables, and nobody else", () => {
  const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 020200C0:0016 3505140A:D431 01 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 020200C0:0016 0605140A:D431 06 00000000:00000000 00:00000000 00000000     0        0 2 1
`;
  assert.deepEqual(connectedPeers(tcp), ["10.20.5.53"]);
  const tcp6 = `   0: 0000000000000000FFFF0000020200C0:0016 0000000000000000FFFF00000700090A:D431 01 00000000:00000000 00:00000000
   1: 000080FE00000000FF00FC0001000000:0016 000080FE00000000FF00FC0002000000:D431 01 00000000:00000000 00:00000000`;
  assert.deepEqual(connectedPeers(tcp6), ["10.9.0.7"]);
  assert.deepEqual(connectedPeers(""), []);
});

test("as this kernel writes it", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect({
    port: (server.address() as AddressInfo).port,
    host: "127.0.0.1",
    localAddress: "127.0.0.77",
  });
  const [accepted] = await once(server, "connection");
  assert.ok(connectedPeers(readFileSync("/proc/net/tcp", "utf8")).includes("127.0.0.77"));
  client.destroy();
  accepted.destroy();
  server.close();
});
