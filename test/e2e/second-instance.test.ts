import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { instanceOf } from "../../src/model/instance.ts";
import { leftoversOf } from "../leftovers.ts";
import {
  checkout,
  config,
  eventually,
  freePort,
  processes,
  program,
  stator,
  statorOk,
  throughRouter,
} from "./harness.ts";

test("a second installation beside the first: neither sees the other, and one uninstalled leaves nothing", async () => {
  const base = mkdtempSync("/var/tmp/stator-second-");
  const home = join(base, "home");
  const ports = await Promise.all(Array.from({ length: 4 }, () => freePort()));
  const names = ["STATOR_API_PORT", "STATOR_TLS_PORT", "STATOR_HTTP_PORT", "STATOR_HTTPS_PORT"];
  const env = {
    ...Object.fromEntries(names.map((name, index) => [name, String(ports[index])])),
    STATOR_HOME: home,
    HOME: join(base, "person"),
  };
  // The same recipe gives the same stacks: taken from the first installation instead of built again.
  mkdirSync(join(home, "host"), { recursive: true });
  cpSync(join(config.instance.paths.host, "stacks"), join(home, "host", "stacks"), { recursive: true });
  const before = (await processes()).map(({ pid }) => pid).sort((a, b) => a - b);
  try {
    const up = await program(join(checkout, "bin", "up"), [], { env, timeoutMs: 400_000 });
    assert.equal(up.code, 0, `${up.stdout}\n${up.stderr}`);
    assert.match(await statorOk(["apps"], { env }), /hello/);
    const status = JSON.parse(await statorOk(["status", "--json"], { env })) as {
      processes: readonly { pid: number }[];
    };
    assert.ok(
      status.processes.every(({ pid }) => !before.includes(pid)),
      "its processes are its own",
    );
    const wrongDoor = await stator(["apps"], { env: { ...env, STATOR_API_PORT: String(config.apiPort) } });
    assert.ok(!/hello/.test(wrongDoor.stdout) || wrongDoor.code !== 0, "its token is worth nothing at the first one");
    assert.equal((await stator(["down"], { env, timeoutMs: 120_000 })).code, 0);
    const again = await program(join(checkout, "bin", "up"), [], { env, timeoutMs: 400_000 });
    assert.equal(again.code, 0, `up after down: ${again.stdout}\n${again.stderr}`);
  } finally {
    const gone = await stator(["uninstall", "--yes"], { env, timeoutMs: 120_000 });
    assert.equal(gone.code, 0, `${gone.stdout}\n${gone.stderr}`);
    rmSync(base, { recursive: true, force: true });
  }
  assert.deepEqual(await leftoversOf(instanceOf(home)), []);
  assert.deepEqual(
    (await processes()).map(({ pid }) => pid).sort((a, b) => a - b),
    before,
    "the first one was not touched",
  );
  await eventually("the first one answers", async () => (await throughRouter("hello")).status === 200);
});
