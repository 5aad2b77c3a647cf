import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Duplex, duplexPair, PassThrough, Readable, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, beforeEach, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { EngineError, type EngineNotice, type ExecRequest } from "../engine/engine.ts";
import { systemClock } from "../lib/clock.ts";
import { encodeFrame } from "../lib/frames.ts";
import { silentLogger } from "../lib/logger.ts";
import { processOver } from "../lib/process-frames.ts";
import { checkPair } from "../model/certificate.ts";
import type { HealthCheck } from "../model/health.ts";
import { type AppRoute, digestOf } from "../router/routes.ts";
import { makeAuthority, makeServerCertificate } from "./certificates.ts";
import { HostClient } from "./client.ts";
import { COMMAND_BYTES_MAX, ENV_BYTES_MAX, START_BYTES_MAX } from "./protocol.ts";
import { createHostServer } from "./server.ts";
import { FakeEngine, FakeTarget, goodSpec } from "./testing.ts";

/** Architecture, decision 13: whatever reaches root's socket, at worst dynos are started. */
const folder = mkdtempSync(join(tmpdir(), "stator-host-"));
const hostSocket = join(folder, "host.sock");
const instance = { id: "abc123", paths: { hostSocket } };
let engine = new FakeEngine();
let router = new FakeTarget();
let sshRefusal: string | null = null;
/** Who comes in next by SSH. */
const arrivals: Duplex[] = [];
let server: Server;

function listen(): Promise<Server> {
  const made = createHostServer({
    engine: new Proxy(engine, { get: (_target, key) => bound(engine, key) }),
    router: new Proxy(router, { get: (_target, key) => bound(router, key) }),
    door: { refusal: async () => sshRefusal, next: nextArrival },
    instance,
    clock: systemClock,
    logger: silentLogger,
    messageMs: 400,
  });
  return new Promise((resolve) => made.listen(hostSocket, () => resolve(made)));
}
async function nextArrival(signal: AbortSignal): Promise<Duplex> {
  const come = arrivals.shift();
  if (come) return come;
  return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}
function bound(target: object, key: string | symbol): unknown {
  const value: unknown = Reflect.get(target, key);
  return typeof value === "function" ? value.bind(target) : value;
}
function close(which: Server): Promise<void> {
  return new Promise((resolve) => {
    which.close(() => resolve());
    which.closeAllConnections();
  });
}
before(async () => {
  server = await listen();
});
beforeEach(() => {
  engine = new FakeEngine();
  router = new FakeTarget();
});
after(async () => {
  await close(server);
  rmSync(folder, { recursive: true });
});

const client = (patienceMs = 1000, limits: { readonly callMs?: number; readonly slugMs?: number } = {}) =>
  new HostClient({ instance, clock: systemClock, logger: silentLogger, patienceMs, ...limits });

