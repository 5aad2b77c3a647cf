import assert from "node:assert/strict";
import { once } from "node:events";
import type { RequestListener, ServerResponse } from "node:http";
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer as createHttp2Server,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { HaproxySocket } from "../../src/host/haproxy-socket.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { passwordDigest } from "../../src/model/basic-auth.ts";
import { DEFAULT_ROUTING } from "../../src/model/routing.ts";
import { LEAVE_MS, type RouteOptions } from "../../src/router/routes.ts";
import { type Answer, type App, RouterRig } from "./router-rig.ts";

/** Options of apps in the real HAProxy; none of them costs a reload. Needs root. */
let rig: RouterRig;
let worker: number;
before(async () => {
  rig = await RouterRig.open();
  worker = await workerNow();
});
after(() => rig[Symbol.asyncDispose]());

const USUAL: RouteOptions = {
  ...DEFAULT_ROUTING,
  sessionAffinity: false,
  users: [],
  errorPage: null,
  maintenancePage: null,
};
const withOptions = (app: App, change: Partial<RouteOptions>): Promise<void> =>
  app.set({ options: { ...USUAL, ...change } });

const SWITCHING =
  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

interface Seen {
  readonly name: string;
  readonly headers: Record<string, string>;
}
const seen = ({ text }: Answer) => JSON.parse(text) as Seen;

/** A dyno whose answers to /slow end when the test says so; all else is answered at once, with its name. */
class SlowDyno {
  readonly answers: ServerResponse[] = [];
  readonly name: string;
  #arrived: (() => void) | undefined;

