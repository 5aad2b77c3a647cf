import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { statSync } from "node:fs";
import { connect } from "node:net";
import { test } from "node:test";
import { loadConfig } from "../../src/config.ts";
import type { DynoSpec } from "../../src/engine/engine.ts";
import { EngineError } from "../../src/engine/engine.ts";
import { HostClient } from "../../src/host/client.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { run } from "../../src/lib/command.ts";
import { silentLogger } from "../../src/lib/logger.ts";

/**
 * Architecture, decision 13, on the real root process: what somebody who has taken over the daemon can send to its socket.
 * src/host/server.test.ts has every message; these show that the real one refuses too, and is unharmed.
 */
const { instance } = loadConfig();
const { hostSocket } = instance.paths;
const client = () => new HostClient({ instance, clock: systemClock, logger: silentLogger });

function spec(change: Partial<DynoSpec> = {}): DynoSpec {
  return {
    id: randomUUID(),
    appId: randomUUID(),
    uidIndex: 4095,
    kind: "run",
    name: "run.1",
    releaseId: null,
    stack: "debian-12",
    slugDigest: null,
    command: "id -u; sleep 60",
    env: {},
    size: "Basic",
    port: null,
    terminal: null,
    stdin: false,
    isolation: "container",
    io: false,
    ...change,
  };
}

async function send(line: string, body: unknown, headers = `x-stator-instance: ${instance.id}`): Promise<string> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const socket = connect(hostSocket);
  let answer = "";
  socket.on("error", () => {}); // closed on us: what came is the answer
  socket.on("data", (chunk: Buffer) => (answer += chunk.toString()));
  socket.write(
    `${line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers}\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text.length > 1e6 ? text.slice(0, 100) : text}`,
  );
  await new Promise((resolve) => socket.once("close", resolve));
  return answer;
}

test("only root and the daemon's group can connect", async () => {
  const { mode, uid } = statSync(hostSocket);
  assert.equal(mode & 0o777, 0o660);
  assert.equal(uid, 0);
  const stranger = ["--reuid=65534", "--regid=65534", "--clear-groups", "--", process.execPath, "-e"];
  const script = `require("net").connect(${JSON.stringify(hostSocket)}).on("connect", () => process.exit(3)).on("error", (e) => console.log(e.code))`;
  assert.equal((await run("setpriv", [...stranger, script])).stdout.trim(), "EACCES");
});

test("hostile messages are refused, each with a reason, and nothing was started", async () => {
  await using host = client();
  const before = (await host.list()).length;
  const hostile: readonly (readonly [string, unknown, RegExp, string?])[] = [
    ["POST /call/start", { ...spec(), id: "../../../etc" }, / 400 .*start\/id/s],
    ["POST /call/start", { ...spec(), slugDigest: "/etc/passwd" }, / 400 .*slugDigest/s],
    ["POST /call/start", { ...spec(), privileged: true }, / 400 .*start/s],
    ["POST /call/start", { ...spec(), mounts: [{ source: "/", destination: "/mnt" }] }, / 400 /],
    ["POST /call/start", { ...spec(), uidIndex: -8192 }, / 400 .*uidIndex/s],
    ["POST /call/start", { ...spec(), uidIndex: 4096 }, / 400 .*uidIndex/s],
    ["POST /call/start", { ...spec(), size: "9999999" }, / 400 .*size/s],
    ["POST /call/start", { ...spec(), name: "web.1; reboot" }, / 400 .*name/s],
    ["POST /call/start", { ...spec(), env: { "LD_PRELOAD\0": "x" } }, / 400 .*env/s],
    ["POST /call/start", { ...spec(), env: { BIG: "x".repeat(200_000) } }, / 400 .*env/s],
    ["POST /call/start", "{".repeat(5_000_000), / 413 /],
    ["POST /call/start", "not json", / 400 .*not JSON/s],
    ["POST /call/start", spec(), / 421 .*another instance/s, "x-stator-instance: 000000"],
    ["POST /call/remove", { id: "*" }, / 400 /],
    ["POST /call/removeApp", { appId: "../..", uidIndex: 0 }, / 400 /],
    ["POST /call/trimLog", { id: randomUUID(), segment: "../1" }, / 400 /],
    [
      "POST /call/setRoute",
      { appId: randomUUID(), hosts: ["a\n  lua-load /tmp/x"], state: "serve", dynoIds: [] },
      / 400 /,
    ],
    ["POST /call/setRoute", { appId: randomUUID(), hosts: [], state: "serve", dynoIds: ["10.0.0.1:22"] }, / 400 /],
    ["POST /call/exec", { command: "id" }, / 404 /],
    ["PUT /slugs/..%2f..%2fetc/0", "x", / 400 /],
    ["GET /../../etc/shadow", "", / 404 /],
  ];
  for (const [line, body, expected, headers] of hostile) assert.match(await send(line, body, headers), expected, line);
  assert.equal((await host.list()).length, before);
});

test("a start sent again after its dyno was removed is gone for ever", async () => {
  await using host = client();
  const once = spec();
  await host.start(once);
  assert.ok((await host.list()).some(({ id }) => id === once.id));
  await host.remove(once.id);
  await assert.rejects(host.start(once), (error) => error instanceof EngineError && error.id === "gone");
  assert.ok((await host.list()).every(({ id }) => id !== once.id));
});

test("a tar that is none makes no slug", async () => {
  await using host = client();
  const digest = "0".repeat(64);
  const answer = await send(`PUT /slugs/${digest}/4095`, "this is no tar ".repeat(1000));
  assert.doesNotMatch(answer, /^HTTP\/1\.1 200 /);
  assert.equal(await host.hasSlug({ digest, uidIndex: 4095 }), false);
});
