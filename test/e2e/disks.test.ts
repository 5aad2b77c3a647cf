import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { specOf, until, untilEnded } from "../../src/engine/contract.ts";
import { cleanInstance } from "../../src/engine/local/clean.ts";
import { standingOf, tryMechanisms } from "../../src/engine/local/disk-mechanisms.ts";
import { mountsBelow } from "../../src/engine/local/loop.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { run } from "../../src/lib/command.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { DISK_MECHANISMS, type DiskMechanism, filesMaxOf } from "../../src/model/disk.ts";
import { HEROKU_SIZES, MEMORY_OVERCOMMIT, sizeNamed, useCatalogue } from "../../src/model/size.ts";
import { EngineHost } from "./engine-host.ts";

/**
 * Each way to limit disks that this host offers, one after the other on one instance (docs/dynos.md, "Disks"). Needs root, and the
 * stacks of the installed instance.
 */
type OpenEngine = Awaited<ReturnType<EngineHost["openEngine"]>>;
const DISK_MB = 32;
/** As many as there may be, twice. */
const FILES = 2 * filesMaxOf(DISK_MB);
const MIB = 1024 * 1024;
const app = { appId: randomUUID(), uidIndex: 3 };

let host: EngineHost;
let engine: OpenEngine | undefined;
const offered = await offeredHere();

before(async () => {
  host = await EngineHost.open();
  const small = { ...(sizeNamed("Basic") ?? assert.fail()), name: "Small", diskMb: DISK_MB };
  useCatalogue({ sizes: [...HEROKU_SIZES, small], memoryOvercommit: MEMORY_OVERCOMMIT });
});
afterEach(async () => {
  for (const { id } of (await engine?.list()) ?? []) await engine?.remove(id);
  await engine?.close();
  engine = undefined;
});
after(async () => {
  useCatalogue({ sizes: HEROKU_SIZES, memoryOvercommit: MEMORY_OVERCOMMIT });
  await host[Symbol.asyncDispose]();
});

/** Fills the disk with bytes, then with files, and tells; tries to leave its limit; shows that it can go on. */
const FLOOD = `
  df -k --output=size /tmp /app | tail -2; df --output=itotal /tmp | tail -1
  head -c ${2 * DISK_MB}M /dev/zero 2>&1 > /tmp/big | grep -o -m1 -E 'quota exceeded|No space left'
  sync; echo bytes $(stat -c %s /tmp/big); read next
  rm /tmp/big
  perl -e 'my $n = 0; $n++ while $n < ${FILES} && open(my $f, ">", "/app/" . $n); print "files $n\n"'
  find /app -type f -delete
  perl -e 'open(my $d, "<", "/tmp"); my $b = pack("L5 x8"); ioctl($d, 0x801c581f, $b); my @a = unpack("L5", $b);
    $a[0] &= ~0x200; $a[3] = 0; print "leave ", ioctl($d, 0x401c5820, pack("L5 x8", @a)) ? "left" : "stays", "\n" if $a[3] != (unpack("L5", $b))[3]'
  echo usable > /app/a && cat /app/a`;

/** Writes 4 MiB to the disk again and again, and says so. */
const NEIGHBOUR =
  "while :; do head -c 4M /dev/urandom > /tmp/own && sync /tmp/own && echo wrote || echo failed; sleep 0.2; done";

/** Where a dyno sees its own disk, and files are counted. */
const EXACT: ReadonlySet<DiskMechanism> = new Set(["project", "image"]);
let lastBuilt: DiskMechanism | undefined;

for (const mechanism of offered) {
  test(`${mechanism}: a dyno that overruns its disk is alone with that, and nothing of it stays`, async () => {
    engine = await host.openEngine({ disk: mechanism });
    assert.equal(standingOf(host.instance.paths), mechanism);
    await buildKeeps(mechanism);
    const neighbour = specOf({ command: NEIGHBOUR, size: "Small" });
    const attack = specOf({ command: FLOOD, size: "Small", kind: "run", name: "run.1", stdin: true });
    await engine.start(neighbour);
    await engine.start(attack);

    const [apps = 0, tmp = 0, files = 0] = (await said(attack.id, /^\s*(\d+)\n\s*(\d+)\n\s*(\d+)\n/)).map(Number);
    const sizeKib = DISK_MB * 1024;
    if (EXACT.has(mechanism)) {
      for (const each of [apps, tmp]) assert.ok(Math.abs(each - sizeKib) < sizeKib / 20, `df says ${each} KiB`);
      assert.ok(Math.abs(files - filesMaxOf(DISK_MB)) < 64, `df -i says ${files}`);
    } else assert.ok(apps > sizeKib && tmp === apps, "the whole store");

    const [bytes = 0] = (await said(attack.id, /(?:quota exceeded|No space left)\nbytes (\d+)\n/)).map(Number);
    assert.ok(bytes > 0.9 * DISK_MB * MIB && bytes <= DISK_MB * MIB, `${bytes} bytes`);
    const full = await usageOf(attack.id, (used) => used >= bytes);
    assert.ok(full <= (DISK_MB + 1) * MIB, `${full} bytes by the store's own count`);
    const writes = wrotes(neighbour.id);
    const input = await engine.input(attack.id);
    input.end("\n");

    assert.equal((await untilEnded(engine, attack.id)).status, 0);
    const text = host.textOf(attack.id);
    const count = Number(/^files (\d+)$/m.exec(text)?.[1]);
    // btrfs counts what describes them: it would take 2800 of them for each MiB, and a minute to get there.
    if (EXACT.has(mechanism)) assert.ok(count > 0 && count < filesMaxOf(DISK_MB) + 64, text);
    else assert.equal(count, FILES, text);
    assert.match(text, /\nusable\n$/);
    if (mechanism === "project") assert.match(text, /^leave stays$/m);
    await wroteOn(neighbour.id, writes);
    assert.doesNotMatch(host.textOf(neighbour.id), /failed/);

    await stays(mechanism, neighbour.id);
    await engine.remove(attack.id);
    await engine.remove(neighbour.id);
    for (const { id } of [attack, neighbour]) await nothingOf(id);
  });
}

