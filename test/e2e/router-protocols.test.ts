import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage, type RequestListener } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2, constants, type IncomingHttpHeaders } from "node:http2";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { DEFAULT_ROUTING } from "../../src/model/routing.ts";
import { NOTHING, RawClient, RawDyno, requestsIn } from "./raw-http.ts";
import { type App, RouterRig } from "./router-rig.ts";

/** Headers (spec 7.4), connections towards dynos (7.1, 7.2) and protocols (7.5). Real HAProxy; needs root. */
let rig: RouterRig;
before(async () => {
  rig = await RouterRig.open();
});
after(() => rig[Symbol.asyncDispose]());

async function appOf(answer?: RequestListener): Promise<App> {
  const app = rig.app();
  await app.set({ dynoIds: [await rig.dyno("web.1", answer)] });
  return app;
}
async function rawAppOf(answer?: Parameters<typeof RawDyno.open>[1]): Promise<{ app: App; dyno: RawDyno }> {
  const dyno = await RawDyno.open(rig, answer);
  const app = rig.app();
  await app.set({ dynoIds: [dyno.id] });
  return { app, dyno };
}
function http2To(app: App): ClientHttp2Session {
  return connectHttp2(`https://127.0.0.1:${rig.layout.httpsPort}`, { rejectUnauthorized: false, servername: app.host });
}
interface Answer2 {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
}
async function ask2(
  session: ClientHttp2Session,
  headers: Record<string, string>,
  body?: Uint8Array | string,
): Promise<Answer2> {
  const stream = session.request(headers, { endStream: body === undefined });
  let answered: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  const chunks: Buffer[] = [];
  stream.on("response", (each) => (answered = each));
  stream.on("trailers", (each) => (trailers = each));
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  if (body !== undefined) stream.end(body);
  await once(stream, "end");
  return { headers: answered, trailers, body: Buffer.concat(chunks) };
}
const arrivedAt = ({ received }: RawDyno) => requestsIn(received.find((text) => text !== "") ?? "")[0]?.head ?? "";
const valuesOf = (head: string, name: string) =>
  [...head.matchAll(new RegExp(`^${name}: ?(.*)$`, "gim"))].map(([, value]) => value?.trim());

