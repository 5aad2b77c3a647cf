import assert from "node:assert/strict";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Finding } from "../../src/engine/local/probe-judge.ts";
import { echo } from "./apps.ts";
import {
  config,
  type DynoJson,
  deployed,
  dynosOf,
  eventually,
  platform,
  stator,
  statorOk,
  throughRouter,
  waitLog,
  waitUp,
} from "./harness.ts";

/** The operator's own sizes: from the file to the kernel, and what happens when they do not fit or make no sense. */
const file = join(config.instance.home, "sizes.json");
let app = "";
/** What `doctor` says that this machine can hold. */
let held: ReadonlySet<string> = new Set();
let dispose: () => Promise<void> = async () => {};

before(async () => {
  const made = await deployed("sizes", echo);
  app = made.name;
  dispose = async () => made[Symbol.asyncDispose]();
  writeFileSync(
    file,
    JSON.stringify({
      sizes: {
        Tiny: {
          memory_mb: 64,
          memory_ceiling_mb: 64,
          processes: 32,
          disk_mb: 100,
          read_mb_per_second: 5,
          write_mb_per_second: 5,
          read_ops_per_second: 40,
          write_ops_per_second: 40,
          network_in_mbit: 10,
        },
        Giant: { memory_mb: 16_000_000 },
      },
    }),
    { mode: 0o644 },
  );
  await eventually("the sizes in the API", async () => (await sizeNames()).includes("Tiny"));
});
after(async () => {
  rmSync(file, { force: true });
  await dispose();
});

const sizeNames = async () =>
  (await platform<readonly { name: string }[]>("GET", "/dyno-sizes")).map(({ name }) => name);
const run = (size: string, script: string) =>
  stator(["run", "-a", app, "-s", size, "--no-tty", "--", script], { timeoutMs: 120_000 });

test("an operator's size is held by the kernel: memory ceiling, processes, disk, its rates each way in bytes and operations", async () => {
  // The host reads the file for itself, maybe a moment later.
  const first = await eventually("the host to know the size", async () => {
    const result = await run("tiny", "ulimit -u");
    return result.code === 0 ? result : undefined;
  });
  assert.match(first.stdout, /^32$/m);
  assert.equal((await run("TINY", "python3 -c 'bytearray(100 << 20)'")).code, 137);
  const full = await run("tiny", "dd if=/dev/zero of=/tmp/a bs=1M count=200 conv=fsync 2>&1");
  assert.match(full.stdout, /quota exceeded|No space left/);
  const large = "bs=1M count=12"; // 5 a second
  const small = "bs=4k count=80"; // 40 a second
  const slow = await run(
    "tiny",
    [
      `dd if=/dev/zero of=/tmp/a ${large} oflag=direct 2>&1`,
      `dd if=/tmp/a of=/dev/null ${large} iflag=direct 2>&1`,
      `dd if=/dev/zero of=/tmp/b ${small} oflag=direct 2>&1`,
      `dd if=/tmp/b of=/dev/null ${small} iflag=direct 2>&1`,
    ].join("; "),
  );
  const seconds = [...slow.stdout.matchAll(/copied, ([\d.]+) s/g)].map((match) => Number(match[1]));
  assert.equal(seconds.length, 4, slow.stdout);
  const findings = JSON.parse((await stator(["doctor", "--json"])).stdout) as readonly Finding[];
  held = new Set(findings.filter(({ verdict }) => verdict === "ok").map(({ id }) => id));
  if (held.has("limit-io")) assert.ok(Math.min(...seconds) > 1.3, slow.stdout);
});

test("ps:type changes the size of a process type, and its dynos have the new limits", async () => {
  const [before_] = await waitUp(app, "web", 1);
  assert.match(await statorOk(["ps:type", "web=tiny", "-a", app]), /web +Tiny +1 +64 \/ 64 MiB/);
  await eventually("the dyno to be replaced", async () => {
    const all = (await dynosOf(app)).filter(({ type }) => type === "web");
    return all.length === 1 && all[0]?.id !== before_?.id && all[0]?.state === "up";
  });
  const began = performance.now();
  const received = await throughRouter(app, { method: "POST", body: Buffer.alloc(3_000_000) });
  assert.match(received.body, /bytes=3000000/);
  if (held.has("limit-bandwidth")) assert.ok(performance.now() - began > 1500, "24 Mbit at 10 a second");
  const refused = await stator(["ps:type", "web=huge", "-a", app]);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /dyno size \(huge\).*Tiny/);
  await statorOk(["ps:type", "web=hobby", "-a", app]);
  assert.match(await statorOk(["ps:scale", "-a", app]), /web=1:Basic/);
});

test("admission: a start that cannot fit is refused with what is free and what was asked, and nothing of it is made", async () => {
  const before_ = new Set(bundles());
  const dyno = await platform<DynoJson>("POST", `/apps/${app}/dynos`, { command: "true", size: "giant" });
  await waitLog(
    app,
    /no room for it on this host: run\.\d+ asks for 16000000 MB \(Giant\), \d+ MB of the \d+ MB .* free/,
  );
  const made = bundles().filter((id) => !before_.has(id)); // others may have gone meanwhile
  assert.deepEqual(made, [], "no folder of it");
  await statorOk(["ps:stop", dyno.name, "-a", app]);
  await eventually("it to be forgotten", async () => !(await dynosOf(app)).some(({ name }) => name === dyno.name));
});

test("a file that makes no sense is refused with the field, and what held goes on to hold", async () => {
  writeFileSync(file, JSON.stringify({ sizes: { Tiny: { memory_mb: 1 } } }), { mode: 0o644 });
  const findings = JSON.parse((await stator(["doctor", "--json"])).stdout) as readonly Finding[];
  const [sizes] = findings.filter(({ id }) => id === "sizes");
  assert.equal(sizes?.verdict, "missing");
  assert.match(sizes.detail, /sizes\.json: sizes\/Tiny\/memory_mb: must be >= 32/);
  assert.ok((await sizeNames()).includes("Tiny"));
});

function bundles(): readonly string[] {
  const folder = config.instance.paths.bundles;
  return existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.length === 36)
        .sort()
    : [];
}
