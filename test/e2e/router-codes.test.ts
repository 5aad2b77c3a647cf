import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2, constants } from "node:http2";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { start } from "../../src/lib/command.ts";
import { NOTHING, RawClient, RawDyno } from "./raw-http.ts";
import { type App, RouterRig } from "./router-rig.ts";

/** Each code of the router by its real cause (spec 6.4). Real HAProxy with shorter limits; needs root. */
const LIMITS = {
  server: 700,
  events: 1_500,
  client: 900,
  tunnel: 700,
  hold: 1_500,
  quarantine: 300,
  head: 900,
  keepAlive: 600,
};
let rig: RouterRig;
before(async () => {
  rig = await RouterRig.open({ timeouts: LIMITS, connectionsMax: 400 });
});
after(() => rig[Symbol.asyncDispose]());

/** An app with one dyno that is told by the path what to do. */
async function appOf(dyno: RawDyno): Promise<App> {
  const app = rig.app();
  await app.set({ dynoIds: [dyno.id] });
  return app;
}

const OK = "HTTP/1.1 200 OK\r\n";
/** What it says, and whether it then closes or resets. */
const BEHAVIOURS: Readonly<Record<string, readonly [says: string, then: "stays" | "closes" | "resets"]>> = {
  "/fine": [`${OK}Content-Length: 4\r\n\r\nfine`, "stays"],
  "/closes": ["", "closes"],
  "/resets": ["", "resets"],
  "/silent": ["", "stays"],
  "/half-head": ["HTTP/1.1 200 OK\r\nContent-Le", "closes"],
  "/stalls-in-head": ["HTTP/1.1 200 OK\r\nContent-Le", "stays"],
  "/half-body": [`${OK}Content-Length: 100\r\n\r\nhalf`, "closes"],
  "/half-chunk": [`${OK}Transfer-Encoding: chunked\r\n\r\n64\r\nhalf`, "closes"],
  "/resets-in-body": [`${OK}Content-Length: 100\r\n\r\nhalf`, "resets"],
  "/stalls-in-body": [`${OK}Content-Length: 100\r\n\r\nhalf`, "stays"],
  "/garbage": ["220 mail.example ESMTP\r\n\r\n", "closes"],
  "/bad-length": [`${OK}Content-Length: 1x\r\n\r\n`, "stays"],
  "/two-lengths": [`${OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`, "stays"],
  "/huge-head": [`${OK}X-Huge: ${"x".repeat(20_000)}\r\nContent-Length: 0\r\n\r\n`, "stays"],
  "/huge-cookie": [
    `${OK}Set-Cookie: a=1\r\nSet-Cookie: b=${"x".repeat(8_191)}\r\nContent-Length: 2\r\n\r\nok`,
    "stays",
  ],
  "/huge-length": [`${OK}Content-Length: 18446744073709551619\r\n\r\nabc`, "stays"],
  "/large-cookie": [
    `${OK}Set-Cookie: a=1\r\nSet-Cookie: b=${"x".repeat(8_190)}\r\nContent-Length: 2\r\n\r\nok`,
    "stays",
  ],
};
const openMisbehaving = () =>
  RawDyno.open(rig, (text, socket) => {
    const path = [...text.matchAll(/^\S+ (\/\S*) HTTP\/1\.1\r$/gm)].at(-1)?.[1] ?? "";
    const [says, then] = BEHAVIOURS[path] ?? ["", "stays"];
    if (says !== "") socket.write(says);
    if (then === "closes") socket.end();
    if (then === "resets")
      setImmediate(() => (says === "" ? socket.resetAndDestroy() : setTimeout(() => socket.resetAndDestroy(), 50)));
  });

/** A client that had an answer on its connection already. */
async function kept(app: App): Promise<RawClient> {
  const client = await RawClient.open(rig);
  client.send(`GET /fine HTTP/1.1\r\nHost: ${app.host}\r\n\r\n`);
  await client.until(/fine$/);
  client.text = "";
  return client;
}

/** The fields of a line after "code=". */
const connected = (status: number, bytes: string) =>
  new RegExp(
    `dyno=web\\.1 connect=\\d+ms service=\\d+ms status=${status} bytes=${bytes} protocol=http1\\.1 tls=false tls_version=unknown$`,
  );

