import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { after, afterEach, before, test } from "node:test";
import { openWorld, type Program, type World } from "../../test/support/api-world.ts";
import { rendezvous, tls, upgrade } from "../../test/support/attached.ts";
import { eventually } from "../../test/support/eventually.ts";
import { encodeFrame, FrameReader } from "../lib/frames.ts";
import { NO_MANIFEST } from "../model/app-manifest.ts";
import { FRAME_BYTES_MAX } from "./attach-frames.ts";

let world: World;
/** What the next dyno does. */
let program: Program = async () => 0;
before(async () => {
  world = await openWorld({ program: (dyno) => program(dyno) });
  await world.deployed("hello");
});
after(() => world[Symbol.asyncDispose]());
afterEach(() => {
  world.supervision.isHolding = false;
  world.supervision.asked.length = 0;
});

const cat: Program = async ({ input, output }) => {
  for await (const chunk of input) output.write(chunk);
  output.write("end of input\n");
  return 0;
};
const create = (body: object) => world.call("POST", "/apps/hello/dynos", { body: { command: "cmd", ...body } });
const secretOf = (json: { attach_url: string }) =>
  new URL(json.attach_url).pathname.slice(1) || json.attach_url.split("/").at(-1) || "";

test("a detached one has the id of what stands by, an attached one does not; the engine hears of both before anything is asked of the store", async () => {
  const standby = randomUUID();
  world.supervision.standbys = [standby];
  world.supervision.expected = 0;
  program = async () => 0;
  assert.notEqual((await create({ attach: true })).json.id, standby);
  assert.equal((await create({})).json.id, standby);
  assert.equal(world.supervision.expected, 2);
  assert.equal(
    (await world.call("POST", "/apps/hello/dynos", { body: { command: "cmd" }, token: "wrong" })).status,
    401,
  );
  assert.equal(world.supervision.expected, 2, "nobody who was not let in");
  world.supervision.prepared.length = 0;
});

test("spec 3.9: detached: no attach_url, its command runs, its end is known", async () => {
  program = async () => 7;
  const { status, json } = await create({ command: "worker --now" });
  assert.equal(status, 201);
  assert.deepEqual([json.attach_url, json.type, json.state, json.size], [null, "run", "starting", "Basic"]);
  assert.match(json.name, /^run\.\d{1,4}$/);
  assert.equal(json.command, "node worker.js --now", "a process type stands for its command");
  await eventually(async () => (await world.call("GET", `/apps/hello/dynos/${json.name}`)).json.exit_status === 7);
  const listed = (await world.call("GET", "/apps/hello/dynos")).json.map((dyno: { name: string }) => dyno.name);
  assert.ok(!listed.includes(json.name));
  const log = world.logs.textOf(json.app.id);
  assert.deepEqual(log.slice(-2), [
    "app[api]: Starting process with command `node worker.js --now` by user owner@example.com",
    `heroku[${json.name}]: Starting process with command \`node worker.js --now\``,
  ]);
  assert.deepEqual(
    world.supervision.prepared.map(({ id }) => id),
    [json.id],
    "it is told of before it is on record",
  );
});

test("what cannot be run is refused: no code, no command, sizes and times that are not there", async () => {
  await world.call("POST", "/apps", { body: { name: "empty-app" } });
  const none = await world.call("POST", "/apps/empty-app/dynos", { body: { command: "bash" } });
  assert.deepEqual([none.status, none.json.id], [422, "invalid_params"]);
  assert.match(none.json.message, /no code to run yet/);
  const bad = [{ command: " " }, { command: "a\0b" }, { size: "huge" }, { time_to_live: 0 }, { time_to_live: 86_401 }];
  for (const body of [...bad, { env: { "A B": "1" } }, { env: { A: {} } }, { command: 5 }]) {
    assert.equal((await create(body)).status, 422, JSON.stringify(body));
  }
});

test("spec 2.3: 50 one-off dynos of an app at a time, of whatever size; the next is refused until one ends", async () => {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  program = async () => {
    await ended;
    return 0;
  };
  await world.deployed("many");
  const another = () => world.call("POST", "/apps/many/dynos", { body: { command: "cmd", size: "Performance-M" } });
  for (let count = 0; count < 50; count++) assert.equal((await another()).status, 201, `${count}`);
  const refused = await another();
  assert.deepEqual([refused.status, refused.json.id], [422, "invalid_params"]);
  assert.match(refused.json.message, /^50 one-off dynos are running: at most 50 for an app\. End some with ps:stop\.$/);
  end();
  await eventually(async () => (await another()).status === 201);
});

