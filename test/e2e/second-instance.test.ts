import assert from "node:assert/strict";
import { chmodSync, cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { instanceOf } from "../../src/model/instance.ts";
import { leftoversOf } from "../leftovers.ts";
import {
  cgroupFolders,
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
  chmodSync(base, 0o755); // dynos pass through it
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
    await statorOk(["ps:scale", "web=2", "-a", "hello"], { env });
    await killEverything(home, env);
    const afterwards = await program(join(checkout, "bin", "up"), [], { env, timeoutMs: 400_000 });
    assert.equal(afterwards.code, 0, `up after a power cut: ${afterwards.stdout}\n${afterwards.stderr}`);
    await eventually("both dynos are up again", async () => {
      const text = await statorOk(["ps", "-a", "hello"], { env });
      return /web\.1: up/.test(text) && /web\.2: up/.test(text);
    });
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

/** As near to a power cut as a test comes: every process of the instance at once, the dynos' own too, and what lay on tmpfs. */
async function killEverything(home: string, env: Record<string, string>): Promise<void> {
  const instance = instanceOf(home);
  const status = JSON.parse(await statorOk(["status", "--json"], { env })) as { processes: readonly { pid: number }[] };
  const inDynos = cgroupFolders(instance)
    .flatMap((folder) => globSync("**/cgroup.procs", { cwd: folder }).map((path) => join(folder, path)))
    .flatMap((path) => readFileSync(path, "utf8").split("\n").filter(Boolean).map(Number));
  assert.ok(inDynos.length > 0, "the dynos' processes are found");
  for (const pid of [...status.processes.map((each) => each.pid), ...inDynos]) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // it went with another one
    }
  }
  assert.equal((await program("umount", ["--lazy", instance.paths.bundles])).code, 0);
}
