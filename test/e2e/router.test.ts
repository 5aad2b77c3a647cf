import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync, statSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { selfSigned } from "../../src/host/certificates.ts";
import { run, start } from "../../src/lib/command.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { DEFAULT_ROUTING } from "../../src/model/routing.ts";
import { requestRings } from "../../src/router/request-socket.ts";
import { WakeSocket } from "../../src/sleep/wake-socket.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { RawClient } from "./raw-http.ts";
import { FLAG, fields, frame, RawHttp2, statusOf, TYPE } from "./raw-http2.ts";
import { type Answer, type App, Echo, RouterRig } from "./router-rig.ts";

/** The router alone: real HAProxy, real host side of it, dynos that are Node servers. Needs root. */
let rig: RouterRig;
before(async () => {
  rig = await RouterRig.open();
});
after(() => rig[Symbol.asyncDispose]());

interface Seen {
  readonly name: string;
  readonly bytes: number;
  readonly headers: Record<string, string>;
}
const seen = ({ text }: Answer) => JSON.parse(text) as Seen;

/** Asks without pause until `work` is done; gives what was not 200, and how many were asked. */
async function loadWhile(
  app: App,
  work: () => Promise<void>,
): Promise<{ readonly failures: string[]; readonly asked: number }> {
  const failures: string[] = [];
  let asked = 0;
  let done = false;
  const clients = Array.from({ length: 8 }, async () => {
    while (!done) {
      asked++;
      const answer = await app.ask({ body: "x".repeat(2000) }).catch((error: unknown) => String(error));
      if (typeof answer === "string") failures.push(answer);
      else if (answer.status !== 200) failures.push(String(answer.status));
    }
  });
  await work();
  done = true;
  await Promise.all(clients);
  return { failures, asked };
}

