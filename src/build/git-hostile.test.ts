import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { openWorld, type World } from "../../test/support/api-world.ts";
import { StandInEngine } from "../../test/support/build-world.ts";
import { eventually } from "../../test/support/eventually.ts";
import { systemRandom } from "../lib/random.ts";
import { openBuilds } from "./builds.ts";

/**
 * Git's service as an attacker meets it who may push: the real API on a port, the real builds, and the real driver with the host's git,
 * outside of any container. Whatever comes: no 500, no connection that hangs, no ref that moved, no build dyno left, nothing run.
 */
let world: World;
let engine: StandInEngine;
const folder = mkdtempSync(join(tmpdir(), "stator-git-"));
const complaints: string[] = [];
const APPS = ["first", "second", "third"];
/** What would be there if a word of the corpus were ever run. */
const MARK = join(folder, "it-was-run");

before(async () => {
  engine = new StandInEngine(folder);
  const note = (message: string) => void complaints.push(message);
  const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: note };
  world = await openWorld({
    callsPerHour: 1e9,
    builds: ({ store, supervision, logs, config, clock }) =>
      openBuilds({
        store,
        engine,
        supervision,
        logs,
        commands: { stream: async () => undefined },
        config,
        history: async () => [],
        clock,
        random: systemRandom,
        logger,
      }),
  });
  for (const name of APPS) assert.equal((await world.call("POST", "/apps", { body: { name } })).status, 201);
});
after(async () => {
  await world[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** A whole answer takes no longer, however busy the machine; what has none by then hangs. */
const ANSWER_MS = 20_000;
const auth = () => `Authorization: Basic ${Buffer.from(`x:${world.token}`).toString("base64")}\r\n`;

/** All that comes back for these bytes until the server has closed the connection; ours stays open, since its end would be a client that goes. */
async function answerTo(bytes: string | Uint8Array, what: string): Promise<string> {
  const socket = connect(world.api.port, "127.0.0.1");
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => {}); // a reset is an end too
  socket.write(bytes);
  let hangs = false;
  const late = setTimeout(() => socket.destroy(void (hangs = true)), ANSWER_MS);
  await closed(socket);
  clearTimeout(late);
  const answer = Buffer.concat(chunks).toString("latin1");
  assert.ok(!hangs, `${what} hangs: ${answer.slice(0, 500)}`);
  assert.doesNotMatch(answer, /^HTTP\/1\.1 5/m, `${what}: ${answer.slice(0, 500)}`);
  return answer;
}

/** Whether by an end or by a reset. */
const closed = (socket: Socket) => new Promise((resolve) => socket.once("close", resolve));

function post(app: string, service: string, body: string | Uint8Array, headers = ""): Buffer {
  const bytes = typeof body === "string" ? Buffer.from(body, "latin1") : body;
  const head =
    `POST /${app}.git/${service} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${auth()}` +
    `Content-Type: application/x-${service}-request\r\nContent-Length: ${bytes.length}\r\n${headers}\r\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), bytes]);
}

const PUSH = "git-receive-pack";
const FETCH = "git-upload-pack";
const packet = (text: string) => `${(text.length + 4).toString(16).padStart(4, "0")}${text}`;
const ZERO = "0".repeat(40);
const OTHER = "1".repeat(40);
const CAN = "report-status side-band-64k agent=evil/1.0";
const update = (ref: string, can = CAN) => `${packet(`${ZERO} ${OTHER} ${ref}\0${can}`)}0000`;
/** A pack that says it has `count` objects, and has none. */
const pack = (count: number) =>
  `PACK\0\0\0\x02${String.fromCharCode(...[24, 16, 8, 0].map((by) => (count >>> by) & 255))}`;

/** Nothing is at work, and nothing has come of it. */
async function untouched(what: string): Promise<void> {
  await eventually(async () => (await engine.list()).length === 0);
  for (const name of APPS) {
    const app = (await world.store.apps.find(name)) ?? assert.fail();
    assert.deepEqual((await world.store.releases.list(app.id)).map(({ slugId }) => slugId).filter(Boolean), [], what);
    const repository = join(folder, `repo-${app.id}`);
    if (!existsSync(repository)) continue;
    const refs = readdirSync(join(repository, "refs"), { recursive: true, withFileTypes: true });
    assert.deepEqual(
      refs.filter((each) => each.isFile()),
      [],
      what,
    );
    assert.ok(!existsSync(join(repository, "packed-refs")), what);
  }
  assert.deepEqual(complaints, [], what);
  assert.ok(!existsSync(MARK), `${what} was run`);
  assert.deepEqual(
    readdirSync(join(folder)).filter((name) => !/^(d-|repo-|cache-)/.test(name)),
    [],
    what,
  );
}

const PATHS: readonly string[] = [
  "/first.git/../../../etc/passwd",
  "/first.git/%2e%2e/%2e%2e/etc/passwd",
  "/first.git/..%2f..%2fetc%2fpasswd",
  "/first.git/objects/..%00/config",
  "/first.git/info%2frefs?service=git-upload-pack",
  "/first.git/info/refs/../../config",
  "/first.git/info/refs?service=git-upload-pack%00",
  `/first.git/info/refs?service=--upload-pack=touch%20${MARK}`,
  "/first.git/info/refs?service[]=git-upload-pack",
  "/first.git/info/refs?service=git-upload-archive",
  "/first.git/git-upload-archive",
  "/first.git/git-receive-pack/",
  "/first.git/git-receive-pack;git-upload-pack",
  "/first.git/HEAD",
  "/first.git/config",
  "/first.git/objects/info/packs",
  "/first.git/hooks/pre-receive",
  "/first.git.git/info/refs?service=git-upload-pack",
  "/.git/info/refs?service=git-upload-pack",
  "/%2e%2e.git/info/refs?service=git-upload-pack",
  "/../first/info/refs?service=git-upload-pack",
  `/${"a".repeat(3000)}.git/info/refs?service=git-upload-pack`,
  `/first.git/${"a/".repeat(3000)}`,
  "/first.git/\u00ff\u00fe",
  "/$(reboot).git/info/refs?service=git-upload-pack",
];

test("addresses that are none of git's, with every method: refused, and no build dyno is started", async () => {
  const started = engine.started;
  for (const path of PATHS) {
    for (const method of ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "PROPFIND", "MKCOL", "TRACE"]) {
      const what = `${method} ${path.slice(0, 100)}`;
      const head = `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${auth()}`;
      const type = `Content-Type: application/x-${PUSH}-request\r\nContent-Length: 5\r\n\r\n0000x`;
      const answer = await answerTo(Buffer.from(`${head}${method === "POST" ? type : "\r\n"}`, "latin1"), what);
      assert.match(answer, method === "OPTIONS" ? /^HTTP\/1\.1 (204|4)/ : /^HTTP\/1\.1 4/, what);
    }
  }
  assert.equal(engine.started, started);
  await untouched("addresses");
});

const HEADERS: readonly (readonly [what: string, type: string, more: string, status: RegExp])[] = [
  ["no type", "", "", /415/],
  ["another type", "Content-Type: application/json\r\n", "", /415/],
  ["the other service's type", `Content-Type: application/x-${FETCH}-request\r\n`, "", /415/],
  ["a type with an end", `Content-Type: application/x-${PUSH}-request; charset=utf-8\r\n`, "", /415/],
  ["two types", `Content-Type: application/x-${PUSH}-request\r\nContent-Type: text/plain\r\n`, "", /./],
  ["a coding that is none", `Content-Type: application/x-${PUSH}-request\r\n`, "Content-Encoding: br\r\n", /200/],
  ["two codings", `Content-Type: application/x-${PUSH}-request\r\n`, "Content-Encoding: gzip, gzip\r\n", /200/],
  ["gzip that is none", `Content-Type: application/x-${PUSH}-request\r\n`, "Content-Encoding: gzip\r\n", /200/],
  [
    "a protocol with more in it",
    `Content-Type: application/x-${PUSH}-request\r\n`,
    `Git-Protocol: version=2:$(touch ${MARK})\r\n`,
    /200/,
  ],
  [
    "a long protocol",
    `Content-Type: application/x-${PUSH}-request\r\n`,
    `Git-Protocol: ${"a".repeat(9000)}\r\n`,
    /200/,
  ],
];

test("headers: types and codings that are none of git's", async () => {
  for (const [what, type, more, status] of HEADERS) {
    const head = `POST /first.git/${PUSH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${auth()}${type}${more}`;
    const answer = await answerTo(`${head}Content-Length: 8\r\n\r\n00000000`, what);
    assert.match(answer.slice(0, 20), status, what);
  }
  await untouched("headers");
});

/** Of a push: nothing of these is a ref that could be made, or an order that git knows. */
const PUSHES: Readonly<Record<string, string | Uint8Array>> = {
  "half a length": "00",
  "a length that is none": "zzzz",
  "a length of one": "0001",
  "a length of three": "0003",
  "more said than sent": `fff0${"a".repeat(100)}`,
  "the longest line, again and again": `ffff${"a".repeat(65_531)}`.repeat(20),
  "no ref": `${packet(`${ZERO} ${OTHER} \0${CAN}`)}0000`,
  "no ids": `${packet(`x y refs/heads/main\0${CAN}`)}0000`,
  "a path for a ref": `${update("refs/heads/../../../hooks/pre-receive")}${pack(0)}`,
  "an absolute path for a ref": `${update(MARK)}${pack(0)}`,
  "an option for a ref": `${update(`--upload-pack=touch ${MARK}`)}${pack(0)}`,
  "a command for a ref": `${update(`refs/heads/$(touch ${MARK});\`touch ${MARK}\``)}${pack(1)}`,
  "a newline in a ref": `${update(`refs/heads/a\nrefs/heads/b`)}${pack(0)}`,
  "control characters in a ref": `${update("refs/heads/\x01\x1b[2J\x7f")}${pack(0)}`,
  "a lock for a ref": `${update("refs/heads/main.lock")}${pack(0)}`,
  "a ref without an end": `${update(`refs/heads/${"a/".repeat(15_000)}b`)}${pack(0)}`,
  "HEAD, and what git keeps for itself": `${packet(`${ZERO} ${OTHER} HEAD\0${CAN}`)}${packet(`${ZERO} ${OTHER} refs/stash`)}0000${pack(0)}`,
  "a thousand refs at once": `${packet(`${ZERO} ${OTHER} refs/heads/r\0${CAN}`)}${Array.from({ length: 1000 }, (_, n) => packet(`${ZERO} ${OTHER} refs/heads/r${n}`)).join("")}0000${pack(0)}`,
  "main is deleted, which is not there": `${packet(`${OTHER} ${ZERO} refs/heads/main\0${CAN} delete-refs`)}0000`,
  "a pack of four billion objects": `${update("refs/heads/main")}${pack(0xffffffff)}`,
  "a pack that is none": `${update("refs/heads/main")}KCAP${"\0".repeat(64)}`,
  "half a pack": `${update("refs/heads/main")}PACK`,
  "an object that is longer than said": `${update("refs/heads/main")}${pack(1)}\xbf\xff\xff\xff\xff\xff\xff\xff\x7f${"\0".repeat(40)}`,
  "a certificate of a push": `${packet(`push-cert\0${CAN}`)}${packet("certificate version 0.1\n")}${packet("pusher x\n")}0000`,
  "options of a push": `${packet(`${ZERO} ${OTHER} refs/heads/main\0${CAN} push-options`)}0000${packet(`ci.skip;touch ${MARK}`)}0000${pack(0)}`,
  "another kind of hash": `${packet(`${"0".repeat(64)} ${"1".repeat(64)} refs/heads/main\0${CAN} object-format=sha256`)}0000${pack(0)}`,
  "its own answer, side-band and all": `${packet("\x01000eunpack ok\n0000")}${packet("\x02words for a person")}${packet("\x03the end")}0000`,
  "a shallow line of what is not there": `${packet(`shallow ${OTHER}`)}${update("refs/heads/main")}${pack(0)}`,
};

const FETCHES: Readonly<Record<string, string>> = {
  "what is not there is wanted": `${packet(`want ${OTHER} side-band-64k\n`)}0000${packet("done\n")}`,
  "words for an id": `${packet("want ../../etc/passwd\n")}0000`,
  "a depth that is none": `${packet(`want ${OTHER}\n`)}${packet("deepen 99999999999999999999\n")}0000`,
  "a filter that is none": `${packet(`want ${OTHER} filter\n`)}${packet(`filter sparse:path=${MARK}\n`)}0000`,
  garbage: "\0\xff\xfe0000zzzz",
  "ten thousand wants": `${packet(`want ${OTHER}\n`).repeat(10_000)}0000`,
};

const SECONDS: Readonly<Record<string, string>> = {
  "an unknown command": `${packet("command=evil\n")}0000`,
  "a command with an option in it": `${packet(`command=ls-refs --upload-pack=touch ${MARK}\n`)}0000`,
  "no command": "00010000",
  "prefixes by the thousand": `${packet("command=ls-refs\n")}0001${packet("ref-prefix ../../../*[a-\n").repeat(5000)}0000`,
  "a fetch without an end": `${packet("command=fetch\n")}0001${packet(`want ${OTHER}\n`)}`,
};

test("what git reads: lines, refs, packs and questions that are none; nothing comes of them", async () => {
  const asked = [
    ...Object.entries(PUSHES).map(([what, body]) => ({ what, of: [PUSH, body, ""] as const })),
    ...Object.entries(FETCHES).map(([what, body]) => ({ what, of: [FETCH, body, ""] as const })),
    ...Object.entries(SECONDS).map(([what, body]) => ({
      what,
      of: [FETCH, body, "Git-Protocol: version=2\r\n"] as const,
    })),
  ];
  // One app's pushes wait for nothing but each other: three at a time.
  await Promise.all(
    APPS.map(async (app, lane) => {
      for (const { what, of } of asked.filter((_, at) => at % APPS.length === lane)) {
        const [service, body, more] = of;
        const answer = await answerTo(post(app, service, body, more), what);
        assert.match(answer, /^HTTP\/1\.1 200 /, what);
        assert.doesNotMatch(answer, /Another push|ok refs\//, what);
      }
    }),
  );
  await untouched("what git reads");
});

test("bodies that were packed: a bomb, one that breaks after git has heard enough, one that ends too soon", async () => {
  const packed = "Content-Encoding: gzip\r\n";
  const bomb = gzipSync(Buffer.alloc(256 * 1024 ** 2), { level: 9 });
  assert.ok(bomb.length < 1024 ** 2);
  await answerTo(post("first", PUSH, bomb, packed), "a bomb");
  await answerTo(post("first", FETCH, bomb, packed), "a bomb for a fetch");
  // Git leaves at the first line; the rest is read by nobody, and is no gzip.
  const broken = Buffer.concat([
    gzipSync(Buffer.from("zzzz".repeat(100_000))).subarray(0, 400),
    Buffer.alloc(4_000_000, 0xff),
  ]);
  await answerTo(post("first", PUSH, broken, packed), "broken");
  // The client stays when git has left, and is answered; then it sends what is no gzip, or goes.
  const good = gzipSync(Buffer.from("zzzz".repeat(200_000)), { level: 0 });
  for (const more of [Buffer.alloc(100_000, 0xff), Buffer.alloc(0)]) {
    const socket = connect(world.api.port, "127.0.0.1");
    socket.on("error", () => {}); // the server may end it first
    const gone = closed(socket);
    const head = post("first", PUSH, good.subarray(0, 50_000), packed).toString("latin1");
    const long = head.replace(/Content-Length: \d+/, "Content-Length: 900000").replace("Connection: close\r\n", "");
    socket.write(Buffer.from(long, "latin1"));
    const [said] = (await once(socket, "data")) as [Buffer];
    assert.match(said.toString("latin1"), /^HTTP\/1\.1 200 /);
    await eventually(async () => (await engine.list()).length === 0);
    socket.write(good.subarray(50_000, 60_000));
    assert.equal((await world.call("GET", "/account")).status, 200, "it was read");
    socket.write(more);
    assert.equal((await world.call("GET", "/account")).status, 200, "the platform is there");
    socket.destroySoon();
    await gone;
  }
  await answerTo(post("first", PUSH, good.subarray(0, 1000), packed), "cut");
  await untouched("packed bodies");
  assert.equal((await world.call("GET", "/account")).status, 200, "the platform is there");
});

const OPEN_ENDS: Readonly<Record<string, string>> = {
  nothing: "",
  "one byte": "0",
  "a line without its end": "00ff",
  "an order without its pack": update("refs/heads/main"),
  "an order with the beginning of a pack": `${update("refs/heads/main")}${pack(3)}`,
};

test("a client that never ends its body: when it goes its dyno goes, and the next push is heard", async () => {
  for (const body of Object.values(OPEN_ENDS)) {
    for (const length of ["Content-Length: 5000000", "Transfer-Encoding: chunked"]) {
      const socket = await opened("second", body, length);
      await eventually(async () => (await engine.list()).length === 1);
      socket.destroy();
      await eventually(async () => (await engine.list()).length === 0);
    }
  }
  for (const chunk of ["zz\r\n", "ffffffffffffffff\r\n", "-1\r\n", `5${";a=b".repeat(20_000)}\r\n`]) {
    const head = `POST /second.git/${PUSH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${auth()}`;
    const type = `Content-Type: application/x-${PUSH}-request\r\nTransfer-Encoding: chunked\r\n\r\n`;
    await answerTo(`${head}${type}${chunk}0000`, `a chunk of ${chunk.slice(0, 20)}`);
  }
  await untouched("open ends");
  assert.match(await answerTo(post("second", PUSH, "zzzz"), "the next"), /^HTTP\/1\.1 200 /);
});

async function opened(app: string, body: string, length: string): Promise<Socket> {
  const socket = connect(world.api.port, "127.0.0.1");
  socket.on("error", () => {}); // it is destroyed below
  const chunk = length.startsWith("Transfer") && body !== "" ? `${body.length.toString(16)}\r\n${body}\r\n` : body;
  const type = `Content-Type: application/x-${PUSH}-request\r\n`;
  socket.write(
    Buffer.from(
      `POST /${app}.git/${PUSH} HTTP/1.1\r\nHost: localhost\r\n${auth()}${type}${length}\r\n\r\n${chunk}`,
      "latin1",
    ),
  );
  return socket;
}

test("who may not push gets no dyno: no token, a wrong one, another's app", async () => {
  const started = engine.started;
  const stranger = await world.store.users.ensure("stranger@example.com");
  const fresh = { userId: stranger.id, description: "", scopes: ["global"], expiresAt: null };
  const { text } = await world.store.tokens.create(fresh);
  for (const [words, status] of [
    ["", 401],
    ["Authorization: Basic !!!!\r\n", 401],
    [`Authorization: Bearer ${"a".repeat(5000)}\r\n`, 401],
    [`Authorization: Basic ${Buffer.from(`x:${text}`).toString("base64")}\r\n`, 404],
  ] as const) {
    const bytes = post("third", PUSH, update("refs/heads/main")).toString("latin1").replace(auth(), words);
    assert.match(await answerTo(Buffer.from(bytes, "latin1"), words), new RegExp(`^HTTP/1\\.1 ${status} `), words);
  }
  assert.equal(engine.started, started);
  await untouched("strangers");
});
