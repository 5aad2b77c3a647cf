import assert from "node:assert/strict";
import { test } from "node:test";
import { pickResolver, usableResolvers } from "./resolver.ts";

test("name servers are taken in the order of the file", () => {
  assert.deepEqual(usableResolvers("# x\nnameserver 10.0.0.2\nsearch a\n nameserver 1.1.1.1 # y\n", ""), [
    "10.0.0.2",
    "1.1.1.1",
  ]);
});

test("a local stub is used as it is, systemd's by the servers behind it", () => {
  assert.deepEqual(usableResolvers("nameserver 127.0.0.1\n", ""), ["127.0.0.1"]);
  assert.deepEqual(usableResolvers("nameserver 127.0.0.53\n", ""), ["127.0.0.53"]);
  assert.deepEqual(usableResolvers("nameserver 127.0.0.53\n", "nameserver 192.168.1.1\nnameserver fe80::1\n"), [
    "192.168.1.1",
  ]);
});

test("no name server in the file means the host itself", () => {
  assert.deepEqual(usableResolvers("search example.com\n", ""), ["127.0.0.1"]);
});

test("IPv6 servers cannot be reached from dynos", () => {
  assert.deepEqual(usableResolvers("nameserver fd00::1\nnameserver 9.9.9.9\n", ""), ["9.9.9.9"]);
});

test("the first that answers is used, the first of all when none does", async () => {
  assert.equal(await pickResolver(["1.1.1.1", "2.2.2.2"], async (server) => server === "2.2.2.2"), "2.2.2.2");
  assert.equal(await pickResolver(["1.1.1.1", "2.2.2.2"], async () => false), "1.1.1.1");
  assert.equal(await pickResolver([], async () => true), undefined);
});