describe("spec 6.4", { concurrency: true }, () => {
  test("a dyno that does not answer as it should: H12, H13, H17, H25 with a page", async () => {
    await using dyno = await openMisbehaving();
    const app = await appOf(dyno);
    const cases = [
      ["/closes", "H13", "Connection closed without response", 503, "error"],
      ["/resets", "H13", "Connection closed without response", 503, "error"],
      ["/half-head", "H13", "Connection closed without response", 503, "error"],
      ["/silent", "H12", "Request timeout", 503, "error"],
      ["/stalls-in-head", "H12", "Request timeout", 503, "error"],
      ["/garbage", "H17", "Poorly formatted HTTP response", 503, "error"],
      ["/bad-length", "H17", "Poorly formatted HTTP response", 503, "error"],
      ["/two-lengths", "H17", "Poorly formatted HTTP response", 503, "error"],
      ["/huge-head", "H17", "Poorly formatted HTTP response", 503, "error"], // as HAProxy tells it
      ["/huge-length", "H25", "HTTP restriction: invalid content length", 502, "error"],
      ["/huge-cookie", "H25", "HTTP restriction: oversized cookie", 502, "error"],
    ] as const;
    await Promise.all(
      cases.map(async ([path, code, description, status, at]) => {
        const answer = await app.ask({ path });
        assert.equal(answer.status, status, path);
        assert.match(answer.text, /Application error/, path);
        assert.match(answer.headers["content-type"] ?? "", /^text\/html/);
        assert.match(answer.headers["cache-control"] ?? "", /no-store/);
        const line = await app.line(new RegExp(`"${path}"`));
        assert.match(line, new RegExp(`heroku\\[router\\]: at=${at} code=${code} desc="${description}" method=GET `));
        assert.match(line, connected(status, "0"), path);
      }),
    );
    // HAProxy by itself tells nobody of a dyno that closes on a request which is not its connection's first.
    await Promise.all(
      cases.map(async ([path, code, , status]) => {
        const client = await kept(app);
        client.send(
          `POST ${path} HTTP/1.1\r\nHost: ${app.host}\r\nX-Request-Id: second-on-connection\r\nContent-Length: 3\r\n\r\nabc`,
        );
        assert.match(await client.until(/<\/html>/), new RegExp(`^HTTP/1\\.1 ${status} [^]*Application error`), path);
        const line = await app.line(new RegExp(`"${path}" .*second-on-connection`));
        assert.match(line, new RegExp(` code=${code} `), path);
        assert.match(line, connected(status, "0"), path);
        client.leave();
      }),
    );
    assert.match(await app.line(/"\/silent"/), /service=(?:699|7\d\d)ms/);
    assert.equal((await app.ask({ path: "/large-cookie" })).status, 200);
  });

  test("on a connection that had an answer: silence after a long body is H12, a client's in its body H28", async () => {
    await using dyno = await openMisbehaving();
    const app = await appOf(dyno);
    const head = (path: string) => `POST ${path} HTTP/1.1\r\nHost: ${app.host}\r\nContent-Length: 1000\r\n\r\n`;
    await Promise.all(
      (
        [
          ["/silent", "b".repeat(999), "H12"],
          ["/silent-in-its-body", "", "H28"],
        ] as const
      ).map(async ([path, rest, code]) => {
        const client = await kept(app);
        client.send(`${head(path)}a`);
        await pause(LIMITS.server - 100);
        client.send(rest); // the limit begins anew
        assert.match(await client.until(/<\/html>/), /^HTTP\/1\.1 503 [^]*Application error/, path);
        assert.match(await app.line(new RegExp(`"${path}"`)), new RegExp(` code=${code} `));
        client.leave();
      }),
    );
  });

  test("a chunk of the client's that is none: 400 without a code, and nobody blames the dyno", async () => {
    await using dyno = await openMisbehaving();
    const app = await appOf(dyno);
    const client = await RawClient.open(rig);
    client.send(`POST /chunk HTTP/1.1\r\nHost: ${app.host}\r\nTransfer-Encoding: chunked\r\n\r\n`);
    while (!dyno.received.some((text) => text.includes("/chunk"))) await pause(2);
    client.send("zz\r\n");
    assert.match(await client.ended(), /^HTTP\/1\.1 400 /);
    assert.match(await app.line(/"\/chunk"/), / at=info method=POST .* status=400 bytes=0 /);
  });

  test("the longest path, all of quotation marks, has its line", async () => {
    await using dyno = await openMisbehaving();
    const app = await appOf(dyno);
    const path = `/${'"'.repeat(8_191)}`;
    const client = await RawClient.open(rig);
    client.send(`GET ${path} HTTP/1.1\r\nHost: ${app.host}\r\nX-Forwarded-For: ${'"'.repeat(1_024)}\r\n\r\n`);
    assert.match(
      await app.line(/method=GET/),
      / path="\/(%22)+" host=app-\w+\.localhost .*, 127\.0\.0\.1" dyno=web\.1 /,
    );
    client.leave();
  });

  test("a dyno that breaks off in its answer: the client sees a cut 200; H18, and H15 when it falls silent", async () => {
    await using dyno = await openMisbehaving();
    const app = await appOf(dyno);
    for (const [path, code, socket] of [
      ["/half-body", "H18", "sock=backend "],
      ["/half-chunk", "H18", "sock=backend "],
      ["/resets-in-body", "H18", "sock=backend "],
      ["/stalls-in-body", "H15", ""],
    ] as const) {
      await assert.rejects(app.ask({ path }), path);
      const line = await app.line(new RegExp(`"${path}"`));
      assert.match(line, new RegExp(`router\\]: ${socket}at=error code=${code} `), path);
      assert.match(line, connected(503, "[1-9]\\d*"), path);
    }
  });

  test("a dyno that refuses: the next one answers, and it is left alone for a while (spec 7.1); H21 when all refuse, then H34", async () => {
    const app = rig.app();
    const good = await rig.dyno("web.1");
    const refusing = rig.dynoAt("web.2", "127.66.0.1", 9);
    await app.set({ dynoIds: [good, refusing, rig.dynoAt("web.3", "127.66.0.1", 11)] });
    for (let i = 0; i < 40; i++) assert.equal((await app.ask({ body: "x" })).status, 200);
    await app.set({ dynoIds: [refusing] });
    // The quarantine may still last from before.
    const alone = rig.app();
    await alone.set({ dynoIds: [rig.dynoAt("web.4", "127.66.0.1", 13)] });
    const answer = await alone.ask({ path: "/refused", body: "y".repeat(10_000) });
    assert.equal(answer.status, 503);
    assert.match(answer.text, /Application error/);
    assert.match(
      await alone.line(/refused/),
      /at=error code=H21 desc="Backend connection refused" method=POST .* connect=\d+ms service= status=503 bytes= protocol=/,
    );
    assert.equal((await alone.ask({ path: "/quarantined" })).status, 503);
    assert.match(
      await alone.line(/quarantined/),
      /at=error code=H34 desc="All up dynos are quarantined" .* dyno= connect= service= status=503 bytes= /,
    );
  });

  test("a dyno in quarantine gets requests again once it accepts; those that waited go on (spec 7.1)", async () => {
    const app = rig.app();
    const [, port] = [await rig.dyno("web.1"), 40_000 + Math.floor(Math.random() * 20_000)];
    const id = rig.dynoAt("web.1", "127.66.0.9", port);
    await app.set({ dynoIds: [id] });
    assert.equal((await app.ask()).status, 503);
    const waiting = app.ask({ body: "z".repeat(100_000) });
    const { createServer } = await import("node:http");
    const server = createServer((request, response) => request.resume().on("end", () => response.end("late")));
    server.listen(port, "127.66.0.9");
    await once(server, "listening");
    const answer = await waiting;
    assert.deepEqual([answer.status, answer.text], [200, "late"]);
    server.close();
    server.closeAllConnections();
  });

  test("a dyno that does not accept within 5 s: H19", async () => {
    // A listener that is stopped, with its queue full, is a real black hole.
    const program = `
      const server = require("node:net").createServer().listen({ port: 0, host: "127.66.0.7", backlog: 1 }, () => {
        process.stdout.write(String(server.address().port));
        process.kill(process.pid, "SIGSTOP");
      });`;
    const hole = start(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
    assert.ok(hole.stdout);
    const [port] = (await once(hole.stdout, "data")) as [Buffer];
    const fillers = [1, 2, 3, 4].map(() => connect(Number(port), "127.66.0.7").on("error", () => {}));
    try {
      const app = rig.app();
      await app.set({ dynoIds: [rig.dynoAt("web.1", "127.66.0.7", Number(port))] });
      assert.equal((await app.ask({ path: "/hole" })).status, 503);
      assert.match(
        await app.line(/hole/),
        /at=error code=H19 desc="Backend connection timeout" .* connect=5\d\d\dms service= status=503 bytes= /,
      );
    } finally {
      for (const each of fillers) each.destroy();
      hole.kill("SIGKILL");
    }
  });

  test("states: H10, H14, H80, H81; the page of each, and none for HEAD", async () => {
    await Promise.all(
      (
        [
          ["crashed", "H10", "App crashed", 503, "error", /Application error/],
          ["no-web", "H14", "No web processes running", 503, "error", /No web process/],
          ["maintenance", "H80", "Maintenance mode", 503, "info", /undergoing maintenance/],
          ["blank", "H81", "Blank app", 502, "info", /not been deployed/],
        ] as const
      ).map(async ([state, code, description, status, at, text]) => {
        const app = rig.app(state);
        await app.set({ dynoIds: state === "maintenance" ? [await rig.dyno("web.1")] : [] });
        const answer = await app.ask({ path: "/page" });
        assert.equal(answer.status, status);
        assert.match(answer.text, text);
        assert.match(
          await app.line(/page/),
          new RegExp(
            `at=${at} code=${code} desc="${description}" method=GET path="/page" host=${app.host} request_id=\\S+ fwd="127\\.0\\.0\\.1" dyno= connect= service= status=${status} bytes= protocol=http1\\.1 tls=false tls_version=unknown$`,
          ),
        );
        const head = await app.ask({ method: "HEAD" });
        assert.deepEqual([head.status, head.text], [status, ""]);
      }),
    );
  });

  test("H20: nothing up in time", async () => {
    const app = rig.app();
    await app.set({});
    assert.equal((await app.ask()).status, 503);
    assert.match(
      await app.line(/code/),
      /at=error code=H20 desc="App boot timeout" .* dyno= connect= service= status=503 bytes= /,
    );
  });

  test("H11: too many held", async () => {
    await using small = await RouterRig.open({ connectionsMax: 60 });
    const app = small.app();
    await app.set({});
    const other = small.app();
    await other.set({ dynoIds: [await small.dyno("web.1")] });
    const answers: string[] = [];
    const held = Array.from({ length: 32 }, (_, i) => {
      const socket = connect({ port: small.layout.httpPort, host: "127.0.0.1", localAddress: `127.0.9.${i}` });
      socket.on("error", () => {}); // left behind below
      socket.on("data", (chunk: Buffer) => answers.push(chunk.toString()));
      socket.write(`GET /held HTTP/1.1\r\nHost: ${app.host}\r\n\r\n`);
      return socket;
    });
    while (answers.length < 2) await pause(2);
    for (const answer of answers) assert.match(answer, /^HTTP\/1\.1 503 [^]*more requests than/);
    assert.match(
      await app.line(/H11/),
      /at=error code=H11 desc="Backlog too deep" .* dyno= connect= service= status=503 bytes= /,
    );
    assert.equal(answers.length, 2, "30 are held");
    assert.equal((await other.ask()).status, 200);
    for (const socket of held) socket.destroy();
  });

  test("H11: 1,000 requests of one app are held, in bounded memory; another app's are held and answered as ever", async () => {
    await using large = await RouterRig.open({ connectionsMax: 4_000 });
    const [greedy, modest] = [large.app(), large.app()];
    for (const app of [greedy, modest]) await app.set({});
    const before = await large.workerKilobytes();
    const answers: string[] = [];
    const held = Array.from({ length: 1_010 }, (_, i) => {
      const socket = connect({ port: large.layout.httpPort, host: "127.0.0.1", localAddress: `127.0.9.${i % 10}` });
      socket.on("error", () => {}); // left behind below
      socket.on("data", (chunk: Buffer) => answers.push(chunk.toString()));
      socket.write(`POST /held HTTP/1.1\r\nHost: ${greedy.host}\r\nContent-Length: 50000\r\n\r\n${"x".repeat(50_000)}`);
      return socket;
    });
    while (answers.length < 10) await pause(5);
    const waiting = modest.ask({ body: "y".repeat(50_000) });
    await modest.set({ dynoIds: [await large.dyno("web.1")] });
    assert.equal((await waiting).status, 200);
    const grown = (await large.workerKilobytes()) - before;
    for (const answer of answers) assert.match(answer, /^HTTP\/1\.1 503 /);
    await greedy.line(/H11/);
    assert.equal(answers.length, 10, "1,000 are held");
    assert.ok(grown < 60_000, `HAProxy took ${grown} kB more for 1,000 of them`);
    for (const socket of held) socket.destroy();
  });

  test("H22: an app has half of all connections; others are served", async () => {
    const app = rig.app();
    await using dyno = await RawDyno.open(rig);
    const [other] = [await appOf(dyno)];
    await using slow = await RawDyno.open(rig, () => {});
    await app.set({ dynoIds: [slow.id] });
    // From several addresses: one alone may not have as many.
    const waiting = Array.from({ length: 200 }, (_, i) => {
      const socket = connect({ port: rig.layout.httpPort, host: "127.0.0.1", localAddress: `127.0.9.${i % 10}` });
      socket.on("error", () => {}); // left behind below
      socket.write(`GET /slow HTTP/1.1\r\nHost: ${app.host}\r\n\r\n`);
      return socket;
    });
    while (slow.texts.length < 200) await pause(5);
    const answer = await app.ask({ path: "/one-more" });
    assert.equal(answer.status, 503);
    assert.match(answer.text, /more requests than/);
    assert.match(
      await app.line(/one-more/),
      /at=error code=H22 desc="Connection limit reached" .* dyno= connect= service= status=503 bytes= /,
    );
    assert.equal((await other.ask()).status, 200);
    for (const socket of waiting) socket.destroy();
  });

  test("a client that leaves: H27, whenever it does", async () => {
    await using dyno = await openMisbehaving();
    const app = await appOf(dyno);
    const head = (path: string, more = "") => `POST ${path} HTTP/1.1\r\nHost: ${app.host}\r\n${more}\r\n`;
    const leave = async (path: string, more: string, pattern: RegExp, opening = RawClient.open(rig)) => {
      const client = await opening;
      client.send(head(path, more));
      while (!dyno.received.some((text) => text.includes(path))) await pause(2);
      await client.until(pattern, 50);
      client.leave();
      const line = await app.line(new RegExp(`"${path}"`));
      assert.match(line, /: sock=client at=warning code=H27 desc="Client Request Interrupted" /);
      assert.match(line, connected(499, "\\d+"));
    };
    await leave("/silent", "Content-Length: 0\r\n", NOTHING);
    await leave("/silent-to-body", "Content-Length: 1000\r\n", NOTHING);
    await leave("/stalls-in-body", "Content-Length: 0\r\n", /half/);
    await leave("/again", "Content-Length: 0\r\n", NOTHING, kept(app));
    await leave("/again-to-body", "Content-Length: 1000\r\n", NOTHING, kept(app));
    const session = connectHttp2(`https://127.0.0.1:${rig.layout.httpsPort}`, {
      rejectUnauthorized: false,
      servername: app.host,
    });
    for (const path of ["/fine", "/left"]) {
      const stream = session.request({ ":path": path, ":authority": app.host }).on("error", () => {}); // reset below
      if (path === "/fine") await once(stream.resume(), "close");
      while (!dyno.received.some((text) => text.includes(path))) await pause(2);
      stream.close(constants.NGHTTP2_CANCEL);
    }
    assert.match(await app.line(/"\/left"/), /: sock=client at=warning code=H27 .* protocol=http2\.0 tls=true /);
    session.close();
    const held = rig.app();
    await held.set({});
    const client = await RawClient.open(rig);
    client.send(`GET /held HTTP/1.1\r\nHost: ${held.host}\r\n\r\n`);
    await client.until(NOTHING, 50);
    client.leave();
    assert.match(
      await held.line(/held/),
      /sock=client at=warning code=H27 .* dyno= connect= service= status=499 bytes= /,
    );
  });

  test("a client that falls silent in its body, or does not read: H28", async () => {
    await using dyno = await RawDyno.open(rig, (text, socket) => {
      if (text.includes("/unread")) socket.write(`${OK}Content-Length: 90000000\r\n\r\n${"x".repeat(60_000_000)}`);
    });
    const app = await appOf(dyno);
    const idle = await RawClient.open(rig);
    idle.send(`POST /idle HTTP/1.1\r\nHost: ${app.host}\r\nContent-Length: 1000\r\n\r\nhalf`);
    const unread = await RawClient.open(rig);
    unread.socket.pause();
    unread.send(`GET /unread HTTP/1.1\r\nHost: ${app.host}\r\n\r\n`);
    assert.match(
      await app.line(/"\/idle"/),
      /: at=warning code=H28 desc="Client Connection Idle" .* dyno=web\.1 connect=\d+ms service=\d+ms status=499 bytes=0 /,
    );
    assert.match(await app.line(/"\/unread"/), /code=H28 .* status=499 bytes=\d{5,} /);
    idle.leave();
    unread.leave();
  });

  test("limits begin anew with each byte: answers, bodies and upgraded connections may take long (spec 7.2)", async () => {
    const slowly = async (say: (text: string) => void) => {
      for (let i = 0; i < 6; i++) {
        await pause(250); // 1.5 s in all, which is longer than any of the limits
        say(String(i));
      }
    };
    await using dyno = await RawDyno.open(rig, (text, socket) => {
      if (/\r\nupgrade: x\r\n/.test(text) && text.endsWith("\r\n\r\n"))
        socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
      else if (text.startsWith("POST")) {
        if (text.endsWith("5")) socket.write(`${OK}Content-Length: 4\r\n\r\ndone`);
      } else if (text.startsWith("GET /slow")) {
        socket.write(`${OK}Content-Length: 6\r\n\r\n`);
        void slowly((byte) => void socket.write(byte));
      } else socket.write("pong");
    });
    const app = await appOf(dyno);
    const [answer, body, upgraded] = await Promise.all([1, 2, 3].map(() => RawClient.open(rig)));
    assert.ok(answer && body && upgraded);
    answer.send(`GET /slow HTTP/1.1\r\nHost: ${app.host}\r\n\r\n`);
    body.send(`POST / HTTP/1.1\r\nHost: ${app.host}\r\nContent-Length: 6\r\n\r\n`);
    upgraded.send(`GET / HTTP/1.1\r\nHost: ${app.host}\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n`);
    await upgraded.until(/101/);
    await Promise.all([slowly((byte) => body.send(byte)), slowly(() => upgraded.send("ping"))]);
    assert.match(await answer.until(/012345$/), /012345$/);
    assert.match(await body.until(/done$/), /done$/);
    assert.match(await upgraded.until(/(pong){6}/), /(pong){6}$/);
    upgraded.leave();
    // A connection without a request ends without a word: after an answer, and one that was opened ahead of need.
    const unused = await RawClient.open(rig);
    const since = performance.now();
    body.text = "";
    assert.equal(await body.ended(), "");
    assert.equal(await unused.ended(), "");
    assert.ok(performance.now() - since < 2_000);
    assert.equal(app.log.filter((line) => line.includes("method=POST")).length, 1);
  });

  test("an upgraded connection in which nobody speaks: H15", async () => {
    await using dyno = await RawDyno.open(rig, (_text, socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    });
    const app = await appOf(dyno);
    const client = await RawClient.open(rig);
    client.send(`GET /up HTTP/1.1\r\nHost: ${app.host}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: x\r\n\r\n`);
    await client.ended();
    assert.match(await app.line(/up/), /: at=error code=H15 desc="Idle connection" .* status=503 bytes=[1-9]/);
  });

  test("H31: a TLS connection that was made for another app", async () => {
    await using dyno = await RawDyno.open(rig);
    const [one, two] = [await appOf(dyno), await appOf(dyno)];
    const mark = one.id.slice(0, 8);
    await one.set({ hosts: [`www.${mark}.example`, `api.${mark}.example`, `${mark}.test`] });
    await two.set({ hosts: [`shop.${mark}.example`] });
    const ask = async (servername: string, host: string) => {
      const client = await RawClient.open(rig, { servername });
      client.send(
        `GET /${servername} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: "quoted" agent\r\nConnection: close\r\n\r\n`,
      );
      return client.ended();
    };
    assert.match(await ask(`www.${mark}.example`, `www.${mark}.example`), /^HTTP\/1\.1 200 /);
    assert.match(await ask(`www.${mark}.example`, `${mark}.test`), /^HTTP\/1\.1 200 /, "another name of the same app");
    assert.match(
      await ask(`www.${mark}.example`, `shop.${mark}.example`),
      /^HTTP\/1\.1 200 /,
      "one wildcard covers both",
    );
    assert.match(await ask("unknown.example", `shop.${mark}.example`), /^HTTP\/1\.1 200 /, "nobody's name");
    assert.match(await ask(`${mark}.test`, `shop.${mark}.example`), /^HTTP\/1\.1 421 [^]*Misdirected request/);
    await two.set({ hosts: [`shop.${mark}.example`], state: "asleep", dynoIds: [] });
    assert.match(await ask(`${mark}.test`, `shop.${mark}.example`), /^HTTP\/1\.1 421 /, "nor is it held, or wakes");
    assert.match(
      await two.line(/code=/),
      /at=error code=H31 desc="Misdirected Request" method=GET .* dyno= connect= service= status=421 bytes= protocol=http1\.1 tls=true tls_version=tls1\.3 agent="%22quoted%22 agent"$/,
    );
  });
});