  constructor(name: string) {
    this.name = name;
  }
  readonly listener: RequestListener = (request, response) => {
    if (request.url !== "/slow") return void response.end(this.name);
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write("begun ");
    this.answers.push(response);
    this.#arrived?.();
  };
  async has(count: number): Promise<void> {
    while (this.answers.length < count) await new Promise<void>((resolve) => (this.#arrived = resolve));
  }
  end(): void {
    for (const response of this.answers.splice(0)) response.end("ended");
  }
}

test("least-connections: a request goes where the fewest are; the change loses neither held nor running requests", async () => {
  const app = rig.app();
  const slow = new SlowDyno("web.1");
  await app.set({});
  const held = Array.from({ length: 10 }, () => app.ask({ path: "/held", body: "x".repeat(100_000) }));
  await pause(150); // nobody tells when they are held
  await withOptions(app, { balance: "least-connections" });
  const [one, two] = [await rig.dyno("web.1", slow.listener), await rig.dyno("web.2")];
  await app.set({ dynoIds: [one] });
  for (const answer of await Promise.all(held)) assert.equal(answer.text, "web.1");
  const running = Array.from({ length: 4 }, () => app.ask({ path: "/slow" }));
  await slow.has(4);
  await app.set({ dynoIds: [one, two] });
  for (let i = 0; i < 20; i++)
    assert.equal(seen(await app.ask()).name, "web.2", "by chance every fourth goes to web.1");
  await withOptions(app, { balance: "random" });
  const names = new Set<string>();
  while (names.size < 2) names.add((await app.ask()).text);
  slow.end();
  for (const answer of await Promise.all(running)) assert.equal(answer.text, "begun ended");
});

test("finish on stop: a dyno that leaves gets no new request, and its long answers go on to their end", async () => {
  const app = rig.app();
  const slow = new SlowDyno("web.1");
  await app.set({ dynoIds: [await rig.dyno("web.1", slow.listener)] });
  const running = app.ask({ path: "/slow" });
  await slow.has(1);
  await app.set({ dynoIds: [await rig.dyno("web.2")] });
  for (let i = 0; i < 10; i++) assert.equal(seen(await app.ask()).name, "web.2");
  slow.end();
  assert.equal((await running).text, "begun ended");
  assert.match(await app.line(/"\/slow"/), /^\S+ heroku\[router\]: at=info .* dyno=web\.1 .* status=200/);
});

test("spec 7.7: session affinity: a browser stays with its dyno, and gets another when that has gone", async () => {
  const app = rig.app();
  const dynoIds = [await rig.dyno("web.1"), await rig.dyno("web.2"), await rig.dyno("web.3")];
  await app.set({ dynoIds });
  assert.equal((await app.ask()).headers["set-cookie"], undefined);
  await withOptions(app, { sessionAffinity: true });
  const first = await app.ask();
  const [given = "", ...more] = first.headers["set-cookie"] ?? [];
  assert.deepEqual(more, []);
  assert.match(
    given,
    /^heroku-session-affinity=[\w+/=]+; Version=1; Expires=\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT; Max-Age=86400; Domain=app-\w+\.localhost; Path=\/; HttpOnly$/,
  );
  const [pair = ""] = given.split(";");
  const again = () => app.ask({ headers: { Cookie: `a=b; ${pair}; c=d` } });
  const { name } = seen(first);
  for (let i = 0; i < 12; i++) {
    const answer = await again();
    assert.equal(seen(answer).name, name);
    assert.equal(answer.headers["set-cookie"], undefined);
  }
  const gone = dynoIds.find((id) => rig.names.get(id) === name);
  await app.set({ dynoIds: dynoIds.filter((id) => id !== gone) });
  const moved = await again();
  assert.equal(moved.status, 200);
  assert.notEqual(seen(moved).name, name);
  assert.match(moved.headers["set-cookie"]?.[0] ?? "", /^heroku-session-affinity=/);
  const client = connectHttp2(`https://127.0.0.1:${rig.layout.httpsPort}`, {
    rejectUnauthorized: false,
    servername: app.host,
  });
  const secure = await exchange(client, { ":path": "/", ":authority": app.host });
  client.close();
  assert.match(String(secure.headers["set-cookie"]), /^heroku-session-affinity=[^;]+; .*; HttpOnly; Secure$/);
  for (const forged of ["", "../x", "Li4vLi4v", "%00", Buffer.from(gone ?? "").toString("base64")])
    assert.equal((await app.ask({ headers: { Cookie: `heroku-session-affinity=${forged}` } })).status, 200, forged);
});

test("basic auth: only who knows a name and its password comes in; the dyno never sees the password", async () => {
  const app = rig.app();
  await app.set({ dynoIds: [await rig.dyno("web.1")] });
  const salt = Buffer.from("0123456789abcdef").toString("base64");
  const user = (name: string, password: string) => ({ name, salt, digest: passwordDigest(password, salt) });
  await withOptions(app, { users: [user("ann", "pass:wörd 1"), user("bob@x.y", "another one")] });
  const as = (text: string, scheme = "Basic") =>
    app.ask({ headers: { Authorization: `${scheme} ${Buffer.from(text).toString("base64")}` } });
  const refused = await app.ask({ path: "/secret" });
  assert.deepEqual([refused.status, refused.headers["www-authenticate"]], [401, 'Basic realm="app", charset="UTF-8"']);
  assert.match(refused.text, /asks for a name/);
  assert.match(await app.line(/"\/secret"/), /at=info .* dyno= connect= service= status=401/);
  for (const wrong of [
    `${"x".repeat(7000)}:y`,
    `ann:${"x".repeat(7000)}`,
    "ann:pass:wörd 2",
    "ann:",
    "ann",
    ":",
    "",
    "eve:pass:wörd 1",
    "ann:another one",
    "bob:x\0",
    "ANN:pass:wörd 1",
  ])
    assert.equal((await as(wrong)).status, 401, wrong);
  assert.equal((await as("ann:pass:wörd 1", "Bearer")).status, 401);
  for (const right of ["ann:pass:wörd 1", "bob@x.y:another one"]) {
    const answer = await as(right);
    assert.equal(answer.status, 200, right);
    assert.equal(seen(answer).headers["authorization"], undefined);
  }
  await withOptions(app, { users: [user("bob@x.y", "another one")] });
  assert.equal((await as("ann:pass:wörd 1")).status, 401, "she was removed");
  await withOptions(app, {});
  const open = await as("ann:x");
  assert.equal(seen(open).headers["authorization"], `Basic ${Buffer.from("ann:x").toString("base64")}`);
});

test("basic auth: nobody waits for a dyno who may not come in, and a protected app's pages are not shown either", async () => {
  const app = rig.app();
  const salt = Buffer.alloc(16).toString("base64");
  await withOptions(app, { users: [{ name: "ann", salt, digest: passwordDigest("long enough", salt) }] });
  assert.equal((await app.ask()).status, 401);
  await app.set({ state: "maintenance" });
  assert.equal((await app.ask()).status, 401);
});

test("timeouts of an app: first byte (H12), a pause in its answer (H15), those of event streams and of WebSockets", async () => {
  const app = rig.app();
  const silent = await rig.dyno("web.1", (request, response) => {
    if (request.url === "/never") return;
    response.write("begun"); // and no more
  });
  await app.set({ dynoIds: [silent] });
  await withOptions(app, { firstByteSeconds: 1, rollingSeconds: 2 });
  const tunnels = rig.app();
  const upgrading = createServer((socket) => {
    socket.on("error", () => {}); // cut, as wanted
    socket.once("data", () => void socket.write(SWITCHING));
  });
  await tunnels.set({ dynoIds: [await listening(upgrading, "127.66.0.6")] });
  await withOptions(tunnels, { rollingSeconds: 2 });
  const tunnel = connect(rig.layout.httpPort, "127.0.0.1");
  const webSocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
  tunnel.write(`GET /tunnel HTTP/1.1\r\nHost: ${tunnels.host}\r\n${webSocket}\r\n\r\n`);
  const ended = once(tunnel.resume(), "close");
  const [never, pause, stream] = await Promise.all([
    app.ask({ path: "/never" }),
    app.ask({ path: "/pause" }).catch((error: Error) => error),
    app.ask({ path: "/stream", headers: { Accept: "text/event-stream" } }).catch((error: Error) => error),
  ]);
  assert.equal(never.status, 503);
  assert.ok(pause instanceof Error && stream instanceof Error, "both are cut");
  assert.match(await app.line(/"\/never"/), /code=H12 desc="Request timeout" .* service=1\d\d\dms status=503/);
  assert.match(await app.line(/"\/pause"/), /code=H15 desc="Idle connection" .* service=1\d\d\dms/);
  assert.match(await app.line(/"\/stream"/), /code=H15 .* service=2\d\d\dms/);
  await ended;
  assert.match(await tunnels.line(/"\/tunnel"/), /service=2\d\d\dms /);
  upgrading.close();
});

test("https redirect: 301 for GET and HEAD, 308 for the rest; what a client says of its protocol counts for nothing", async () => {
  const app = rig.app();
  const mark = app.id.slice(0, 8);
  await app.set({ dynoIds: [await rig.dyno("web.1")], hosts: [app.host, `*.${mark}.example`] });
  await withOptions(app, { httpsRedirect: true });
  const port = rig.layout.httpsPort;
  for (const [method, status] of [
    ["GET", 301],
    ["HEAD", 301],
    ["POST", 308],
    ["DELETE", 308],
  ] as const) {
    const answer = await app.ask({ method, path: "/a//b?c=d&e", headers: { "X-Forwarded-Proto": "https" } });
    assert.equal(answer.status, status);
    assert.equal(answer.headers.location, `https://${app.host}:${port}/a//b?c=d&e`);
  }
  const wild = await app.ask({ path: "//evil.example/", headers: { Host: `A-b.${mark}.example:80` } });
  assert.equal(wild.headers.location, `https://a-b.${mark}.example:${port}//evil.example/`);
  const odd = await app.ask({ headers: { Host: `evil/.${mark}.example` } });
  assert.equal(odd.status, 400, "no way out for a host that is a visitor's text");
  assert.match(await app.line(/status=400/), / at=info method=GET /);
  const client = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false, servername: app.host });
  const secure = await exchange(client, { ":path": "/", ":authority": app.host, "x-forwarded-proto": "http" });
  client.close();
  assert.equal(secure.headers[":status"], 200);
  assert.equal((JSON.parse(secure.text) as Seen).headers["x-forwarded-proto"], "https");
});