/** Writes these bytes and gives all that comes back. */
async function raw(bytes: string, end = false): Promise<string> {
  const socket = connect(hostSocket);
  socket.on("error", () => {}); // closed on us: what came is the answer
  let answer = "";
  socket.on("data", (chunk) => {
    answer += chunk;
  });
  socket.write(bytes);
  if (end) socket.end();
  await once(socket, "close");
  return answer;
}
const head = (line: string, body: string, id = instance.id) =>
  `${line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nx-stator-instance: ${id}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
const post = (name: string, value: unknown, id?: string) =>
  raw(head(`POST /call/${name}`, typeof value === "string" ? value : JSON.stringify(value), id));

test("certificates and challenges come through as they were sent; others are refused before the router sees them", async () => {
  await using host = client();
  const authority = await makeAuthority("Test authority", Date.now());
  const made = await makeServerCertificate(authority, ["a.example"], Date.now());
  const pair = checkPair(made.certificate, made.key, Date.now());
  const appId = randomUUID();
  const certificates = [{ hosts: ["a.example"], pem: pair.chain + pair.key }];
  await host.setCertificates(appId, certificates);
  assert.deepEqual(router.certificates.get(appId), certificates);
  assert.deepEqual(await host.listCertificates(), [{ appId, digest: digestOf(certificates) }]);
  assert.equal(await host.certificateRefusal(pair.chain + pair.key), null);
  const challenge = { host: "a.example", token: "t", keyAuthorization: "t.p" };
  await host.setChallenge(challenge);
  assert.deepEqual(await host.listChallenges(), ["a.example"]);
  await host.removeChallenge("a.example");
  assert.equal(router.challenges.size, 0);
  for (const bad of [
    { ...challenge, host: "a b" },
    { ...challenge, token: "../x" },
    { ...challenge, path: "/x" },
  ])
    assert.match(await post("setChallenge", bad), /^HTTP\/1\.1 400 /);
  const long = [{ hosts: ["a.example"], pem: `${pair.chain}${pair.key}\n` }];
  assert.match(await post("setCertificates", { appId, certificates: long }), /^HTTP\/1\.1 400 /);
  await host.setCertificates(appId, []);
  assert.equal(router.certificates.size, 0);
});

test("the good start is started, as it was sent", async () => {
  await using host = client();
  const spec = goodSpec();
  await host.start(spec);
  assert.deepEqual(engine.dynos.get(spec.id), spec);
  assert.equal((await host.list())[0]?.name, "web.1");
  const scheduled = goodSpec({ kind: "scheduler", name: "scheduler.4711", port: null });
  await host.start(scheduled);
  assert.deepEqual(engine.dynos.get(scheduled.id), scheduled);
});

const goodCheck: HealthCheck = {
  kind: "readiness",
  name: "it's up",
  probe: {
    kind: "http",
    path: "/up?a=1&b=%20",
    headers: [{ name: "Authorization", value: "Basic eA==" }],
    status: 200,
    content: 'ä\n"ok"',
  },
  intervalMs: 5000,
  timeoutMs: 5000,
  initialDelayMs: 0,
  attempts: 3,
  successes: 1,
};
const http = (change: object) => ({ checks: [{ ...goodCheck, probe: { ...goodCheck.probe, ...change } }] });
const command = (value: unknown) => ({ checks: [{ ...goodCheck, probe: { kind: "command", command: value } }] });
const badChecks: Readonly<Record<string, Record<string, unknown>>> = {
  "no list of checks": { checks: goodCheck },
  "too many checks": { checks: Array(11).fill(goodCheck) },
  "checks that are too long": { checks: Array(9).fill(command("x".repeat(4096)).checks[0]) },
  "checks of a one-off dyno": { kind: "run", name: "run.1", checks: [goodCheck] },
  "a path to a dyno without port": { port: null, checks: [goodCheck] },
  "a check of another kind": { checks: [{ ...goodCheck, kind: "root" }] },
  "a check with a field more": { checks: [{ ...goodCheck, user: "root" }] },
  "a probe with a field more": http({ host: "169.254.169.254" }),
  "a probe with a port of its own": http({ port: 22 }),
  "a readiness check that never fails": { checks: [{ ...goodCheck, attempts: null }] },
  "an interval of nothing": { checks: [{ ...goodCheck, intervalMs: 0 }] },
  "a timeout without end": { checks: [{ ...goodCheck, timeoutMs: 1e9 }] },
  "a path that ends the request line": http({ path: "/ HTTP/1.1\r\nX: y" }),
  "a path with a line end at its end": http({ path: "/up\n" }),
  "a path with a blank": http({ path: "/a b" }),
  "a path with a NUL": http({ path: "/a\0b" }),
  "a path with a letter that becomes a line end": http({ path: "/\u010a\u010d" }),
  "a path that is a URL": http({ path: "http://10.0.0.1/" }),
  "a path that is an authority": http({ path: "x:80" }),
  "a path that is too long": http({ path: `/${"x".repeat(1024)}` }),
  "a header that ends its line": http({ headers: [{ name: "X", value: "a\r\nY: b" }] }),
  "a header name that ends its line": http({ headers: [{ name: "X\r\nY", value: "a" }] }),
  "a header of the connection": http({ headers: [{ name: "Transfer-Encoding", value: "chunked" }] }),
  "a header of the length": http({ headers: [{ name: "content-LENGTH", value: "5" }] }),
  "too many headers": http({ headers: Array(12).fill({ name: "X", value: "a" }) }),
  "a command with NUL in a check": command("a\0b"),
  "a command without a word": command([]),
  "a command of too many words": command(Array(65).fill("x")),
  "a command that is an object": command({ toString: "x" }),
};
for (const [what, change] of Object.entries(badChecks)) {
  test(`a start with ${what} is refused`, async () => {
    assert.match(
      await post("start", { ...goodSpec(), ...change }),
      /^HTTP\/1\.1 400 .*"id":"refused","message":"start/s,
    );
    assert.deepEqual(engine.asked, []);
  });
}

test("good checks arrive as they were sent", async () => {
  await using host = client();
  const list = command(["bin/check", "; rm -rf /", "$(id)"]).checks[0] as HealthCheck;
  const startup: HealthCheck = { ...goodCheck, kind: "startup", attempts: null };
  const spec = goodSpec({ checks: [goodCheck, list, startup] });
  await host.start(spec);
  assert.deepEqual(engine.dynos.get(spec.id), spec);
});

const bad: Readonly<Record<string, Record<string, unknown>>> = {
  "a path as id": { id: "../../etc/passwd" },
  "an id with a line end": { id: `${randomUUID()}\n` },
  "an upper case id": { id: randomUUID().toUpperCase() },
  "an id that is no text": { id: { toString: "x" } },
  "a path as slug": { slugDigest: "/etc/shadow" },
  "a slug that is too long": { slugDigest: "a".repeat(65) },
  "a uid range beyond the block": { uidIndex: 4096 },
  "a negative uid range": { uidIndex: -1 },
  "half a uid range": { uidIndex: 0.5 },
  "a name with a path": { name: "../web.1" },
  "a name without number": { name: "web" },
  "a name with a line end": { name: "web.1\n" },
  "a name that is too long": { name: `${"w".repeat(129)}.1` },
  "an unknown kind": { kind: "root" },
  "an unknown stack": { stack: "../../" },
  "the build stack for a web dyno": { stack: "debian-12-build" },
  "the build size for a web dyno": { size: "Build" },
  "a size outside the catalogue": { size: "Gigantic" },
  "a size in another case": { size: "basic" },
  "a legacy name of a size": { size: "Hobby" },
  "a size with a path": { size: "../Basic" },
  "an isolation class outside the catalogue": { isolation: "none" },
  "no isolation class": { isolation: null },
  "an isolation class that is a list": { isolation: ["gvisor"] },
  "a build on another kernel": {
    kind: "build",
    stack: "debian-12-build",
    size: "Build",
    port: null,
    isolation: "gvisor",
  },
  "a privileged port": { port: 22 },
  "a port beyond all": { port: 65_536 },
  "io for a web dyno": { io: true },
  "a terminal as large as a wall": { terminal: { rows: 1e9, columns: 80 } },
  "a terminal with a field more": { terminal: { rows: 24, columns: 80, device: "/dev/tty" } },
  "an option of the runtime": { privileged: true },
  mounts: { mounts: [{ source: "/", destination: "/host" }] },
  "a prototype": JSON.parse('{"__proto__": {"io": true}}') as Record<string, unknown>,
  "an env key with =": { env: { "A=B": "x" } },
  "an env key that is empty": { env: { "": "x" } },
  "an env key with a line end": { env: { "A\n": "x" } },
  "an env value that is no text": { env: { A: 1 } },
  "an env value with NUL": { env: { A: "x\0LD_PRELOAD=/x" } },
  "an env that is too large": { env: { A: "x".repeat(ENV_BYTES_MAX) } },
  "a command that is too long": { command: "ä".repeat(COMMAND_BYTES_MAX / 2 + 1) },
  "a command with NUL": { command: "a\0b" },
  "a command that is a list": { command: ["sh"] },
  "marks that are no instants": { marks: { asked: -1, planned: 0, written: 1 } },
  "marks with text": { marks: { asked: "../x", planned: 0, written: 1 } },
  "marks with another field": { marks: { asked: 1, planned: 1, written: 1, path: "/etc" } },
};
for (const [what, change] of Object.entries(bad)) {
  test(`a start with ${what} is refused`, async () => {
    const spec = { ...goodSpec() } as Record<string, unknown>;
    for (const [key, value] of Object.entries(change))
      Object.defineProperty(spec, key, { value, enumerable: true, configurable: true, writable: true });
    const answer = await post("start", spec);
    assert.match(answer, /^HTTP\/1\.1 400 .*"id":"refused","message":"start/s);
    assert.deepEqual(engine.asked, []);
  });
}

test("a missing field is refused, and so is what is no object", async () => {
  for (const field of Object.keys(goodSpec())) {
    const spec = { ...goodSpec() } as Record<string, unknown>;
    delete spec[field];
    assert.match(await post("start", spec), /^HTTP\/1\.1 400 /, field);
  }
  for (const value of [null, [], 1, "x", [goodSpec()]])
    assert.match(await post("start", JSON.stringify(value)), / 400 /);
  assert.deepEqual(engine.asked, []);
});

test("largest good content passes", async () => {
  await using host = client();
  const content = "\u0001".repeat(500);
  const check: HealthCheck = {
    ...goodCheck,
    probe: { ...goodCheck.probe, kind: "http", path: "/", headers: [], status: null, content },
  };
  await host.start(
    goodSpec({
      env: { A: "\u0001".repeat(ENV_BYTES_MAX - 1) },
      command: "\u0002".repeat(COMMAND_BYTES_MAX),
      checks: Array<HealthCheck>(9).fill(check),
    }),
  );
  assert.equal(engine.asked.length, 1);
});

test("bad JSON, empty content and other characters are refused", async () => {
  for (const body of ["", "{", '{"id":', "\xff\xfe", "[]]"])
    assert.match(await post("start", body), / 400 .*not JSON/s);
});

test("what is to come is told in lines, each as it was sent; what is no start reaches nobody, and those after it do", async () => {
  await using host = client();
  const spec = { ...goodSpec(), env: { TEXT: "ä\n\u0001".repeat(20_000) } };
  const told = `prepare ${spec.id} ${JSON.stringify(spec.env)}`;
  const giveUpAt = performance.now() + 5_000;
  while (!engine.asked.includes(told) && performance.now() < giveUpAt) {
    host.prepare(spec); // until the connection stands nobody hears it, and nobody waits for it
    await pause(10);
  }
  assert.ok(engine.asked.includes(told));
  const upgrade = `GET /hints HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: stator-stream\r\nx-stator-instance: ${instance.id}\r\n\r\n`;
  const good = goodSpec();
  const bad = [
    { ...good, id: "../x" },
    { ...good, isolation: "none" },
    { ...good, path: "/etc" },
    { ...good, size: "-none" },
    { ...good, command: "x".repeat(COMMAND_BYTES_MAX + 1) },
    [],
    "x".repeat(5000),
  ];
  engine.asked.length = 0;
  const lines = [...bad, good].map((each) => `${JSON.stringify(each)}\n`).join("");
  assert.match(await raw(`${upgrade}${lines}`, true), /^HTTP\/1\.1 101 /);
  assert.deepEqual(
    engine.asked.filter((each) => each.startsWith("prepare")),
    [`prepare ${good.id} ${JSON.stringify(good.env)}`],
  );
  assert.match(await raw(`${upgrade}${"x".repeat(START_BYTES_MAX + 1)}`), /^HTTP\/1\.1 101 /); // no end of a line
  assert.match(await raw(upgrade.replace("abc123", "zzz999")), /^HTTP\/1\.1 421 /);
});

test("ids of what stands by reach the daemon, each once, and are nobody's after the connection", async () => {
  const ids = [randomUUID(), randomUUID()];
  engine.standbys = [...ids];
  {
    await using host = client();
    const given: string[] = [];
    await eventually(() => {
      const id = host.standbyId();
      if (id !== undefined) given.push(id);
      return given.length === 2;
    });
    assert.deepEqual(given, ids);
    assert.equal(host.standbyId(), undefined);
    host.expectStart();
    await eventually(() => engine.asked.includes("expectStart"));
    assert.deepEqual(engine.asked, [...ids.map((id) => `standbyGiven ${id}`), "expectStart"]);
    assert.equal(engine.offers, 1);
  }
  await eventually(() => engine.offers === 0);
});

test("usage is asked for ids of dynos and nothing else", async () => {
  await using host = client();
  assert.deepEqual(await host.usage([randomUUID(), randomUUID()]), []);
  assert.deepEqual(await host.usage(), []);
  assert.deepEqual(engine.asked, ["usage 2", "usage 0"]);
  const hostile = [
    {},
    { tasksOf: "1" },
    { tasksOf: ["../../proc"] },
    { tasksOf: [`${randomUUID()}/..`] },
    { tasksOf: [1] },
    { tasksOf: [], path: "/etc" },
    { tasksOf: Array(4097).fill(randomUUID()) },
  ];
  for (const message of hostile)
    assert.match(await post("usage", message), / 400 /, JSON.stringify(message).slice(0, 80));
  assert.equal(engine.asked.length, 2);
});

test("another instance's message is refused, whatever it asks for", async () => {
  assert.match(await post("start", goodSpec(), "ffffff"), / 421 .*another instance/s);
  assert.match(await raw(head("GET /events", "", "ffffff")), / 421 /);
  assert.match(await raw(head(`PUT /slugs/${"a".repeat(64)}/1`, "x", "ffffff")), / 421 /);
  assert.match(
    await raw("POST /call/list HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"),
    / 421 /,
  );
  assert.deepEqual(engine.asked, []);
});

test("egress rules: blocks and ports of numbers alone, and few of them", async () => {
  const appId = randomUUID();
  const rule = { action: "deny", cidr: "10.0.0.0/8", port: 443 };
  await using host = client();
  const good = [rule, { ...rule, action: "allow", cidr: "0.0.0.0/0", port: null }, { ...rule, cidr: "203.0.113.7" }];
  await host.setEgress(appId, good as never);
  assert.equal(engine.asked.length, 1);
  const hostile: readonly Record<string, unknown>[] = [
    { cidr: "10.0.0.0/8 } ; flush ruleset" },
    { cidr: "10.0.0.0/8\n" },
    { cidr: "256.0.0.0/8" },
    { cidr: "10.0.0.0/33" },
    { cidr: "::/0" },
    { cidr: "@refused" },
    { cidr: 10 },
    { port: 0 },
    { port: 65_536 },
    { port: "443" },
    { port: 1.5 },
    { action: "accept" },
    { set: "refused" },
  ];
  for (const change of hostile)
    assert.match(await post("setEgress", { appId, rules: [{ ...rule, ...change }] }), / 400 /, JSON.stringify(change));
  assert.match(await post("setEgress", { appId, rules: Array.from({ length: 51 }, () => rule) }), / 4(00|13) /);
  assert.match(await post("setEgress", { appId: "../x", rules: [] }), / 400 /);
  assert.match(await post("setEgress", { appId, rules: [rule], path: "/etc" }), / 400 /);
  assert.equal(engine.asked.length, 1);
});

test("dynos are listed by an app's id, and a start's marks asked for by a dyno's; by nothing else", async () => {
  for (const message of [{ appId: "../x" }, { appId: 7 }, { appId: "" }, { path: "/etc" }, []])
    assert.match(await post("list", message), / 400 .*"message":"list/s);
  for (const message of [{ id: "../../etc/passwd" }, {}, { id: null }])
    assert.match(await post("startMarks", message), / 400 .*"message":"startMarks/s);
  assert.deepEqual(engine.asked, []);
});

test("messages that there are not", async () => {
  const lines = [
    "GET /call/list",
    "POST /call/exec",
    "POST /call/__proto__",
    "POST /call/constructor",
    "POST /call/list/",
    "POST //call/list",
  ];
  const more = [
    "DELETE /",
    "POST /call/../call/list",
    "GET /input/x/y/z",
    "OPTIONS *",
    "GET http://host/events",
    "POST /call/list?x=1",
  ];
  for (const line of [...lines, ...more]) assert.match(await raw(head(line, "{}")), /^HTTP\/1\.1 (400|404) /, line);
  assert.deepEqual(engine.asked, []);
});

test("slugs are named by digest and range, and nothing else", async () => {
  for (const name of [
    "x/1",
    `${"A".repeat(64)}/1`,
    `${"a".repeat(64)}/4096`,
    `${"a".repeat(64)}/-1`,
    `..%2f..%2fetc/1`,
    `${"a".repeat(64)}/01x`,
  ])
    assert.match(await raw(head(`PUT /slugs/${name}`, "tar")), / 400 /, name);
  assert.deepEqual(engine.asked, []);
});

test("too much is refused before it is read", async () => {
  const claimed =
    "POST /call/signal HTTP/1.1\r\nHost: x\r\nx-stator-instance: abc123\r\nContent-Length: 99999999999\r\n\r\n{";
  assert.match(await raw(claimed), / 413 /);
  const chunked =
    "POST /call/signal HTTP/1.1\r\nHost: x\r\nx-stator-instance: abc123\r\nTransfer-Encoding: chunked\r\n\r\n";
  assert.match(await raw(`${chunked}2000\r\n${"x".repeat(0x2000)}\r\n`), / 413 /);
  assert.match(await raw(`GET /events HTTP/1.1\r\nX: ${"x".repeat(10_000)}\r\n\r\n`), / (400|431) /);
});

test("slow senders are let go, and hold nobody up", async () => {
  await using host = client();
  const slow = [
    raw("POST /call/list HTTP/1.1\r\nHost: x\r\nx-stator-instance: abc123\r\nContent-Length: 2\r\n\r\n{"),
    raw("POST /call/li"),
  ];
  const begun = performance.now();
  await host.list();
  assert.ok(performance.now() - begun < 300);
  assert.match((await Promise.all(slow))[0] ?? "", / 408 /);
});

test("what is not HTTP at all", async () => {
  assert.match(await raw("\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"), / 400 /);
  assert.equal(await raw("", true), "");
});

test("a start that was removed is gone, however often it is sent", async () => {
  await using host = client();
  const spec = goodSpec();
  await host.start(spec);
  await host.remove(spec.id);
  for (let i = 0; i < 3; i++)
    await assert.rejects(host.start(spec), (error) => error instanceof EngineError && error.id === "gone");
  assert.equal(engine.dynos.size, 0);
});

test("routes carry host names and ids; text that could become configuration is refused", async () => {
  await using host = client();
  const route = {
    appId: randomUUID(),
    hosts: ["a.localhost", "*.b.example"],
    state: "serve",
    dynoIds: [randomUUID()],
  } as const;
  await host.setRoute(route);
  assert.deepEqual(await host.listRoutes(), [route.appId]);
  const hosts = [
    "a b",
    "a\nb",
    "a;b",
    "a#b",
    "-a.b",
    "a..b",
    "*",
    "*.*.b",
    "A.b",
    "",
    "a\\",
    "%[env(X)]",
    "a".repeat(254),
    `${"a".repeat(64)}.b`,
  ];
  for (const name of hosts) assert.match(await post("setRoute", { ...route, hosts: [name] }), / 400 /, name);
  assert.match(await post("setRoute", { ...route, dynoIds: ["10.0.0.1:80"] }), / 400 /);
  assert.match(await post("setRoute", { ...route, address: "10.0.0.1" }), / 400 /);
  assert.match(await post("setRoute", { ...route, hosts: Array(1101).fill("a.b") }), / 400 /);
});

test("options of a route arrive whole; text that could become configuration or HTML is refused", async () => {
  await using host = client();
  const user = { name: "ann@x", salt: `${"A".repeat(22)}==`, digest: "0".repeat(64) };
  const options = {
    balance: "least-connections",
    dynoProtocol: "h2c",
    httpsRedirect: true,
    firstByteSeconds: 3600,
    rollingSeconds: 1,
    sessionAffinity: true,
    endToEndContinue: true,
    users: [user],
    errorPage: "https://x.example/a?b=1&c=%22",
    maintenancePage: null,
  } as const;
  const route: AppRoute = { appId: randomUUID(), hosts: [], state: "serve", dynoIds: [], options };
  await host.setRoute(route);
  assert.deepEqual(router.routes.get(route.appId), route);
  for (const bad of [
    { balance: "random\nbind :1" },
    { dynoProtocol: "h2" },
    { httpsRedirect: "true" },
    { firstByteSeconds: 3601 },
    { rollingSeconds: 0.5 },
    { sessionAffinity: 1 },
    { endToEndContinue: "yes" },
    { users: [{ ...user, name: "a b" }] },
    { users: [{ ...user, name: "a:b" }] },
    { users: [{ ...user, salt: "x" }] },
    { users: [{ ...user, digest: "0".repeat(63) }] },
    { users: [{ ...user, password: "x" }] },
    { users: Array(101).fill(user) },
    { errorPage: "javascript:alert(1)" },
    { errorPage: 'https://x/"' },
    { maintenancePage: "https://x/\n" },
    { maintenancePage: `https://x/${"a".repeat(4097)}` },
    { no: "such" },
  ])
    assert.match(await post("setRoute", { ...route, options: { ...options, ...bad } }), / 400 /, JSON.stringify(bad));
});

