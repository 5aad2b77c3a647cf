import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../test/support/api-world.ts";
import { attached, rendezvous, upgrade } from "../../test/support/attached.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { SimProcess } from "../engine/sim/process.ts";
import { encodeFrame } from "../lib/frames.ts";

let world: World;
before(async () => {
  world = await openWorld();
  await world.deployed("hello");
  await world.call("PATCH", "/apps/hello/formation", { body: { updates: [{ type: "web", quantity: 1 }] } });
  await eventually(async () => (await world.call("GET", "/apps/hello/dynos/web.1")).status === 200);
});
after(() => world[Symbol.asyncDispose]());

const enter = (body: object, dyno = "web.1", token?: string) =>
  world.call("POST", `/apps/hello/dynos/${dyno}`, { body, ...(token !== undefined && { token }) });
const secretOf = (json: { attach_url: string }) => json.attach_url.split("/").at(-1) ?? "";
const does = (process: SimProcess) => {
  world.supervision.processes = process;
};

test("platform-api 3.1: run:inside: its process has the call's command, environment and terminal, over rendezvous", async () => {
  const told: string[] = [];
  does(async (parts) => {
    told.push(JSON.stringify(parts.request));
    for await (const chunk of parts.stdin) {
      parts.stdout(`got ${String(chunk)}`);
      if (String(chunk).includes("quit")) break;
    }
    return 3;
  });
  const { status, json } = await enter({ command: "worker -x", env: { TERM: "xterm", COLUMNS: 100, LINES: 30 } });
  assert.equal(status, 201);
  assert.equal(json.name, "web.1");
  assert.match(json.attach_url, new RegExp(`^rendezvous://127\\.0\\.0\\.1:${world.api.tlsPort}/[\\w-]{43}$`));
  await using client = await rendezvous(world, secretOf(json));
  client.socket.write("quit");
  await client.ended;
  assert.equal(client.chunks.slice(1).join(""), "got quit");
  assert.deepEqual(told, [
    JSON.stringify({
      command: "node worker.js -x",
      setting: "dyno",
      env: { TERM: "xterm" },
      terminal: { rows: 30, columns: 100 },
    }),
  ]);
  assert.match(
    world.logs.textOf(json.app.id).at(-1) ?? "",
    /Starting process with command `node worker.js -x` in web\.1 by user owner@/,
  );
});

test("our own way: standard error apart, resizes, the end of the input, the status", async () => {
  does(async ({ stdin, stdout, stderr, told }) => {
    for await (const chunk of stdin) stdout(chunk as Buffer);
    stderr("failed");
    stdout(` ${told.join()}`);
    return 9;
  });
  const { json } = await enter({ command: "cat", force_no_tty: true });
  const big = "x".repeat(1_000_000);
  const got = await attached(world, secretOf(json), big, encodeFrame(1, Buffer.from('{"rows":50,"columns":132}')));
  assert.deepEqual([got.out === `${big} resize 50 132`, got.err, got.status], [true, "failed", 9]);
  assert.equal((await upgrade(world, secretOf(json))).status, 404, "a secret is good once");
});

test("a client that leaves hangs its process up; a dyno that does not run is said to", async () => {
  let isGone = false;
  does(async ({ gone }) => {
    await new Promise((resolve) => gone.addEventListener("abort", resolve));
    isGone = true;
    return 129;
  });
  const { json } = await enter({ command: "cat" });
  const { socket } = await upgrade(world, secretOf(json));
  await new Promise((resolve) => setImmediate(resolve));
  socket?.destroy();
  await eventually(() => isGone);
  const late = await enter({ command: "cat" });
  const dyno = await world.store.dynos.byId(late.json.id);
  await world.store.dynos.update(late.json.id, { exit: { at: 1, status: 0 } });
  const got = await attached(world, secretOf(late.json), "");
  assert.deepEqual([got.err, got.status], ["That dyno does not run (any more).\r\n", 255]);
  assert.equal((await enter({ command: "cat" })).status, 404);
  await world.store.dynos.update(late.json.id, { exit: dyno?.exit ?? null });
});

test("a session of which nobody saw the end says so, with a status of its own", async () => {
  does(async ({ stdout }) => {
    stdout("half");
    return null;
  });
  const got = await attached(world, secretOf((await enter({ command: "cat", force_no_tty: true })).json), "");
  assert.deepEqual([got.out, got.status, /broke off, and nobody saw/.test(got.err)], ["half", 255, true]);
});

test("a connection and a file: by our helpers alone, with what a user said as arguments; their refusals are passed on", async () => {
  let command: string | readonly string[] = "";
  does(async ({ request, stdin, stdout }) => {
    ({ command } = request);
    assert.equal(request.setting, "bare");
    stdout("+");
    for await (const chunk of stdin) stdout(`echo ${String(chunk)}`);
    return 0;
  });
  const connected = await attached(world, secretOf((await enter({ connect: { port: 5000 } })).json), "hi");
  assert.deepEqual([connected.out, connected.status, connected.types], ["echo hi", 0, [6, 0, 3]]);
  assert.deepEqual(command.slice(-2), ["127.0.0.1", "5000"]);

  does(async ({ request, stdout }) => {
    ({ command } = request);
    stdout("5 420 1700000000\nhel");
    stdout("lo");
    return 0;
  });
  const file = await attached(world, secretOf((await enter({ file: "-x; $(id)" })).json), "");
  assert.deepEqual([file.out, file.status, command.at(-1)], ["hello", 0, "-x; $(id)"]);

  does(async ({ stderr }) => {
    stderr("No such\u001b[2J file\n");
    return 1;
  });
  const none = await attached(world, secretOf((await enter({ file: "none" })).json), "");
  assert.deepEqual([none.err, none.status], ["none: No such [2J file.\r\n", 255]);
  const closed = await attached(world, secretOf((await enter({ connect: { host: "db", port: 1 } })).json), "");
  assert.match(closed.err, /^The dyno could not connect to db on port 1: No such/);
});

test("what cannot be is refused before anything runs, and the audit log says who was where", async () => {
  const bad: readonly object[] = [
    {},
    { command: "a", file: "b" },
    { command: " " },
    { command: "a\0b" },
    { command: "a", env: { "A B": "1" } },
    { command: "a", env: { ["__proto__x\0"]: "1" } },
    { connect: { port: 0 } },
    { connect: { port: 70_000 } },
    { file: "" },
    { file: "a\0b" },
  ];
  for (const body of bad) assert.equal((await enter(body)).status, 422, JSON.stringify(body));
  for (const dyno of ["web.9", "..%2fweb.1", "-", "web.1%00"])
    assert.equal((await enter({ command: "a" }, dyno)).status, 404, dyno);
  const hosts = ["-oProxyCommand", "a b", "a;b", ""];
  for (const host of hosts) {
    const got = await attached(world, secretOf((await enter({ connect: { host, port: 80 } })).json), "");
    assert.equal(got.err, "That is no host and port to connect to.\r\n", host);
  }
  await enter({ command: "uname" });
  const events = (await world.call("GET", "/apps/hello/audit-events")).json as readonly {
    readonly type: string;
    readonly actor: { readonly email: string };
    readonly data: object;
    readonly request: { readonly ip_address: string };
  }[];
  const { type, actor, data, request } = events.at(-1) ?? assert.fail("no events");
  assert.deepEqual(
    [type, actor.email, data, request.ip_address],
    ["dyno", "owner@example.com", { fields: ["command"], dyno: "web.1", command: "uname" }, "127.0.0.1"],
  );
});