test("a changed config var is seen by the next run; while other code comes up the call is held", async () => {
  program = async () => 0;
  world.supervision.isHolding = true;
  await world.call("PATCH", "/apps/hello/config-vars", { body: { A: String(Math.random()) } });
  const newest = (await world.store.apps.find("hello"))?.id ?? "";
  const release = await world.store.releases.newest(newest);
  assert.equal(release?.status, "pending");
  assert.equal((await create({})).json.release.id, release?.id);

  const slug = await world.store.slugs.create({
    appId: newest,
    digest: "2".repeat(64),
    sizeBytes: 1,
    processTypes: { web: "two" },
    stack: "debian-12",
    commit: null,
    buildpackDescription: null,
    manifest: NO_MANIFEST,
  });
  const coming = await world.store.releases.create({
    appId: newest,
    slugId: slug.id,
    description: "Deploy",
    userId: world.user.id,
    status: "pending",
  });
  let isAnswered = false;
  const held = create({ command: "web" }).finally(() => {
    isAnswered = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(isAnswered, false);
  world.supervision.isHolding = false;
  await world.supervision.settleAll(newest);
  const { json } = await held;
  assert.deepEqual([json.release.id, json.command], [coming.id, "two"]);
});

test("platform-api 3.1: rendezvous: the first chunk alone, then raw bytes; 0x04 is the terminal's own without pipes", async () => {
  program = cat;
  const { json } = await create({ attach: true, env: { TERM: "xterm", COLUMNS: 100, LINES: 30 } });
  assert.match(json.attach_url, new RegExp(`^rendezvous://127\\.0\\.0\\.1:${world.api.tlsPort}/[\\w-]{43}$`));
  const dyno = await world.store.dynos.byId(json.id);
  assert.deepEqual(dyno?.oneOff?.terminal, { rows: 30, columns: 100 });
  assert.deepEqual([dyno?.oneOff?.awaiting, dyno?.state], [true, "starting"], "not before its client");
  await using client = await rendezvous(world, secretOf(json));
  assert.equal(client.chunks[0], "rendezvous\r\n");
  client.socket.write("typed \u0004");
  await client.until("typed \u0004");
  client.socket.destroy();
  await eventually(() => world.supervision.asked.includes("disconnect"));
});

test("platform-api 3.1.6: without a terminal a last 0x04 ends the input, one within it does not", async () => {
  program = cat;
  const { json } = await create({ attach: true, force_no_tty: true });
  assert.equal((await world.store.dynos.byId(json.id))?.oneOff?.terminal, null);
  await using client = await rendezvous(world, secretOf(json));
  client.socket.write("one\u0004");
  client.socket.write("two\u0004\u0004");
  await client.until("end of input\n");
  await client.ended;
  assert.equal(client.chunks.slice(1).join(""), "one\u0004two\u0004end of input\n");
  assert.deepEqual(world.supervision.asked, [], "its end is no disconnection");
});

test("the output comes whole before the close, however much, and the status line in one piece", async () => {
  const big = "x".repeat(1_000_000);
  program = async ({ output }) => {
    output.write(`${big}\n\uFFFF heroku-comm`);
    output.write("and-exit-status: 3\n");
    return 3;
  };
  await using client = await rendezvous(world, secretOf((await create({ attach: true, force_no_tty: true })).json));
  await client.ended;
  assert.equal(client.chunks.slice(1).join(""), `${big}\n\uFFFF heroku-command-exit-status: 3\n`);
  assert.ok(client.chunks.some((chunk) => chunk.includes("\uFFFF heroku-command-exit-status: 3")));
});

test("a secret is good once, by either way; a wrong one gets nothing", async () => {
  program = async () => 0;
  const { json } = await create({ attach: true });
  await using first = await rendezvous(world, secretOf(json));
  await first.ended;
  await using again = await rendezvous(world, secretOf(json), false);
  await again.ended;
  assert.deepEqual(again.chunks, []);
  await using wrong = await rendezvous(world, "x".repeat(43), false);
  await wrong.ended;
  assert.deepEqual(wrong.chunks, []);
  assert.equal((await upgrade(world, secretOf(json))).status, 404);
});

test("the TLS port speaks HTTP too, however slowly it comes", async () => {
  const socket = await tls(world);
  const text = `GET /account HTTP/1.1\r\nHost: any.example.com\r\nAuthorization: Bearer ${world.token}\r\nConnection: close\r\n\r\n`;
  for (const part of [text.slice(0, 1), text.slice(1, 6), text.slice(6)]) {
    socket.write(part);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  let answer = "";
  for await (const chunk of socket.setEncoding("utf8")) answer += String(chunk);
  assert.match(answer, /^HTTP\/1\.1 200 OK/);
  assert.match(answer, /owner@example\.com/);
});

test("our own way: input, resize, end of input, output and the exit status in frames", async () => {
  program = async (dyno) => {
    await cat(dyno);
    return 9;
  };
  const { json } = await create({ attach: true, force_no_tty: true });
  const { socket } = await upgrade(world, secretOf(json));
  assert.ok(socket);
  socket.write(encodeFrame(1, Buffer.from('{"rows":50,"columns":132}')));
  socket.write(encodeFrame(0, Buffer.from("in \u0004")));
  socket.write(encodeFrame(2, Buffer.alloc(0)));
  const reader = new FrameReader(FRAME_BYTES_MAX);
  const got: [number, string][] = [];
  for await (const chunk of socket) {
    for (const { type, body } of reader.push(chunk as Buffer)) got.push([type, body.toString()]);
  }
  assert.equal(
    got
      .filter(([type]) => type === 0)
      .map(([, text]) => text)
      .join(""),
    "in \u0004end of input\n",
  );
  assert.deepEqual(got.at(-1), [3, '{"status":9}']);
  assert.ok(world.supervision.asked.includes("resize 50x132"));
});

test("a client that breaks the protocol is cut off, and the dyno told", async () => {
  program = () => new Promise(() => {});
  const { json } = await create({ attach: true, force_no_tty: true });
  const { socket } = await upgrade(world, secretOf(json));
  assert.ok(socket);
  socket.write(Buffer.from([0, 255, 255, 255, 255]));
  await once(socket, "close");
  await eventually(() => world.supervision.asked.includes("disconnect"));
});

test("an upgrade to something else is answered as a plain request", async () => {
  const response = await fetch(`${world.url}/account`, { headers: { Authorization: `Bearer ${world.token}` } });
  assert.equal(response.status, 200);
  const { status } = await upgrade(world, "x", "/account", "h2c");
  assert.equal(status, 401);
});