test("why an isolation class cannot be had is told, for the names of the catalogue only", async () => {
  await using host = client();
  assert.equal(await host.isolationRefusal("container"), null);
  assert.equal(await host.isolationRefusal("gvisor"), "gVisor is not installed");
  for (const isolation of ["kvm", "--platform=kvm", "", 1])
    assert.match(await post("isolationRefusal", { isolation }), / 400 /, String(isolation));
});

test("a slug arrives whole; one that breaks off is no slug", async () => {
  await using host = client();
  const ref = { digest: "cd".repeat(32), uidIndex: 1 };
  const bytes = Buffer.alloc(3_000_000, "tar");
  await host.putSlug(ref, Readable.from([bytes.subarray(0, 100), bytes.subarray(100)]));
  assert.ok(engine.slugs.get(ref.digest)?.equals(bytes));
  assert.equal(await host.hasSlug(ref), true);
  const broken = new Readable({ read: () => {} });
  broken.push("half");
  setTimeout(() => broken.destroy(new Error("the push broke off")), 20);
  await assert.rejects(host.putSlug({ ...ref, digest: "ef".repeat(32) }, broken), /broke off/);
  assert.equal(await host.hasSlug({ ...ref, digest: "ef".repeat(32) }), false);
});

test("exec: what is run goes in the first frame, then frames go both ways; refusals are said, a hang-up is passed on", async () => {
  await using host = client();
  const never = new AbortController().signal;
  const spec = goodSpec();
  await host.start(spec);
  const request = { command: "cat", setting: "dyno", env: { A: "1" }, terminal: { rows: 20, columns: 80 } } as const;
  const cat = processOver(await host.exec(spec.id, request, never));
  cat.resize({ rows: 40, columns: 100 });
  const sent = "x".repeat(1_000_000);
  cat.stdin.end(sent);
  assert.deepEqual([await text(cat.stdout), await cat.exited], [`${sent}resize 40 100`, 7]);
  assert.equal(engine.asked.at(-1), `exec ${spec.id} ${JSON.stringify(request)}`);
  const unknown = host.exec(randomUUID(), request, never);
  await assert.rejects(unknown, (error) => error instanceof EngineError && error.id === "not_found");
  const bad: readonly object[] = [
    { command: "\0" },
    { command: [] },
    { command: "x".repeat(70_000) },
    { env: { "A B": "1" } },
    { setting: "host" },
    { terminal: { rows: 0, columns: 80 } },
  ];
  for (const change of bad) {
    const refused = host.exec(spec.id, { ...request, ...change } as ExecRequest, never);
    await assert.rejects(
      refused,
      (error) => error instanceof EngineError && error.id === "invalid",
      JSON.stringify(change).slice(0, 50),
    );
  }
  const held = processOver(await host.exec(spec.id, request, never));
  held.close();
  assert.equal(await held.exited, null);
});