test("spec 7.1: requests spread over the up web dynos by chance", async () => {
  const app = rig.app();
  await app.set({ dynoIds: [await rig.dyno("web.1"), await rig.dyno("web.2"), await rig.dyno("web.3")] });
  const counts = new Map<string, number>();
  for (let i = 0; i < 150; i++) {
    const { name } = seen(await app.ask());
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  assert.equal(counts.size, 3, "without numbers of their own HAProxy picks but two of them");
  for (const [name, count] of counts) assert.ok(count > 20 && count < 85, `${name}: ${count} of 150`);
});

test("a new app needs no reload; dynos come and go under load without one and without a failed request", async () => {
  const master = await workersOf();
  const app = rig.app();
  const first = await rig.dyno("web.1");
  await app.set({ dynoIds: [first] });
  const { failures, asked } = await loadWhile(app, async () => {
    let current = [first];
    for (let round = 0; round < 15; round++) {
      current = [...current.slice(-1), await rig.dyno(`web.${round}`)];
      await app.set({ dynoIds: current });
      await pause(30);
    }
  });
  assert.deepEqual(failures, []);
  assert.ok(asked > 15, `${asked} asked, fewer than there were changes`);
  assert.deepEqual(await workersOf(), master, "no reload");
});

test("spec 7.4: headers towards the dyno", async () => {
  const app = rig.app();
  await app.set({ dynoIds: [await rig.dyno("web.1")] });
  const id = "a-valid-id-of-20-chars+/=_";
  const { headers } = seen(
    await app.ask({
      headers: {
        "X-Request-Id": id,
        "X-Forwarded-For": "1.2.3.4, 5.6.7.8",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "1",
        "Proxy-Authorization": "x",
        TE: "trailers",
        Host: `${app.host.toUpperCase()}.:9999`,
      },
    }),
  );
  assert.equal(headers["x-request-id"], id);
  assert.equal(headers["x-forwarded-for"], "1.2.3.4, 5.6.7.8, 127.0.0.1");
  assert.equal(headers["x-forwarded-proto"], "http");
  assert.equal(headers["x-forwarded-port"], String(rig.layout.httpPort));
  assert.match(headers["x-request-start"] ?? "", /^\d{13}$/);
  assert.match(headers["via"] ?? "", /^1\.1 stator-router$/);
  assert.equal(headers["proxy-authorization"], undefined);
  assert.equal(headers["te"], undefined);
  const made = seen(await app.ask({ headers: { "X-Request-Id": "short" } })).headers;
  assert.match(made["x-request-id"] ?? "", /^[0-9a-f-]{36}$/);
  assert.equal(made["x-forwarded-for"], "127.0.0.1");
  await app.line(new RegExp(`request_id=${made["x-request-id"]} `));
});

test("spec 7.10: the line of a request", async () => {
  const app = rig.app();
  await app.set({ dynoIds: [await rig.dyno("web.7")] });
  await app.ask({
    path: '/x?y="1"&z=\u00ff'.replace("\u00ff", "%C3"),
    headers: { "X-Forwarded-For": '9.9.9.9" code=H99' },
  });
  const line = await app.line(/method=GET/);
  assert.match(
    line,
    /^\d{4}-\d\d-\d\dT[\d:.]+\+00:00 heroku\[router\]: at=info method=GET path="\/x\?y=%221%22&z=%C3" host=app-\w+\.localhost request_id=[\w-]{36} fwd="9\.9\.9\.9%22 code=H99, 127\.0\.0\.1" dyno=web\.7 connect=\d+ms service=\d+ms status=200 bytes=\d+ protocol=http1\.1 tls=false tls_version=unknown$/,
  );
});

test("each state has its page and its line (spec 6.4)", async () => {
  const app = rig.app();
  for (const [state, code, status, text] of [
    ["crashed", "H10", 503, /Application error/],
    ["no-web", "H14", 503, /Application error/],
    ["maintenance", "H80", 503, /maintenance/],
    ["blank", "H81", 502, /not been deployed/],
  ] as const) {
    await app.set({ state });
    const answer = await app.ask({ path: `/${code}`, body: "y".repeat(50_000) });
    assert.equal(answer.status, status);
    assert.match(answer.text, text);
    const line = await app.line(new RegExp(`/${code}"`));
    assert.match(
      line,
      new RegExp(
        `at=(error|info) code=${code} desc="[^"]+" method=POST .* dyno= connect= service= status=${status} bytes= `,
      ),
    );
  }
  const unknown = rig.app();
  const answer = await unknown.ask();
  assert.equal(answer.status, 404);
  assert.match(answer.text, /No such app/);
});

test("maintenance holds although dynos are up, and ends", async () => {
  const app = rig.app();
  const dynoIds = [await rig.dyno("web.1")];
  await app.set({ dynoIds });
  await app.set({ state: "maintenance" });
  assert.equal((await app.ask()).status, 503);
  await app.set({ state: "serve" });
  assert.equal((await app.ask()).status, 200);
});

test("a request waits, with its body of 300 kB, for the first dyno (spec 3.2)", async () => {
  const app = rig.app();
  await app.set({});
  const bodies = Array.from({ length: 40 }, () => app.ask({ body: randomBytes(300_000) }));
  await pause(300);
  await app.set({ dynoIds: [await rig.dyno("web.1")] });
  for (const answer of await Promise.all(bodies)) assert.equal(seen(answer).bytes, 300_000);
});

test("held requests survive the host side and the daemon, and HAProxy is adopted, not started again", async () => {
  const app = rig.app();
  await app.set({});
  const pid = rig.pid;
  const bodies = Array.from({ length: 20 }, () => app.ask({ body: randomBytes(300_000) }));
  await pause(200);
  await rig.haproxy?.[Symbol.asyncDispose](); // what a kill -9 leaves is the same: files, and HAProxy
  await rig.requests?.[Symbol.asyncDispose]();
  await pause(300);
  await rig.startHost();
  await rig.startDaemon();
  await app.set({ dynoIds: [await rig.dyno("web.1")] });
  for (const answer of await Promise.all(bodies)) assert.equal(seen(answer).bytes, 300_000);
  assert.equal(rig.pid, pid);
  await app.line(/bytes=\d+/);
  while (app.log.length < 20) await pause(10);
  assert.equal(new Set(app.log).size, 20, "each request has one line, also those while the daemon was away");
});

test("an app that sleeps: its requests wait, and whoever listens hears of it at once; also one who comes later, and after a reload", async () => {
  const app = rig.app("asleep");
  await app.set({});
  const heard: string[] = [];
  const early = app.ask({ body: randomBytes(300_000) });
  await pause(300); // nobody listens
  await using _socket = await WakeSocket.open(rig.instance, (appId) => heard.push(appId), silentLogger);
  await eventually(() => heard.length === 1);
  const more = Array.from({ length: 19 }, () => app.ask({ body: randomBytes(300_000) }));
  await pause(300);
  assert.equal(heard.length, 1, "once a second, however many wait");
  await rig.haproxy?.reload();
  await eventually(() => heard.length >= 3);
  assert.deepEqual([...new Set(heard)], [app.id]);
  await app.set({ state: "serve", dynoIds: [await rig.dyno("web.1")] });
  for (const answer of await Promise.all([early, ...more])) assert.equal(seen(answer).bytes, 300_000);
  await app.set({ state: "asleep", dynoIds: [] });
  heard.length = 0;
  const again = app.ask();
  const began = performance.now();
  await eventually(() => heard.length > 0);
  assert.ok(performance.now() - began < 500, "at once");
  await app.set({ state: "serve", dynoIds: [await rig.dyno("web.1")] });
  assert.equal((await again).status, 200);
  await app.line(/status=200/);
});

test("whether an app has a request or an upgraded connection open", async () => {
  const app = rig.app();
  const gate = Promise.withResolvers<void>();
  await app.set({
    dynoIds: [await rig.dyno("web.1", (_, response) => void gate.promise.then(() => response.end("late")))],
  });
  assert.equal(await rig.haproxy?.isBusy(app.id), false);
  const late = app.ask();
  await eventually(() => rig.haproxy?.isBusy(app.id));
  gate.resolve();
  assert.equal((await late).text, "late");
  await eventually(async () => !(await rig.haproxy?.isBusy(app.id)));
  const server = Echo.server().listen(0, "127.77.200.1");
  await once(server, "listening");
  await app.set({ dynoIds: [rig.dynoAt("web.2", "127.77.200.1", (server.address() as AddressInfo).port)] });
  const echo = await Echo.open(rig.layout.httpPort, app.host);
  await echo.say("hello");
  assert.equal(await rig.haproxy?.isBusy(app.id), true);
  await rig.haproxy?.reload();
  assert.equal(await rig.haproxy?.isBusy(app.id), true, "in the worker of before");
  const options = { ...DEFAULT_ROUTING, sessionAffinity: false, users: [], errorPage: null, maintenancePage: null };
  await app.set({ options: { ...options, balance: "least-connections" } });
  assert.equal(await rig.haproxy?.isBusy(app.id), true, "in the backend of before");
  echo.close();
  await eventually(async () => !(await rig.haproxy?.isBusy(app.id)));
  server.close();
  assert.equal(await rig.haproxy?.isBusy("00000000-0000-4000-8000-000000000000"), false);
});

test("an HAProxy that sends its lines does not try to reach a dead daemon in a loop, and every line comes once it is back", async () => {
  await using sending = await RouterRig.open({ sendsLines: true });
  const app = sending.app();
  await app.set({ dynoIds: [await sending.dyno("web.1")] });
  await sending.requests?.[Symbol.asyncDispose]();
  sending.startPark();
  while (!existsSync(sending.layout.requestSocket)) await pause(10);
  await pause(100); // HAProxy connects
  const before = processorSeconds(sending.pid);
  for (let n = 0; n < 30; n++) assert.equal((await app.ask({ path: `/${n}` })).status, 200);
  await pause(1000);
  const spent = processorSeconds(sending.pid) - before; // alone it would connect 10,000 times a second
  await sending.startDaemon();
  await app.line(/path="\/29"/);
  while (app.log.length < 30) await pause(10);
  assert.equal(new Set(app.log).size, 30);
  assert.ok(spent < 0.4, `${spent} s`);
  assert.equal((await app.ask({ path: "/after" })).status, 200);
  await app.line(/path="\/after"/);
});

test("a daemon that is killed with -9 under load, again and again: no request is without a line in the app's log on disk", async () => {
  const app = rig.app();
  await app.set({ dynoIds: [await rig.dyno("web.1")] });
  await rig.requests?.[Symbol.asyncDispose]();
  let asked = 0;
  let isOver = false;
  const clients = Array.from({ length: 4 }, async () => {
    while (!isOver && asked < 1_200) assert.equal((await app.ask({ path: `/${asked++}` })).status, 200);
  });
  const daemon = () => {
    const program = join(import.meta.dirname, "..", "..", "bench", "router-reader.ts");
    return start(process.execPath, [program, rig.run, join(rig.folder, "daemon"), app.id], {
      stdio: ["pipe", "pipe", "inherit"],
    });
  };
  for (let round = 0; round < 3; round++) {
    const child = daemon();
    assert.ok(child.stdout);
    await once(child.stdout, "data"); // it reads
    await pause(100);
    child.kill("SIGKILL");
    await once(child, "close");
  }
  isOver = true;
  await Promise.all(clients);
  await using last = new AsyncDisposableStack();
  const hub = last.use(await rig.openLogs());
  await rig.startDaemon(hub);
  const paths = async (): Promise<readonly string[]> =>
    (await hub.history(app.id, { lines: 1_500 })).map(({ text }) => /path="(.*?)"/.exec(text)?.[1] ?? text);
  for (const until = performance.now() + 5_000; new Set(await paths()).size < asked; await pause(20))
    assert.ok(performance.now() < until, `${new Set(await paths()).size} of ${asked}`);
  const found = await paths();
  assert.ok(asked > 50, `${asked} asked`);
  // Each time what came in the last milliseconds may be there twice.
  const twice = found.length - new Set(found).size;
  assert.ok(twice < asked / 2, `${twice} lines of ${asked} twice`);
  await rig.requests?.[Symbol.asyncDispose]();
  await rig.startDaemon();
});

test("what HAProxy wrote over before a daemon came back is counted, and said", async () => {
  const app = rig.app();
  await app.set({ dynoIds: [await rig.dyno("web.1")] });
  await app.ask({ path: "/first" });
  await app.line(/"\/first"/);
  await rig.requests?.[Symbol.asyncDispose]();
  const count = 1_150; // lines of 8 kB each, of which the ring holds a thousand
  const path = `/${"x".repeat(7_900)}`;
  let asked = 0;
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      while (asked++ < count) await app.ask({ path });
    }),
  );
  await rig.startDaemon();
  await app.line(/Error L10 \(output buffer overflow\): \d+ request lines/, 10_000);
  const lost = rig.requests?.linesLost ?? 0;
  const lines = app.log.filter((line) => line.includes("/xxx")).length;
  assert.ok(lines > 900 && lines < 1_100, `${lines} lines`);
  assert.ok(Math.abs(lines + lost - count) < 5, `${lines} lines, ${lost} lost, of ${count}`); // its own numbers are not exact
});