/** What works on this machine: without project quotas on some, with them in `npm run test:vm`. */
async function offeredHere(): Promise<readonly DiskMechanism[]> {
  const folder = mkdtempSync("/var/tmp/stator-disks-");
  const tools = { programFolder: join(import.meta.dirname, "..", ".."), clock: systemClock, logger: silentLogger };
  const trials = await tryMechanisms(DISK_MECHANISMS, folder, tools);
  assert.deepEqual(readdirSync(folder), [], "a trial leaves nothing");
  rmSync(folder, { recursive: true });
  return DISK_MECHANISMS.filter((each) => trials[each] === "").toReversed();
}

/** A build finds what one on the mechanism before has left. */
async function buildKeeps(mechanism: DiskMechanism): Promise<void> {
  const build = { ...app, kind: "build", size: "Build", stack: "debian-12-build", io: true } as const;
  const spec = specOf({ ...build, name: "build.1", command: `ls /repo; rm -f /repo/*; touch /repo/${mechanism}` });
  assert.ok(engine);
  await engine.start(spec);
  assert.equal((await untilEnded(engine, spec.id)).status, 0);
  assert.equal(host.textOf(spec.id), lastBuilt === undefined ? "" : `${lastBuilt}\n`);
  lastBuilt = mechanism;
  await engine.remove(spec.id);
}

/** Another host process, which is told to use another mechanism, leaves running dynos where they are. */
async function stays(mechanism: DiskMechanism, neighbour: string): Promise<void> {
  await engine?.close();
  const other = DISK_MECHANISMS.find((each) => each !== mechanism && offered.includes(each));
  engine = await host.openEngine(other === undefined ? {} : { disk: other });
  assert.equal(standingOf(host.instance.paths), mechanism);
  await until(engine, neighbour, ({ kind }) => kind === "running");
  await wroteOn(neighbour, wrotes(neighbour));
}

const wrotes = (id: string): number => host.textOf(id).match(/^wrote$/gm)?.length ?? 0;

async function wroteOn(id: string, since: number): Promise<void> {
  for (const deadline = performance.now() + 15_000; wrotes(id) <= since; await pause(50))
    assert.ok(performance.now() < deadline, "the other dyno stands still");
}

async function said(id: string, pattern: RegExp): Promise<readonly string[]> {
  for (const deadline = performance.now() + 15_000; ; await pause(50)) {
    const text = existsSync(join(host.instance.paths.logs, `${id}.log`)) ? host.textOf(id) : "";
    const match = pattern.exec(text);
    if (match) return match.slice(1);
    if (performance.now() > deadline) assert.fail(`${String(pattern)} never came: ${text}`);
  }
}

/** btrfs counts at each commit. */
async function usageOf(id: string, enough: (used: number) => boolean): Promise<number> {
  for (const deadline = performance.now() + 5000; ; await pause(100)) {
    const used = (await engine?.usage())?.find((each) => each.id === id)?.diskBytes ?? 0;
    if (enough(used)) return used;
    if (performance.now() > deadline) assert.fail(`${used} bytes`);
  }
}

/** No volume, and no more images and loop devices than volumes and those kept ready. */
async function nothingOf(id: string): Promise<void> {
  const folder = host.instance.paths.host;
  const names = () => readdirSync(join(folder, "store"));
  for (const deadline = performance.now() + 5000; names().some((name) => name.startsWith("gone-")); await pause(50))
    assert.ok(performance.now() < deadline, names().join(" "));
  assert.deepEqual(
    names().filter((name) => name.includes(id) || name.startsWith("dyno-")),
    [],
  );
  if (!existsSync(join(folder, "store-images"))) return;
  const images = readdirSync(join(folder, "store-images")).filter((name) => name.endsWith(".img"));
  const own = images.filter((name) => name.startsWith("own-"));
  assert.equal(own.length, 2, "the repository and the cache");
}

test("what a host process left, a running dyno too, is cleaned up by the instance's id alone", async () => {
  const mechanism = lastBuilt ?? assert.fail("no mechanism works here");
  const left = await host.openEngine({ disk: mechanism, readyCount: 1 });
  await left.start(specOf({ command: "exec sleep 1000", size: "Small" }));
  await left.close();
  const { host: folder, run: runFolder } = host.instance.paths;
  await cleanInstance(host.instance);
  assert.deepEqual([...(await mountsBelow(folder)), ...(await mountsBelow(runFolder))], []);
  assert.equal((await run("losetup", ["-a"])).stdout.includes(host.instance.home), false);
});