test("exec: input for a process that has ended already does not take its end away", async () => {
  await using host = client();
  const readable = new PassThrough();
  const writable = new Writable({ write: (_chunk, _encoding, done) => done(new Error("EPIPE")) });
  const closed = Promise.withResolvers<void>();
  engine.exec = async () => ({ readable, writable, close: closed.resolve });
  const request = { command: "exit 5", setting: "dyno", env: {}, terminal: null } as const;
  const process = processOver(await host.exec(randomUUID(), request, new AbortController().signal));
  process.stdin.write("too late");
  await once(writable, "error");
  readable.end(encodeFrame(3, Buffer.of(5)));
  assert.equal(await process.exited, 5);
  await closed.promise;
});

test("input goes in and ends; io goes both ways; a waiting io ends when its asker leaves", async () => {
  await using host = client();
  const spec = goodSpec({ kind: "build", stack: "debian-12-build", size: "Build", io: true, port: null });
  await host.start(spec);
  const input = await host.input(spec.id);
  input.end("typed\n");
  await eventually(() => engine.written.get(spec.id) === "typed\n<end>");
  const io = await host.io(spec.id, new AbortController().signal);
  const big = Buffer.alloc(500_000, "both ways ");
  io.writable.end(big);
  assert.equal((await text(io.readable)).length, big.length);
  await assert.rejects(host.input(randomUUID()), (error) => error instanceof EngineError && error.id === "not_found");
  const unknown = randomUUID();
  const leaving = new AbortController();
  setTimeout(() => leaving.abort(new Error("left")), 50);
  await assert.rejects(host.io(unknown, leaving.signal), /left/);
  await eventually(() => engine.asked.includes(`io given up ${unknown}`));
});