test("the lines of a worker that was killed with -9 are read; nobody but HAProxy and the daemon's group may read them", async () => {
  const app = rig.app();
  await app.set({ dynoIds: [await rig.dyno("web.1")] });
  // HAProxy begins its file anew whenever it reads its configuration: that must not be the one that is used.
  assert.ok(rig.haproxy);
  await rig.haproxy.reload();
  await run("haproxy", ["-c", "-f", join(rig.layout.folder, "haproxy.cfg")]);
  await rig.requests?.[Symbol.asyncDispose]();
  assert.equal((await app.ask({ path: "/last-words" })).status, 200);
  const [worker = 0] = await workersOf();
  const { mode, uid, size } = statSync(join(requestRings(rig.instance), String(worker)));
  assert.deepEqual([mode & 0o777, uid, size], [0o640, 64_321, 8 * 1024 * 1024]);
  process.kill(worker, "SIGKILL");
  for (let now = worker; now === worker; await pause(10)) [now = worker] = await workersOf().catch(() => []);
  while ((await app.ask({ path: "/next" }).catch(() => undefined))?.status !== 200) await pause(10);
  await rig.startDaemon();
  await app.line(/"\/last-words"/);
  await app.line(/"\/next"/);
});

test("a host process with other ports: the router that it adopts listens there, and requests under way are answered", async () => {
  const app = rig.app();
  await app.set({});
  const pid = rig.pid;
  const before = rig.layout;
  const waiting = Array.from({ length: 5 }, () => app.ask({ body: randomBytes(100_000) }));
  await pause(200);
  await rig.haproxy?.[Symbol.asyncDispose]();
  rig.layout = { ...before, httpPort: await freePort() };
  await rig.startHost();
  await app.set({ dynoIds: [await rig.dyno("web.1")] });
  for (const answer of await Promise.all(waiting)) assert.equal(answer.status, 200);
  assert.equal((await app.ask()).status, 200, "on the new port");
  assert.equal(rig.pid, pid);
  const old = connect(before.httpPort, "127.0.0.1");
  const [error] = (await once(old, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNREFUSED", "not on the old one");
});

test("a held request is answered at once when the app turns out crashed (H10)", async () => {
  const app = rig.app();
  await app.set({});
  const held = app.ask();
  await pause(150);
  await app.set({ state: "crashed" });
  assert.equal((await held).status, 503);
  await app.line(/code=H10/);
});

test("reload under load, with held requests: none fails, held ones go to the new worker", async () => {
  const [busy, waiting] = [rig.app(), rig.app()];
  await busy.set({ dynoIds: [await rig.dyno("web.1"), await rig.dyno("web.2")] });
  await waiting.set({});
  const held = Array.from({ length: 20 }, () => waiting.ask({ body: randomBytes(300_000) }));
  await pause(200);
  const before = await workersOf();
  const { failures, asked } = await loadWhile(busy, async () => {
    for (let i = 0; i < 3; i++) {
      await rig.haproxy?.reload();
      await pause(100);
    }
    await waiting.set({ dynoIds: [await rig.dyno("web.1")] });
    for (const answer of await Promise.all(held)) assert.equal(seen(answer).bytes, 300_000);
  });
  assert.deepEqual(failures, []);
  assert.ok(asked > 100);
  assert.notDeepEqual(await workersOf(), before);
  await waiting.line(/status=200/);
  while (waiting.log.length < 20) await pause(10);
  await pause(200);
  assert.equal(waiting.log.length, 20, `one line each, although four workers had them:\n${waiting.log.join("\n")}`);
  // Each has one, also what a stopping worker carried to its end.
  for (const until = performance.now() + 5_000; busy.log.length < asked && performance.now() < until; ) await pause(10);
  assert.equal(busy.log.length, asked);
});

test("a reload drops no idle connection: what comes next on it is answered, over HTTP/1.1 and HTTP/2", async () => {
  const app = rig.app();
  await app.set({ dynoIds: [await rig.dyno("web.1", (_request, response) => response.end("fine"))] });
  const clients = await Promise.all([RawClient.open(rig), RawClient.open(rig, { servername: app.host })]);
  const session = await RawHttp2.open(rig, app.host);
  const get = fields([":method", "GET"], [":scheme", "https"], [":path", "/"], [":authority", app.host]);
  const all = async (stream: number) => {
    session.send(frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, stream, get));
    for (const client of clients) client.send(`GET / HTTP/1.1\r\nHost: ${app.host}\r\n\r\n`);
    for (const client of clients) assert.match(await client.until(/fine$/), /^HTTP\/1\.1 200 /);
    const answer = await session.frame((each) => each.type === TYPE.headers && each.stream === stream);
    assert.equal(answer && statusOf(answer), "200");
  };
  await all(1);
  for (const client of clients) client.text = "";
  await rig.haproxy?.reload();
  await all(3);
  for (const client of clients) {
    assert.match(client.text, /\r\nconnection: close\r\n/i);
    assert.match(await client.ended(), /fine$/);
  }
  session.leave();
});

test("held requests over TLS, of HTTP/1.1 and HTTP/2, cross a reload as what they are", async () => {
  const app = rig.app();
  await app.set({});
  const client = await RawClient.open(rig, { servername: app.host });
  client.send(`GET /held1 HTTP/1.1\r\nHost: ${app.host}\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n`);
  const session = connectHttp2(`https://127.0.0.1:${rig.layout.httpsPort}`, {
    rejectUnauthorized: false,
    servername: app.host,
  });
  const stream = session.request(
    { ":method": "POST", ":path": "/held2", ":authority": app.host, "x-forwarded-for": "6.6.6.6" },
    { endStream: false },
  );
  stream.end(randomBytes(50_000));
  let text = "";
  stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  const ended = once(stream, "end");
  await pause(200); // nobody tells when they are held
  await rig.haproxy?.reload();
  await app.set({ dynoIds: [await rig.dyno("web.1")] });
  await ended;
  const [, body = ""] = (await client.until(/\}$/)).split("\r\n\r\n");
  for (const each of [body, text]) {
    const { headers } = JSON.parse(each) as Seen;
    assert.equal(headers["x-forwarded-for"], "6.6.6.6, 127.0.0.1");
    assert.equal(headers["x-forwarded-proto"], "https");
    assert.equal(headers["x-forwarded-port"], String(rig.layout.httpsPort));
  }
  assert.equal((JSON.parse(text) as Seen).bytes, 50_000);
  for (const path of ["/held1", "/held2"])
    assert.match(
      await app.line(new RegExp(path)),
      / fwd="6\.6\.6\.6, 127\.0\.0\.1" dyno=web\.1 .* status=200 .* tls=true /,
    );
  client.leave();
  session.close();
});