test("spec 7.8: an app's own error and maintenance pages, in a frame, for the router's 503 and nothing else", async () => {
  const app = rig.app();
  const frame = (url: string) => new RegExp(`<body><iframe src="${url}" style="[\\w:;%-]+"></iframe></body>`);
  await app.set({ state: "crashed" });
  assert.match((await app.ask()).text, /<h1>Application error<\/h1>/);
  await withOptions(app, {
    errorPage: "https://errors.example/a?b=1&c=%27%22",
    maintenancePage: "http://errors.example/soon",
  });
  const error = frame("https://errors\\.example/a\\?b=1&amp;c=%27%22");
  const crashed = await app.ask();
  assert.deepEqual([crashed.status, crashed.headers["content-type"]], [503, "text/html; charset=utf-8"]);
  assert.match(crashed.text, error);
  await app.set({ state: "no-web" });
  assert.match((await app.ask()).text, error);
  await app.set({ state: "maintenance" });
  assert.match((await app.ask()).text, frame("http://errors\\.example/soon"));
  await app.set({ state: "blank" });
  const blank = await app.ask();
  assert.deepEqual([blank.status, /not been deployed/.test(blank.text)], [502, true]);
  const dyno = await rig.dyno("web.1", (request, response) => {
    if (request.url === "/none") return void request.socket.destroy();
    response.writeHead(Number(request.url?.slice(1)), { "X-Stator-Own-Error": "1" }).end("the app's own");
  });
  await app.set({ state: "serve", dynoIds: [dyno] });
  const none = await app.ask({ path: "/none" });
  assert.deepEqual([none.status, none.headers["x-stator-own-error"]], [503, undefined]);
  assert.match(none.text, error);
  const kept = connect(rig.layout.httpPort, "127.0.0.1");
  let answers = "";
  kept.on("data", (chunk: Buffer) => (answers += chunk.toString()));
  for (const [path, wanted] of [
    ["/404", /the app's own/],
    ["/none", /<\/html>/],
  ] as const) {
    kept.write(`GET ${path} HTTP/1.1\r\nHost: ${app.host}\r\n\r\n`);
    while (!wanted.test(answers)) await once(kept, "data");
  }
  kept.destroy();
  assert.match(answers, error, "also for a later request of a connection (hold.lua)");
  for (const status of [404, 500, 502, 504]) {
    const own = await app.ask({ path: `/${status}` });
    assert.deepEqual([own.status, own.text], [status, "the app's own"]);
  }
  await withOptions(app, {});
  await app.set({ state: "crashed", dynoIds: [] });
  assert.match((await app.ask()).text, /<h1>Application error<\/h1>/, "ours again, at once");
  assert.match(await app.line(/code=H10/), /status=503/);
});

test("h2c to dynos: calls as gRPC makes them, both ways at once, with trailers; HTTP/1.1 clients are served too", async () => {
  const app = rig.app();
  const calls: IncomingHttpHeaders[] = [];
  const grpc = createHttp2Server();
  grpc.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    calls.push(headers);
    stream.on("error", () => {}); // a client left
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    let sent: IncomingHttpHeaders = {};
    stream.on("trailers", (trailers) => (sent = trailers));
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "x-saw": String(sent["x-sent"]) }));
    stream.on("data", (chunk: Buffer) => stream.write(`echo ${chunk.toString()}`));
    stream.on("end", () => stream.end());
  });
  const dynoId = await listening(grpc, "127.66.0.4");
  await app.set({ dynoIds: [dynoId] });
  assert.equal((await app.ask()).status, 503, "such a dyno does not understand HTTP/1.1");
  await withOptions(app, { dynoProtocol: "h2c" });
  for (const [url, more] of [
    [`http://127.0.0.1:${rig.layout.httpPort}`, {}],
    [`https://127.0.0.1:${rig.layout.httpsPort}`, { rejectUnauthorized: false, servername: app.host }],
  ] as const) {
    const client = connectHttp2(url, more);
    const call = client.request(
      {
        ":method": "POST",
        ":path": "/pkg.Echo/Talk",
        ":authority": app.host,
        te: "trailers",
        "content-type": "application/grpc",
      },
      { waitForTrailers: true },
    );
    call.on("wantTrailers", () => call.sendTrailers({ "x-sent": "also from the client" }));
    const trailers = once(call, "trailers");
    for (const word of ["one", "two"]) {
      call.write(word);
      const [chunk] = (await once(call, "data")) as [Buffer];
      assert.equal(chunk.toString(), `echo ${word}`, "before the call has ended");
    }
    call.end();
    const [last] = (await trailers) as [IncomingHttpHeaders];
    assert.deepEqual([last["grpc-status"], last["x-saw"]], ["0", "also from the client"]);
    client.close();
    const headers = calls.at(-1);
    assert.equal(headers?.["te"], "trailers");
    assert.match(String(headers["x-request-id"]), /^[0-9a-f-]{36}$/);
  }
  await withOptions(app, { dynoProtocol: "h2c", firstByteSeconds: 1, rollingSeconds: 20 });
  const patient = connectHttp2(`http://127.0.0.1:${rig.layout.httpPort}`);
  const call = patient.request({
    ":method": "POST",
    ":path": "/pkg.Echo/Talk",
    ":authority": app.host,
    "content-type": "application/grpc+proto",
  });
  for (const word of ["before", "after"]) {
    call.write(word);
    const [chunk = "cut"] = (await Promise.race([once(call, "data"), once(call, "close")])) as [Buffer?];
    assert.equal(chunk.toString(), `echo ${word}`);
    if (word === "before") await pause(1_500);
  }
  call.close();
  patient.close();
  assert.equal((await app.ask({ body: "hi" })).text, "echo hi");
  assert.match(await app.line(/path="\/pkg\.Echo\/Talk"/), /method=POST .* status=200/);
  grpc.close();
});