test("input that the host process did not take to its end, since it died, fails; what it took is over", async () => {
  const sockets = new Set<Duplex>();
  const note = (socket: Duplex) => sockets.add(socket);
  server.on("connection", note);
  await using host = client();
  const spec = goodSpec();
  await host.start(spec);
  const failed: unknown[] = [];
  for (const fate of ["taken", "lost"]) {
    const input = await host.input(spec.id);
    const over = new Promise<void>((resolve) => input.once("close", () => resolve()));
    input.on("error", (error) => failed.push(fate, error instanceof EngineError && error.id));
    input.write(fate);
    await eventually(() => engine.written.get(spec.id)?.endsWith(fate) === true);
    if (fate === "taken") input.end();
    else for (const socket of sockets) socket.destroy();
    await over;
  }
  assert.deepEqual(failed, ["lost", "unavailable"]);
  server.off("connection", note);
});

test("an SSH client that comes in is handed over as it is; one that nobody waits for is not taken", async () => {
  await using host = client();
  sshRefusal = "no";
  assert.equal(await host.door.refusal(), "no");
  sshRefusal = null;
  assert.equal(await host.door.refusal(), null);
  const leaving = new AbortController();
  const waiting = host.door.next(leaving.signal);
  leaving.abort(new Error("left"));
  await assert.rejects(waiting, /left/);
  const [come, far] = duplexPair();
  arrivals.push(come);
  far.write("SSH-2.0-x\r\n");
  const given = await host.door.next(new AbortController().signal);
  const [said] = (await once(given, "data")) as [Buffer];
  assert.equal(said.toString(), "SSH-2.0-x\r\n");
  given.end("SSH-2.0-stator\r\n");
  assert.equal(await text(far), "SSH-2.0-stator\r\n");
  far.end();
});