test("more new apps than spare backends: a reload, and every one is served", async () => {
  const dyno = await rig.dyno("web.1");
  const apps = Array.from({ length: 80 }, () => rig.app());
  await Promise.all(apps.map((app) => app.set({ dynoIds: [dyno] })));
  for (const app of apps) assert.equal((await app.ask()).status, 200);
});

test("kill -9 of HAProxy's master, and of its worker: answered again within a second, without the daemon", async () => {
  const app = rig.app();
  await app.set({ dynoIds: [await rig.dyno("web.1")] });
  for (const victim of ["master", "worker"] as const) {
    let pid = victim === "master" ? rig.pid : undefined;
    // The old master's worker may have answered all of the above before there was a new master.
    while (pid === undefined) pid = (await workersOf().catch(() => []))[0];
    const begun = performance.now();
    process.kill(pid, "SIGKILL");
    let answered = 0;
    while (answered < 20) {
      const ok = await app.ask().then(
        (answer) => answer.status === 200,
        () => false,
      );
      answered = ok ? answered + 1 : 0;
      if (!ok) await pause(10);
    }
    const took = performance.now() - begun;
    assert.ok(took < 1000, `${victim}: ${Math.round(took)} ms`);
  }
});

const newCertificate = selfSigned(["localhost"], Date.now());