test("none of that took a reload; after one, and after HAProxy's death, all options are as they were", async () => {
  assert.equal(await workerNow(), worker);
  const [least, spoken] = [rig.app(), rig.app()];
  await least.set({ dynoIds: [await rig.dyno("web.1"), await rig.dyno("web.2")] });
  const salt = Buffer.alloc(16, 7).toString("base64");
  const users = [{ name: "ann", salt, digest: passwordDigest("long enough", salt) }];
  await withOptions(least, { balance: "least-connections", users });
  const http2 = createHttp2Server((_request, response) => void response.end("spoken"));
  await spoken.set({ dynoIds: [await listening(http2, "127.66.0.5")] });
  await withOptions(spoken, { dynoProtocol: "h2c", sessionAffinity: true });
  const headers = { Authorization: `Basic ${Buffer.from("ann:long enough").toString("base64")}` };
  const asWanted = async () => {
    assert.equal((await least.ask()).status, 401);
    assert.equal((await least.ask({ headers })).status, 200);
    const answer = await spoken.ask();
    assert.deepEqual([answer.text, answer.headers["set-cookie"]?.length], ["spoken", 1]);
  };
  await asWanted();
  await rig.haproxy?.reload();
  assert.notEqual(await workerNow(), worker);
  await asWanted();
  const pid = rig.pid;
  process.kill(pid, "SIGKILL");
  while (rig.haproxy?.pid === undefined || rig.pid === pid) await pause(10);
  for (let tries = 0; ; tries++) {
    const up = await least.ask().catch((error: unknown) => error);
    if (!(up instanceof Error)) break;
    assert.ok(tries < 500, String(up));
    await pause(10);
  }
  await asWanted();
  http2.close();
});