test("changes and notices reach the daemon, and a return is told", async () => {
  await using host = client();
  const changed: (string | undefined)[] = [];
  const notices: EngineNotice[] = [];
  let returns = 0;
  using _watch = host.watch((id) => changed.push(id));
  using _notices = host.notices((notice) => notices.push(notice));
  using _returns = host.onReturn(() => returns++);
  await eventually(() => returns === 1 && engine.watchers.size === 1);
  const id = randomUUID();
  for (const each of engine.watchers) each(id);
  for (const each of engine.listeners)
    each({ kind: "refused", dynoId: id, destination: "10.0.0.1:5432", protocol: "tcp" });
  await eventually(() => notices.length === 1);
  assert.deepEqual(changed, [undefined, id]);
  await close(server);
  server = await listen();
  await eventually(() => returns === 2);
});

test("a host process that dies with hints unread takes the ids of its standbys with it, and nothing else", async () => {
  const [first, second] = [randomUUID(), randomUUID()];
  engine.standbys = [first, second];
  await using host = client();
  await eventually(() => host.standbyId() === first);
  for (let line = 0; line < 100; line++) host.prepare({ ...goodSpec(), env: { A: "x".repeat(1000) } });
  await close(server);
  await eventually(() => host.standbyId() === undefined);
  host.expectStart(); // into what is closed
  host.prepare(goodSpec());
  server = await listen();
  assert.deepEqual(await host.list(), []);
});