test("what HAProxy refuses is never put in place: it goes on as it was, and after a kill -9 it comes back so", async () => {
  const app = rig.app();
  await app.set({ dynoIds: [await rig.dyno("web.1")] });
  const good = () => newCertificate;
  const files = ["haproxy.cfg", "router.pem", "hosts.map"].map((name) => join(rig.layout.folder, name));
  const before = files.map((path) => readFileSync(path, "utf8"));
  rig.certificate = async () => "no certificate";
  assert.ok(rig.haproxy);
  await assert.rejects(rig.haproxy.reload(), /refuses its new configuration/);
  assert.deepEqual(files.map((path) => readFileSync(path, "utf8")).slice(0, 2), before.slice(0, 2));
  const young = rig.app();
  await young.set({ dynoIds: app.route.dynoIds });
  for (const each of [app, young]) assert.equal((await each.ask()).status, 200, "routes change as before");
  const { pid } = rig;
  process.kill(pid, "SIGKILL");
  while (rig.haproxy.pid === pid || rig.haproxy.pid === undefined) await pause(10);
  await young.set({ hosts: [young.host, "again.localhost"] }); // resolves once it is up
  for (const each of [app, young]) assert.equal((await each.ask()).status, 200);
  rig.certificate = good;
  await rig.haproxy.reload();
  assert.equal((await app.ask()).status, 200);
  assert.notEqual(readFileSync(files[1] ?? "", "utf8"), before[1]);
});