describe("spec 7.4: headers towards the dyno", { concurrency: true }, () => {
  /** The head that the dyno sees for these header lines. */
  const headFor = async (...lines: string[]): Promise<string> => {
    const { app, dyno } = await rawAppOf();
    await using _ = dyno;
    const client = await RawClient.open(rig);
    client.send(`GET / HTTP/1.1\r\nHost: ${app.host}\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`);
    await client.until(/ok$/);
    client.leave();
    return arrivedAt(dyno);
  };

  test("X-Forwarded-For: the client is appended, whatever it said itself", async () => {
    assert.deepEqual(valuesOf(await headFor(), "x-forwarded-for"), ["127.0.0.1"]);
    assert.deepEqual(valuesOf(await headFor("X-Forwarded-For: 6.6.6.6"), "x-forwarded-for"), ["6.6.6.6, 127.0.0.1"]);
    assert.deepEqual(
      valuesOf(await headFor("X-Forwarded-For: 1.1.1.1, 2.2.2.2", "X-Forwarded-For: 3.3.3.3"), "x-forwarded-for"),
      ["1.1.1.1, 2.2.2.2, 3.3.3.3, 127.0.0.1"],
      "several lines are one list",
    );
    assert.deepEqual(valuesOf(await headFor("X-Forwarded-For:"), "x-forwarded-for").length, 1);
  });

  test("X-Forwarded-Proto and -Port: replaced; -Host: passed on", async () => {
    const head = await headFor(
      "X-Forwarded-Proto: https",
      "X-Forwarded-Proto: ftp",
      "X-Forwarded-Port: 1",
      "X-Forwarded-Host: other.example",
    );
    assert.deepEqual(valuesOf(head, "x-forwarded-proto"), ["http"]);
    assert.deepEqual(valuesOf(head, "x-forwarded-port"), [String(rig.layout.httpPort)]);
    assert.deepEqual(valuesOf(head, "x-forwarded-host"), ["other.example"]);
    const { app, dyno } = await rawAppOf();
    await using _ = dyno;
    const client = await RawClient.open(rig, { servername: app.host });
    client.send(`GET / HTTP/1.1\r\nHost: ${app.host}\r\nX-Forwarded-Proto: http\r\n\r\n`);
    await client.until(/ok$/);
    client.leave();
    assert.deepEqual(valuesOf(arrivedAt(dyno), "x-forwarded-proto"), ["https"]);
    assert.deepEqual(valuesOf(arrivedAt(dyno), "x-forwarded-port"), [String(rig.layout.httpsPort)]);
  });

  test("X-Request-Start: milliseconds, never the client's", async () => {
    const [start] = valuesOf(await headFor("X-Request-Start: t=1", "X-Request-Start: 2"), "x-request-start");
    assert.match(start ?? "", /^\d{13}$/);
    assert.ok(Math.abs(Number(start) - Date.now()) < 5_000, start ?? "none");
  });

  test("X-Request-Id: kept if it is one, made otherwise; the log has the same", async () => {
    const { app, dyno } = await rawAppOf();
    await using _ = dyno;
    let asked = 0;
    const idFor = async (...ids: string[]) => {
      const lines = ids.map((id) => `X-Request-Id: ${id}\r\n`).join("");
      const path = `/${++asked}`;
      const client = await RawClient.open(rig);
      client.send(`GET ${path} HTTP/1.1\r\nHost: ${app.host}\r\n${lines}\r\n`);
      await client.until(/ok$/);
      client.leave();
      const seen = valuesOf(dyno.texts.find((text) => text.startsWith(`GET ${path} `)) ?? "", "x-request-id");
      assert.equal(seen.length, 1);
      await app.line(new RegExp(`path="${path}" .* request_id=${(seen[0] ?? "").replace(/\+/g, "\\+")} `));
      return seen[0];
    };
    const made = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
    for (const kept of ["a".repeat(20), "b".repeat(200), "Ab0+/=_-Ab0+/=_-Ab0+/=_-"])
      assert.equal(await idFor(kept), kept);
    for (const bad of ["c".repeat(19), "d".repeat(201), `${"e".repeat(21)}.`, `${"f".repeat(22)} x`, ""])
      assert.match((await idFor(bad)) ?? "", made, bad);
    assert.equal(await idFor("g".repeat(23), "h".repeat(24)), "h".repeat(24), "of two the last");
    // A condition that looks at all of them would let the last one into the line as it is: fields of it could be forged.
    assert.match((await idFor("i".repeat(24), "X https 8.8.8.8")) ?? "", made, "the last is none");
    assert.match(await app.line(new RegExp(`path="/${asked}" `)), / fwd="127\.0\.0\.1" .* tls=false /);
  });

  test("Via: added both ways, with the client's version of HTTP", async () => {
    const app = await appOf((request, response) => {
      response.setHeader("Via", "1.0 inner");
      response.end(request.headers["via"]);
    });
    const answer = await app.ask({ headers: { Via: "1.0 outer" } });
    assert.deepEqual(
      [answer.text, answer.headers["via"]],
      ["1.0 outer, 1.1 stator-router", "1.0 inner, 1.1 stator-router"],
    );
    const session = http2To(app);
    const { headers, body } = await ask2(session, { ":path": "/", ":authority": app.host });
    assert.deepEqual([body.toString(), headers["via"]], ["2.0 stator-router", "1.0 inner, 2.0 stator-router"]);
    session.close();
  });

  test("what is for one hop alone is removed", async () => {
    const head = await headFor(
      "Connection: keep-alive, X-Forwarded-For, X-Mine",
      "X-Mine: 1",
      "Keep-Alive: timeout=5",
      "TE: trailers",
      "Proxy-Authorization: Basic eDp5",
      "Proxy-Connection: keep-alive",
      "Proxy: http://evil.example",
    );
    for (const name of ["connection", "keep-alive", "te", "proxy-authorization", "proxy-connection", "proxy"])
      assert.deepEqual(valuesOf(head, name), [], name);
    assert.deepEqual(valuesOf(head, "x-forwarded-for"), ["127.0.0.1"], "no name in Connection takes ours away");
    const { app, dyno } = await rawAppOf((_text, socket) =>
      socket.write("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n"),
    );
    await using _ = dyno;
    assert.equal((await app.ask()).headers["keep-alive"], undefined);
  });
});