test("calls wait for a host process that is away, and say so when it stays away", async () => {
  await close(server);
  await using host = client(2000);
  const waiting = host.list();
  await new Promise((resolve) => setTimeout(resolve, 200));
  server = await listen();
  assert.deepEqual(await waiting, []);
  await close(server);
  await using hasty = client(150);
  await assert.rejects(hasty.list(), (error) => error instanceof EngineError && error.id === "unavailable");
  server = await listen();
});

test("calls that nobody answers end, and so do those that a host process took with it", async () => {
  const unavailable = (error: unknown) => error instanceof EngineError && error.id === "unavailable";
  const ref = { digest: "ab".repeat(32), uidIndex: 1 };
  engine.isSilent = true;
  await using host = client(50, { callMs: 200 });
  await assert.rejects(host.list(), unavailable);
  await using sender = client(50, { slugMs: 200 });
  await assert.rejects(sender.putSlug(ref, Readable.from([Buffer.from("tar")])), unavailable);
  const endless = new Readable({ read: () => void endless.push(Buffer.alloc(65_536)) });
  await assert.rejects(sender.putSlug(ref, endless), /not made in time/);
  assert.ok(endless.destroyed);
  // A host process that is there and stands still takes connections all the same.
  const still = createServer();
  await close(server);
  await new Promise<void>((resolve) => still.listen(hostSocket, resolve));
  await assert.rejects(host.list(), unavailable);
  await assert.rejects(host.input(randomUUID()), (error) => error instanceof Error);
  still.close();
  server = await listen();
  await using patient = client(2000);
  const waiting = Promise.allSettled([patient.list(), patient.putSlug(ref, Readable.from([Buffer.from("tar")]))]);
  const asked = () => engine.asked.filter((each) => each === "list" || each === "putSlug").length;
  const before = asked();
  await eventually(() => asked() >= before + 2);
  engine.isSilent = false;
  await close(server);
  server = await listen();
  const [list, slug] = await waiting;
  assert.equal(list.status, "fulfilled", "a call is made again");
  assert.equal(slug.status, "rejected", "a tar cannot be read again");
});

test("a call ends in time also while every connection waits for something else", async () => {
  engine.isSilent = true;
  await using host = client(50, { callMs: 2000 });
  const held = Array.from({ length: 64 }, (_, index) =>
    host.putSlug({ digest: "ab".repeat(32), uidIndex: index }, Readable.from([Buffer.from("tar")])).catch(() => {}),
  );
  await eventually(() => engine.asked.filter((each) => each === "putSlug").length >= 63); // and one for events
  await assert.rejects(host.list(), /no answer to list in time/);
  await host[Symbol.asyncDispose]();
  await Promise.all(held);
});

async function eventually(probe: () => boolean): Promise<void> {
  const until = performance.now() + 3000;
  while (!probe()) {
    assert.ok(performance.now() < until, `not in time: ${probe.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