test("a client that leaves while it is held: H27, and its place is free again", async () => {
  const app = rig.app();
  await app.set({});
  const leaving = new AbortController();
  const held = assert.rejects(app.ask({ signal: leaving.signal }));
  await pause(100);
  leaving.abort();
  await held;
  assert.match(await app.line(/code=/), /sock=client at=warning code=H27 desc="Client Request Interrupted"/);
});

test("wildcards, several hosts, and hosts that move to another app", async () => {
  const [one, two] = [rig.app(), rig.app()];
  const mark = one.id.slice(0, 8);
  const dyno = await rig.dyno("web.1");
  await one.set({ dynoIds: [dyno], hosts: [one.host, `*.${mark}.example`, `_x.${mark}.example`] });
  await two.set({ dynoIds: [await rig.dyno("web.2")] });
  const nameAt = async (host: string) => (await one.ask({ headers: { Host: host } })).status;
  assert.equal(await nameAt(`anything.${mark}.example`), 200);
  assert.equal(await nameAt(`_x.${mark}.example:8080`), 200);
  assert.equal(await nameAt(`${mark}.example`), 404);
  assert.equal(await nameAt(`*.${mark}.example`), 200);
  await one.set({ hosts: [] });
  await two.set({ hosts: [one.host] });
  assert.equal(seen(await one.ask()).name, "web.2");
  await rig.haproxy?.removeRoute(two.id);
  assert.equal((await one.ask()).status, 404);
});