describe("connections towards dynos", { concurrency: true }, () => {
  test("are kept for the next request, and end here before a dyno's usual 5 s are over", async () => {
    const { app, dyno } = await rawAppOf();
    const clients = await Promise.all(Array.from({ length: 30 }, () => RawClient.open(rig)));
    const askAll = async () => {
      await Promise.all(
        clients.map(async (client) => {
          client.text = "";
          client.send(`GET / HTTP/1.1\r\nHost: ${app.host}\r\n\r\n`);
          assert.match(await client.until(/ok$/), / 200 /);
        }),
      );
    };
    for (let i = 0; i < 5; i++) await askAll();
    assert.ok(dyno.texts.length <= 60, `${dyno.texts.length} connections for 150 requests`);
    assert.equal(dyno.requests.length, 150);
    const since = performance.now();
    while (dyno.sockets.some((socket) => !socket.readableEnded && !socket.destroyed)) await pause(20);
    const idle = performance.now() - since;
    assert.ok(idle < 4_000, `idle for ${Math.round(idle)} ms`);
    await askAll();
    for (const client of clients) client.leave();
    await dyno[Symbol.asyncDispose]();
  });

  test("a request that reached a dyno is never sent again, whatever its method", async () => {
    const closing = () =>
      RawDyno.open(
        rig,
        (text, socket) =>
          void (text.includes("/die") ? socket.end() : socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
      );
    await using one = await closing();
    await using two = await closing();
    const app = rig.app();
    await app.set({ dynoIds: [one.id, two.id] });
    for (const method of ["GET", "PUT", "POST"]) {
      const client = await RawClient.open(rig);
      client.send(`GET /live HTTP/1.1\r\nHost: ${app.host}\r\n\r\n`);
      await client.until(/ok$/);
      client.text = "";
      client.send(`${method} /die-${method} HTTP/1.1\r\nHost: ${app.host}\r\nContent-Length: 0\r\n\r\n`);
      assert.match(await client.until(/html>/), /^HTTP\/1\.1 503 /);
      client.leave();
      assert.equal((await app.ask({ method, path: `/die-first-${method}` })).status, 503);
    }
    const died = [...one.requests, ...two.requests].filter((line) => line.includes("/die")).toSorted();
    assert.deepEqual(died, [
      "GET /die-GET",
      "GET /die-first-GET",
      "POST /die-POST",
      "POST /die-first-POST",
      "PUT /die-PUT",
      "PUT /die-first-PUT",
    ]);
  });
});

describe("spec 7.5: protocols", { concurrency: true }, () => {
  test("HTTP/1.0: passed on as such, closed after the answer, or kept if asked; no host is refused", async () => {
    const app = await appOf((request, response) => {
      response.write(`${request.httpVersion} one`); // Node makes chunks of it for HTTP/1.1
      response.end("two");
    });
    const plain = await RawClient.open(rig);
    plain.send(`GET / HTTP/1.0\r\nHost: ${app.host}\r\n\r\n`);
    const text = await plain.ended();
    assert.match(text, /\r\n\r\n1\.0 onetwo$/);
    assert.doesNotMatch(text, /transfer-encoding/i);
    await app.line(/status=200 .* protocol=http1\.0 /);
    const hostless = await RawClient.open(rig);
    hostless.send("GET / HTTP/1.0\r\n\r\n");
    assert.match(await hostless.ended(), /^HTTP\/1\.\d 400 /);
    const ancient = await RawClient.open(rig);
    ancient.send("GET /\r\n\r\n");
    assert.match(await ancient.ended(), /^(HTTP\/1\.\d 400 [^]*)?$/);
    const lengthy = await appOf((_request, response) => response.setHeader("Content-Length", 2).end("ok"));
    const kept = await RawClient.open(rig);
    kept.send(`GET / HTTP/1.0\r\nHost: ${lengthy.host}\r\nConnection: keep-alive\r\n\r\n`);
    assert.match(await kept.until(/ok$/), /connection: keep-alive/i);
    kept.text = "";
    kept.send(`GET / HTTP/1.0\r\nHost: ${lengthy.host}\r\n\r\n`);
    assert.match(await kept.ended(), /ok$/);
  });

  test("methods: any, but CONNECT; a name of at most 127 characters", async () => {
    const app = await appOf((request, response) => response.end(request.method));
    for (const method of ["PATCH", "PROPFIND", "PURGE"]) assert.equal((await app.ask({ method })).text, method);
    const { app: raw, dyno } = await rawAppOf();
    await using _ = dyno;
    const statusOf = async (line: string) => {
      const client = await RawClient.open(rig);
      client.send(`${line}\r\nHost: ${raw.host}\r\n\r\n`);
      const [, status] = /^HTTP\/1\.1 (\d+)/.exec(await client.until(/^HTTP/)) ?? [];
      client.leave();
      return status;
    };
    assert.equal(await statusOf(`${"A".repeat(127)} / HTTP/1.1`), "200");
    assert.equal(await statusOf(`${"A".repeat(128)} / HTTP/1.1`), "400");
    assert.equal(await statusOf(`CONNECT ${raw.host}:80 HTTP/1.1`), "405");
    assert.equal(await statusOf(`GET /${"x".repeat(8_000)} HTTP/1.1`), "200");
    assert.equal(await statusOf(`GET /${"x".repeat(8_192)} HTTP/1.1`), "400");
    assert.deepEqual(
      dyno.requests.map((line) => line.length),
      [129, 8_005],
    );
  });

  test("a hundred headers and more pass, both ways", async () => {
    const app = await appOf((request, response) => {
      for (let i = 0; i < 400; i++) response.setHeader(`Y-${i}`, String(i));
      response.end(String(Object.keys(request.headers).filter((name) => name.startsWith("x-h")).length));
    });
    const headers = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`X-H${i}`, String(i)]));
    const answer = await app.ask({ headers });
    assert.equal(answer.text, "400");
    assert.equal(answer.headers["y-399"], "399");
  });

  test("HTTP/2 over TLS: many at once, bodies and trailers both ways, HEAD", async () => {
    const app = await appOf((request, response) => {
      const hash = createHash("sha256");
      request.on("data", (chunk: Buffer) => hash.update(chunk));
      request.on("end", () => {
        response.writeHead(200, { Trailer: "x-sum", "Transfer-Encoding": "chunked" });
        response.write(
          `${String(request.headers["x-number"])} ${request.headers.host} ${request.trailers["x-more"] ?? "-"}`,
        );
        response.addTrailers({ "x-sum": hash.digest("hex") });
        response.end();
      });
    });
    const session = http2To(app);
    const bodies = Array.from({ length: 60 }, (_, i) => randomBytes(1_000 * i));
    const common = { ":path": "/", ":authority": app.host, ":method": "POST" };
    const answers = await Promise.all(
      bodies.map((body, i) => ask2(session, { ...common, "x-number": String(i) }, body)),
    );
    for (const [i, { headers, trailers, body }] of answers.entries()) {
      assert.equal(headers[":status"], 200);
      assert.equal(body.toString(), `${i} ${app.host} -`);
      assert.equal(
        trailers["x-sum"],
        createHash("sha256")
          .update(bodies[i] ?? "")
          .digest("hex"),
      );
    }
    const stream = session.request({ ...common, trailer: "x-more" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-more": "sent" }));
    let text = "";
    stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    stream.end("body");
    await once(stream, "end");
    assert.match(text, / sent$/);
    const head = await ask2(session, { ...common, ":method": "HEAD" });
    assert.deepEqual([head.headers[":status"], head.body.length], [200, 0]);
    session.close();
    await app.line(/method=POST .* status=200 .* protocol=http2\.0 tls=true tls_version=tls1\.3$/);
  });

  test("any Upgrade, with any method; bytes pass at once, both ways", async () => {
    const { app, dyno } = await rawAppOf((text, socket) => {
      if (!text.includes("ready"))
        socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: my-own/2\r\n\r\nhello ");
      if (text.endsWith("ping")) socket.write("\0pong\xff", "latin1");
    });
    await using _ = dyno;
    for (const method of ["GET", "HEAD", "POST", "PATCH"]) {
      const client = await RawClient.open(rig);
      client.send(
        `${method} / HTTP/1.1\r\nHost: ${app.host}\r\nConnection: keep-alive, upgrade\r\nUpgrade: my-own/2\r\n\r\n`,
      );
      assert.match(await client.until(/hello $/), /^HTTP\/1\.1 101 [^]*upgrade: my-own\/2/i);
      client.send("ready\r\n\r\nGET / HTTP/1.1\r\n\r\nping");
      assert.match(await client.until(/pong/), /\0pong\xff$/);
      client.leave();
    }
    assert.match(dyno.texts[0] ?? "", /^upgrade: my-own\/2\r$/im);
    assert.match(dyno.texts[0] ?? "", /^connection: upgrade\r$/im);
    assert.match(await app.line(/status=101/), /at=(info|warning)/);
  });

  test("WebSocket over HTTP/2 (RFC 8441): a GET with an upgrade towards the dyno", async () => {
    const { app, dyno } = await rawAppOf((text, socket) => {
      const key = /^sec-websocket-key: (\S+)/im.exec(text)?.[1] ?? "";
      const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
      if (text.endsWith("\r\n\r\n"))
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
        );
      else socket.write("echo");
    });
    await using _ = dyno;
    const session = http2To(app);
    await once(session, "remoteSettings");
    assert.equal(session.remoteSettings.enableConnectProtocol, true);
    const stream = session.request({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":scheme": "https",
      ":path": "/chat",
      ":authority": app.host,
      "sec-websocket-version": "13",
    });
    const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders];
    assert.equal(headers[":status"], 200);
    stream.write("frame");
    const [data] = (await once(stream, "data")) as [Buffer];
    assert.equal(data.toString(), "echo");
    assert.match(dyno.texts[0] ?? "", /^GET \/chat HTTP\/1\.1\r\n[^]*\r\nconnection: upgrade\r\n/i);
    stream.close(constants.NGHTTP2_NO_ERROR);
    session.destroy();
  });

  test("Expect: 100-continue is answered here and goes no further; anything else expected is 417", async () => {
    const { app, dyno } = await rawAppOf(
      (text, socket) => void (text.endsWith("body") && socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
    );
    await using _ = dyno;
    const client = await RawClient.open(rig);
    const head = (expect: string) =>
      `POST / HTTP/1.1\r\nHost: ${app.host}\r\nExpect: ${expect}\r\nContent-Length: 4\r\n\r\n`;
    client.send(head("100-Continue"));
    assert.match(await client.until(/\r\n\r\n/), /^HTTP\/1\.1 100 Continue\r\n\r\n$/i);
    await pause(1_200); // a client may take its time (spec 7.2)
    client.send("body");
    assert.match(await client.until(/ok$/), /HTTP\/1\.1 200 OK/);
    assert.deepEqual(valuesOf(arrivedAt(dyno), "expect"), []);
    client.leave();
    const other = await RawClient.open(rig);
    other.send(head("200-ok"));
    assert.match(await other.until(/html>/), /^HTTP\/1\.1 417 /);
    other.leave();
    for (const two of ["100-continue\r\nExpect: 200-ok", "200-ok\r\nExpect: 100-continue"]) {
      const both = await RawClient.open(rig);
      both.send(head(two));
      assert.match(await both.until(/html>/), /^HTTP\/1\.1 417 /, two);
      both.leave();
    }
    assert.equal(dyno.requests.length, 1);
    const held = rig.app();
    await held.set({});
    const early = await RawClient.open(rig);
    early.send(head("100-continue").replace(app.host, held.host));
    await early.until(/100/, 200);
    assert.equal(early.text, "", "no body is asked for before a dyno is up");
    await held.set({ dynoIds: [dyno.id] });
    await early.until(/100/);
    early.send("body");
    assert.match(await early.until(/ok$/), /HTTP\/1\.1 200 OK/);
    early.leave();
  });

  test("labs http-end-to-end-continue: the dyno is asked, and says 100 or refuses the body itself", async () => {
    const { app, dyno } = await rawAppOf((text, socket) => {
      if (text.startsWith("POST /no")) socket.write("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
      else if (text.endsWith("\r\n\r\n")) socket.write("HTTP/1.1 100 Continue\r\n\r\n");
      else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    await using _ = dyno;
    const usual = { ...DEFAULT_ROUTING, sessionAffinity: false, users: [], errorPage: null, maintenancePage: null };
    await app.set({ options: { ...usual, endToEndContinue: true } });
    const head = (path: string) =>
      `POST ${path} HTTP/1.1\r\nHost: ${app.host}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n`;
    const client = await RawClient.open(rig);
    client.send(head("/yes"));
    assert.match(await client.until(/\r\n\r\n/), /^HTTP\/1\.1 100 Continue\r\n/i);
    assert.deepEqual(valuesOf(arrivedAt(dyno), "expect"), ["100-continue"]);
    client.send("body");
    assert.match(await client.until(/ok$/), /HTTP\/1\.1 200 OK/);
    client.leave();
    const refused = await RawClient.open(rig);
    refused.send(head("/no"));
    assert.match(await refused.until(/no$/), /^HTTP\/1\.1 413 /);
    refused.leave();
  });

  test("chunks pass as they come, in both directions, with trailers", async () => {
    const { app, dyno } = await rawAppOf((text, socket) => {
      if (text.endsWith("\r\n\r\n") && !text.includes("1st"))
        socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n");
      if (text.endsWith("1st\r\n")) socket.write("5\r\nfirst\r\n");
      if (text.endsWith("2nd\r\n")) socket.write("6\r\nsecond\r\n");
      if (/0\r\nx-sum: 7\r\n\r\n$/i.test(text)) socket.write("0\r\nX-End: yes\r\n\r\n");
    });
    await using _ = dyno;
    const client = await RawClient.open(rig);
    client.send(`POST / HTTP/1.1\r\nHost: ${app.host}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n`);
    await client.until(/200 OK/);
    client.send("3\r\n1st\r\n");
    assert.match(await client.until(/first/), /first/, "before the second was sent");
    client.send("3\r\n2nd\r\n");
    assert.match(await client.until(/second/), /second/);
    client.send("0\r\nX-Sum: 7\r\n\r\n");
    assert.match(await client.until(/0\r\nx-end/i), /0\r\nx-end: yes\r\n\r\n$/i);
    client.leave();
  });

  for (const version of [1, 2] as const)
    test(`server-sent events over HTTP/${version} come one by one`, async () => {
      let say: (text: string) => void = () => assert.fail("nobody asked");
      const app = await appOf((_request, response) => {
        response.writeHead(200, { "Content-Type": "text/event-stream" });
        say = (text) => void response.write(text);
        say("data: 1\n\n");
      });
      const headers = { accept: "text/event-stream" };
      let text = "";
      const take = (chunk: Buffer) => (text += chunk.toString());
      const session = version === 2 ? http2To(app) : undefined;
      if (session === undefined) {
        const request = httpRequest({
          host: "127.0.0.1",
          port: rig.layout.httpPort,
          headers: { ...headers, host: app.host },
        });
        request.on("error", () => {}).end(); // broken off below
        const [response] = (await once(request, "response")) as [IncomingMessage];
        response.on("data", take).on("error", () => {});
        await eventsOneByOne(() => text, say);
        request.destroy();
      } else {
        session.request({ ":path": "/", ":authority": app.host, ...headers }).on("data", take);
        while (text === "") await pause(2);
        await eventsOneByOne(() => text, say);
        session.destroy();
      }
    });

  test("HEAD, 204 and 304: headers as the dyno says, no body, and the connection goes on", async () => {
    const { app, dyno } = await rawAppOf((text, socket) => {
      const { line = "" } = requestsIn(text).at(-1) ?? {};
      if (line.startsWith("HEAD")) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
      else if (line.includes("/204")) socket.write("HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n");
      else if (line.includes("/304"))
        socket.write('HTTP/1.1 304 Not Modified\r\nETag: "e"\r\nContent-Length: 99\r\n\r\n');
      else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast");
    });
    await using _ = dyno;
    const client = await RawClient.open(rig);
    for (const [request, expected] of [
      ["HEAD /", /^HTTP\/1\.1 200 OK\r\ncontent-length: 1234\r\nvia: [^\r]*\r\n\r\n$/i],
      ["GET /204", /^HTTP\/1\.1 204 No Content\r\nx-a: b\r\nvia: [^\r]*\r\n\r\n$/i],
      ["GET /304", /^HTTP\/1\.1 304 Not Modified\r\netag: "e"\r\n(content-length: 99\r\n)?via: [^\r]*\r\n\r\n$/i],
      ["GET /", /\r\n\r\nlast$/],
    ] as const) {
      client.text = "";
      client.send(`${request} HTTP/1.1\r\nHost: ${app.host}\r\n\r\n`);
      assert.match(await client.until(expected), expected);
    }
    client.leave();
  });

  test("103 Early Hints pass at once, as many as there are", async () => {
    let finish = () => {};
    const app = await appOf((_request, response) => {
      response.writeEarlyHints({ link: "</a.css>; rel=preload" });
      response.writeEarlyHints({ link: "</b.css>; rel=preload" });
      finish = () => void response.end("late");
    });
    const client = await RawClient.open(rig);
    client.send(`GET / HTTP/1.1\r\nHost: ${app.host}\r\n\r\n`);
    assert.match(
      await client.until(/b\.css[^]*\r\n\r\n/),
      /^HTTP\/1\.1 103 [^]*a\.css[^]*HTTP\/1\.1 103 [^]*b\.css[^]*\r\n\r\n$/,
    );
    finish();
    assert.match(await client.until(/late$/), /HTTP\/1\.1 200 OK/);
    client.leave();
  });

  test("bodies of 64 MB, both ways at once, whole", async () => {
    const app = await appOf((request, response) => request.pipe(response));
    const block = randomBytes(1 << 20);
    const [sent, got] = [createHash("sha256"), createHash("sha256")];
    const request = httpRequest({
      host: "127.0.0.1",
      port: rig.layout.httpPort,
      method: "POST",
      headers: { Host: app.host },
    });
    const answered = once(request, "response") as Promise<[IncomingMessage]>;
    const read = answered.then(async ([response]) => {
      for await (const chunk of response) got.update(chunk as Buffer);
    });
    for (let i = 0; i < 64; i++) {
      sent.update(block);
      if (!request.write(block)) await once(request, "drain");
    }
    request.end();
    await read;
    assert.equal(got.digest("hex"), sent.digest("hex"));
  });

  test("a client that closes its side after the request leaves (as the original has it)", async () => {
    const { app, dyno } = await rawAppOf(() => {});
    await using _ = dyno;
    const client = await RawClient.open(rig);
    client.socket.end(`GET /half-closed HTTP/1.1\r\nHost: ${app.host}\r\n\r\n`);
    await client.until(NOTHING, 3_000);
    assert.match(await app.line(/half-closed/), /code=H27/);
  });
});

/** The first is there although the second was not sent; then the second. */
async function eventsOneByOne(text: () => string, say: (text: string) => void): Promise<void> {
  while (text() !== "data: 1\n\n") await pause(2);
  say("data: 2\n\n");
  while (text() !== "data: 1\n\ndata: 2\n\n") await pause(2);
}
