import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { systemClock } from "../../lib/clock.ts";
import type { HttpProbe } from "../../model/health.ts";
import { BODY_BYTES_MAX, probeHttp } from "./health-http.ts";

/** A dyno that answers whatever it likes. */
class Dyno implements AsyncDisposable {
  asked = "";
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(answer: (socket: Socket) => void) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {}); // the probe has heard enough
      socket.once("data", (chunk) => {
        this.asked = chunk.toString();
        answer(socket);
      });
    });
  }
  async probe(change: Partial<HttpProbe> = {}, timeoutMs = 2000, signal = new AbortController().signal) {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    const { port } = this.#server.address() as { readonly port: number }; // it listens on TCP
    const probe: HttpProbe = { kind: "http", path: "/up", headers: [], status: null, content: null, ...change };
    return probeHttp(probe, { address: "127.0.0.1", port, clock: systemClock, signal }, timeoutMs);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const saying = (text: string) => new Dyno((socket) => socket.end(text));
const head = (status: number) => `HTTP/1.1 ${status} X\r\nContent-Length: 3\r\n\r\n`;

test("200 to 399 pass, the rest fails; a redirection is not followed", async () => {
  for (const [status, passed] of [
    [200, true],
    [204, true],
    [302, true],
    [399, true],
    [400, false],
    [503, false],
  ] as const) {
    await using dyno = saying(`${head(status).replace("\r\n\r\n", "\r\nLocation: http://127.0.0.1:1/\r\n\r\n")}abc`);
    assert.deepEqual(await dyno.probe(), { passed, text: `answered ${status}` });
  }
});

test("an expected status and an expected content", async () => {
  await using one = saying(`${head(418)}abc`);
  assert.equal((await one.probe({ status: 418 })).passed, true);
  await using two = saying(`${head(200)}abc`);
  assert.deepEqual(await two.probe({ status: 418 }), { passed: false, text: "answered 200" });
  await using three = saying(`${head(200)}abc`);
  assert.equal((await three.probe({ content: "bc" })).passed, true);
  await using four = saying(`${head(200)}abc`);
  assert.deepEqual(await four.probe({ content: "x" }), {
    passed: false,
    text: "answered 200 without the expected content",
  });
});

test("what is asked: path and headers as given, and nothing beside them", async () => {
  await using dyno = saying(`${head(200)}abc`);
  await dyno.probe({
    path: "/a?b=%0d%0a",
    headers: [
      { name: "Host", value: "app.example" },
      { name: "X-A", value: "1" },
    ],
  });
  assert.deepEqual(dyno.asked.toLowerCase().trim().split("\r\n").sort(), [
    "accept: */*",
    "connection: close",
    "get /a?b=%0d%0a http/1.1",
    "host: app.example",
    "user-agent: stator-health-check",
    "x-a: 1",
    "x-forwarded-proto: https",
  ]);
});

test("time is bounded for the whole: silence, a head drop by drop, a body without end", async () => {
  await using silent = new Dyno(() => {});
  assert.deepEqual(await silent.probe({}, 1000), { passed: false, text: "did not answer within 1 s" });
  await using slow = new Dyno((socket) => {
    socket.write("HTTP/1.1 200 OK\r\n");
    const timer = setInterval(() => socket.write("X: y\r\n"), 20);
    socket.on("close", () => clearInterval(timer));
  });
  assert.match((await slow.probe({}, 1000)).text, /did not answer/);
  await using dripping = new Dyno((socket) => {
    socket.write("HTTP/1.1 200 OK\r\n\r\n");
    const timer = setInterval(() => socket.write("x"), 20);
    socket.on("close", () => clearInterval(timer));
  });
  assert.match((await dripping.probe({ content: "y" }, 1000)).text, /did not answer/);
});

test("bytes are bounded: a body, a head, answers before the answer", async () => {
  let sent = 0;
  await using flood = new Dyno((socket) => {
    socket.write("HTTP/1.1 200 OK\r\n\r\n");
    const write = () => {
      while (!socket.destroyed && socket.write("x".repeat(65_536))) sent += 65_536;
    };
    socket.on("drain", write);
    write();
  });
  assert.equal((await flood.probe({ content: "y" })).passed, false);
  assert.ok(sent < 100 * BODY_BYTES_MAX, `${sent} bytes were taken`);
  await using heads = saying(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(100_000)}\r\n\r\n`);
  assert.deepEqual(await heads.probe(), { passed: false, text: "had an answer that is not HTTP" });
  await using interim = new Dyno((socket) => {
    const write = () => {
      while (!socket.destroyed && socket.write("HTTP/1.1 102 Processing\r\n\r\n".repeat(100)));
    };
    socket.on("drain", write);
    write();
  });
  assert.deepEqual(await interim.probe(), { passed: false, text: "answered without end" });
});

test("what is no answer fails in words: nobody there, closed, not HTTP, another protocol, given up", async () => {
  const refused = await probeHttp(
    { kind: "http", path: "/", headers: [], status: null, content: null },
    { address: "127.0.0.1", port: 1, clock: systemClock, signal: new AbortController().signal },
    1000,
  );
  assert.deepEqual(refused, { passed: false, text: "could not be sent: connection refused" });
  await using closed = saying("");
  assert.deepEqual(await closed.probe(), { passed: false, text: "had no answer: the connection was closed" });
  await using garbage = saying("SSH-2.0-x\r\n");
  assert.deepEqual(await garbage.probe(), { passed: false, text: "had an answer that is not HTTP" });
  await using upgraded = saying("HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
  assert.deepEqual(await upgraded.probe(), { passed: false, text: "answered 101" });
  await using cut = saying("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
  assert.equal((await cut.probe({ content: "abc" })).passed, false);
  await using silent = new Dyno(() => {});
  const leaving = new AbortController();
  setTimeout(() => leaving.abort(), 30);
  assert.equal((await silent.probe({}, 60_000, leaving.signal)).passed, false);
});