test("WebSocket and TLS: both directions, on the installation's certificate", async () => {
  const app = rig.app();
  const server = createServer((socket) => {
    socket.on("error", () => {}); // the client just leaves
    socket.once("data", (head) => {
      const proto = /x-forwarded-proto: (\w+)/.exec(head.toString())?.[1];
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n${proto} `,
      );
      socket.pipe(socket);
    });
  });
  server.listen(0, "127.66.0.3");
  await once(server, "listening");
  await app.set({ dynoIds: [rig.dynoAt("web.1", "127.66.0.3", (server.address() as { port: number }).port)] });
  const plain = connect(rig.layout.httpPort, "127.0.0.1");
  const tls = connectTls({
    port: rig.layout.httpsPort,
    host: "127.0.0.1",
    rejectUnauthorized: false,
    servername: app.host,
  });
  for (const [socket, expected] of [
    [plain, "http ping"],
    [tls, "https ping"],
  ] as const) {
    socket.write(
      `GET / HTTP/1.1\r\nHost: ${app.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    );
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (/https? $/.test(text)) socket.write("ping");
    });
    while (!text.endsWith(expected)) await pause(10);
    socket.end();
  }
  await app.line(/status=101 .*protocol=http1\.1 tls=true tls_version=tls1\.3/);
  server.close();
});

test("bad requests and hostile bytes harm nothing", async () => {
  const app = rig.app();
  await app.set({ dynoIds: [await rig.dyno("web.1")] });
  const raw = async (text: string): Promise<string> => {
    const socket = connect(rig.layout.httpPort, "127.0.0.1");
    socket.on("error", () => {}); // closed on us
    let answer = "";
    socket.on("data", (chunk: Buffer) => (answer += chunk.toString()));
    socket.end(Buffer.from(text, "latin1"));
    await Promise.race([once(socket, "close"), pause(3000)]);
    return answer;
  };
  for (const text of [
    "GET / HTTP/1.1\r\n\r\n",
    `GET / HTTP/1.1\r\nHost: ${app.host}\r\nHost: other\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: ${app.host}\r\nContent-Length: 1, 2\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: ${app.host}\r\nX: ${"x".repeat(20_000)}\r\n\r\n`,
    "\x16\x03\x01\x00",
  ])
    assert.match(await raw(text), /^(HTTP\/1\.[01] 400 |$)/, JSON.stringify(text.slice(0, 80)));
  await raw(
    `GET /\x80"%0a HTTP/1.1\r\nHost: ${app.host}:1 evil="1\r\nX-Forwarded-For: \xff"\r\nConnection: close\r\n\r\n`,
  );
  assert.equal((await app.ask({ path: "/after" })).status, 200);
  await app.line(/after/);
  for (const line of app.log) assert.match(line, /method=\S+ path="[^"]*" host=\S+ request_id=\S+ fwd="[^"]*" dyno=/);
});

async function workersOf(): Promise<readonly number[]> {
  const { HaproxySocket } = await import("../../src/host/haproxy-socket.ts");
  const { systemClock } = await import("../../src/lib/clock.ts");
  const { current } = await new HaproxySocket(`${rig.layout.socketFolder}/master.sock`, systemClock).workers();
  return [current];
}

/** What HAProxy's workers have used. */
function processorSeconds(master: number): number {
  const workers = readFileSync(`/proc/${master}/task/${master}/children`, "utf8").trim().split(" ");
  const ticks = workers.map((pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return Number(fields[11]) + Number(fields[12]); // utime and stime
  });
  return ticks.reduce((sum, each) => sum + each, 0) / 100;
}