test("finish on stop: what a dyno has taken may be answered before it is told to stop, for a second, over a reload too", async () => {
  const app = rig.app();
  const slow = new SlowDyno("web.1");
  await app.set({ dynoIds: [await rig.dyno("web.1", slow.listener)] });
  await rig.haproxy?.untilLeft(app.id); // at once: it is not leaving
  const running = app.ask({ path: "/slow" });
  await slow.has(1);
  await rig.haproxy?.untilLeft(app.id);
  await app.set({ dynoIds: [await rig.dyno("web.2")] });
  await rig.haproxy?.reload();
  let isOver = false;
  const left = rig.haproxy?.untilLeft(app.id).then(() => (isOver = true));
  await pause(200);
  assert.equal(isOver, false);
  slow.end();
  assert.equal((await running).text, "begun ended");
  await left;
  const next = new SlowDyno("web.3");
  await app.set({ dynoIds: [await rig.dyno("web.3", next.listener)] });
  const long = app.ask({ path: "/slow" });
  await next.has(1);
  await app.set({ dynoIds: [] });
  const began = systemClock.now(); // its clock: of another one a fraction of the second may be missing
  await rig.haproxy?.untilLeft(app.id);
  assert.ok(systemClock.now() - began >= LEAVE_MS);
  next.end();
  assert.equal((await long).text, "begun ended", "it goes on meanwhile");
});

async function listening(server: Http2Server | Server, address: string): Promise<string> {
  server.listen(0, address);
  await once(server, "listening");
  return rig.dynoAt("web.1", address, (server.address() as AddressInfo).port); // a TCP server has one
}

async function exchange(client: ClientHttp2Session, headers: Record<string, string>) {
  const request = client.request(headers);
  const [answered] = (await once(request, "response")) as [IncomingHttpHeaders];
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += String(chunk);
  return { headers: answered, text };
}

async function workerNow(): Promise<number> {
  return (await new HaproxySocket(`${rig.layout.socketFolder}/master.sock`, systemClock).workers()).current;
}
