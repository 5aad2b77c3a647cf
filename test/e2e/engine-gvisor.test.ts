import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { release } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import tar from "tar-stream";
import { engineContract, isEngineError, specOf, until, untilEnded } from "../../src/engine/contract.ts";
import type { DynoSpec } from "../../src/engine/engine.ts";
import { cleanInstance, stopAll } from "../../src/engine/local/clean.ts";
import { standingOf } from "../../src/engine/local/disk-mechanisms.ts";
import { mountsBelow } from "../../src/engine/local/loop.ts";
import { run } from "../../src/lib/command.ts";
import { leftoversOf } from "../leftovers.ts";
import { DNS_QUERY } from "./apps.ts";
import { EngineHost, OBEDIENT, processesNaming, SERVER, STUBBORN } from "./engine-host.ts";
import { needGvisor } from "./gvisor-host.ts";
import { sessionTests } from "./sessions.ts";
import { signalTests } from "./signals.ts";
import { putTar } from "./slugs.ts";

/** The local engine with dynos of class `gvisor` (docs/dynos.md). Needs root, and the stacks of the installed instance. */
type OpenEngine = Awaited<ReturnType<EngineHost["openEngine"]>>;
let host: EngineHost;
let engine: OpenEngine;

before(async () => {
  await needGvisor();
  host = await EngineHost.open();
  engine = await host.openEngine();
});
afterEach(removeAll);
after(async () => {
  await engine.close();
  await host[Symbol.asyncDispose]();
});

const gvisor = { isolation: "gvisor" } as const;
engineContract("local, class gvisor", async () => ({
  engine,
  spec: gvisor,
  commands: {
    stay: "exec sleep 1000",
    stubborn: "trap '' TERM; while :; do sleep 1000; done",
    serve: SERVER,
    exit: (status) => `exit ${status}`,
  },
  [Symbol.asyncDispose]: removeAll,
}));

sessionTests({
  engine: () => engine,
  host: () => host,
  restart: async () => {
    await engine.close();
    engine = await host.openEngine();
  },
  spec: gvisor,
});

signalTests({ engine: () => engine, host: () => host, spec: gvisor });

async function removeAll(): Promise<void> {
  await Promise.all((await engine.list()).map(({ id }) => engine.remove(id)));
}

async function output(command: string, change: Partial<DynoSpec> = {}): Promise<string> {
  const spec = specOf({ command, kind: "run", name: "run.1", ...gvisor, ...change });
  await engine.start(spec);
  await untilEnded(engine, spec.id);
  const text = host.textOf(spec.id);
  await engine.remove(spec.id);
  return text;
}

test("the dyno runs on gVisor's kernel and not on the machine's; a container beside it runs on the machine's", async () => {
  const command = "uname -r; dmesg 2>&1 | head -1";
  const [inside, beside] = await Promise.all([output(command), output(command, { isolation: "container" })]);
  assert.match(inside, /Starting gVisor/);
  assert.ok(!inside.startsWith(release()), inside);
  assert.ok(beside.startsWith(`${release()}\n`), beside);
  assert.doesNotMatch(beside, /gVisor/);
});

test("it has walls: user, capabilities, processes, root file system, devices, nothing of the machine", async () => {
  const text = await output(`
    id; hostname; pwd
    grep -E 'CapEff|CapBnd' /proc/self/status
    echo processes $(ls /proc | grep -c '^[0-9]')
    touch /etc/x 2>&1; touch /usr/x 2>&1
    python3 -c 'import ctypes; print("mount", ctypes.CDLL(None, use_errno=True).mount(b"none", b"/mnt", b"tmpfs", 0, None), ctypes.get_errno())'
    echo files $(ulimit -n) procs $(ulimit -u); grep MemTotal /proc/meminfo
    ls /sys; ls /proc/kcore /proc/keys 2>&1; echo 1 2>&1 > /proc/sys/kernel/hostname`);
  assert.match(text, /uid=1000\(dyno\) gid=1000\(dyno\) groups=1000\(dyno\)/);
  assert.match(text, /CapEff:\s+0{16}\nCapBnd:\s+0{16}/);
  assert.match(text, /^\/app$/m);
  assert.match(text, /touch: cannot touch '\/etc\/x': (Permission denied|Read-only file system)/);
  assert.match(text, /touch: cannot touch '\/usr\/x': (Permission denied|Read-only file system)/);
  assert.match(text, /^mount -1 1$/m, "EPERM");
  assert.match(text, /files 10000 procs 256/);
  assert.match(text, /MemTotal:\s+1048576 kB/, "the dyno's ceiling, not the machine's memory");
  assert.match(text, /cannot access '\/proc\/kcore'/);
  const processes = Number(/processes (\d+)/.exec(text)?.[1]);
  assert.ok(processes > 0 && processes < 10, `it sees only its own processes, not ${processes}`);
  for (const user of ownersOfGofer()) assert.ok(user >= host.uidBase, "on the host it is nobody");
});

/** Users of all processes of gVisor's that serve this instance. */
function ownersOfGofer(): readonly number[] {
  return globSync("/proc/[0-9]*/cmdline").flatMap((path) => {
    const text = existsSync(path) ? readFileSync(path, "utf8") : "";
    if (!text.startsWith("runsc-") || !text.includes(host.instance.id)) return [];
    return [Number(/^Uid:\s+(\d+)/m.exec(readFileSync(path.replace("cmdline", "status"), "utf8"))?.[1])];
  });
}

test("what a dyno writes is its own and vanishes with it, and the slug stays as it is; the slug's tree goes with the slug", async () => {
  const slug = await putSlug({ "./dir/file": "from the slug\n", "./run.sh": "echo ran\n" });
  const first = await output(
    "ls -ld /app; cat dir/file; rm -r dir && echo removed; echo new > new; echo more >> run.sh; ls; touch /tmp/mine /var/tmp/mine",
    slug,
  );
  assert.match(first, /^drwxr-xr-x \d+ dyno dyno .* \/app\n/);
  assert.match(first, /from the slug\nremoved\nnew\nrun.sh\n$/);
  assert.equal(
    await output("ls /app /app/dir /tmp /var/tmp; sh run.sh", slug),
    "/app:\ndir\nrun.sh\n\n/app/dir:\nfile\n\n/tmp:\n\n/var/tmp:\nran\n",
  );
  assert.equal(await output("cat dir/file", { ...slug, isolation: "container" }), "from the slug\n");
  const store = join(host.instance.paths.host, "store");
  assert.deepEqual(
    (await mountsBelow(store)).filter((at) => at !== store),
    [],
    "no overlay of the host's",
  );
  const trees = () => readdirSync(join(host.instance.paths.host, "store")).filter((name) => name.startsWith("tree-"));
  assert.equal(trees().length, 1);
  await engine.removeSlug({ digest: slug.slugDigest, uidIndex: slug.uidIndex });
  assert.deepEqual(trees(), []);
  await assert.rejects(engine.start(specOf({ command: "true", ...slug, ...gvisor })), isEngineError("not_found"));
});

test("the environment and the command arrive as they are, whatever is in them", async () => {
  const value = `a b\n'"$(touch /tmp/pwned)\`id\` \\ \u00e9`;
  const text = await output(`printf '%s|' "$ODD" "$HOME" "$PATH"; ls /tmp`, { env: { ODD: value } });
  assert.equal(text.replace(/\n$/, ""), `${value}|/app|/usr/local/bin:/usr/bin:/bin|`);
});

test("limits bite, and only that dyno: memory, processes, disk", async () => {
  const victim = specOf({ command: SERVER, port: 5000, ...gvisor });
  await engine.start(victim);
  const memory = specOf({ command: `exec perl -e '$x = "x" x (700 << 20); sleep 60'`, ...gvisor });
  await engine.start(memory);
  const { status, outOfMemory } = await untilEnded(engine, memory.id);
  assert.deepEqual([status, outOfMemory], [137, true]);
  // The kernel inside is the machine's process: what it may not start ends it, with the dyno.
  const forks = 'import os, time\nfor i in range(600):\n  if os.fork() == 0: time.sleep(60)\nprint("none stopped it")';
  const bomb = specOf({ command: `exec python3 -c '${forks}'`, ...gvisor });
  await engine.start(bomb);
  assert.notEqual((await untilEnded(engine, bomb.id)).status, 0);
  assert.doesNotMatch(host.textOf(bomb.id), /none stopped it/);
  const disk = await output(
    "head -c 2200M /dev/zero 2>&1 > /tmp/big; stat -c %s /tmp/big; rm /tmp/big && echo ok > /app/after && cat /app/after",
  );
  assert.match(disk, /(Disk quota exceeded|No space left on device)[\s\S]*ok\n$/);
  assert.ok(Number(/^\d+$/m.exec(disk)?.[0]) <= 2048 * 1024 ** 2);
  const state = (await engine.list()).find(({ id }) => id === victim.id)?.state;
  assert.ok(state?.kind === "running" && state.listening);
});

test("a slug that is copied by reference does not count against the disk, and what is changed of it does", async (t) => {
  if (standingOf(host.instance.paths) !== "btrfs") return t.skip("only btrfs copies by reference (docs/dynos.md)");
  const big = "x".repeat(1024 * 1024);
  const slug = await putSlug(Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`./big${n}`, big])));
  const text = await output(
    "head -c 2020M /dev/zero > /tmp/most && echo most; for n in $(seq 0 63); do head -c 1M /dev/urandom 2>&1 > big$n; done | grep -m1 -o 'quota exceeded'",
    slug,
  );
  assert.match(text, /^most\nquota exceeded\n/);
});

test("input: a megabyte through a program's standard input loses no byte, and its end is seen", async () => {
  const bytes = Buffer.from(createHash("sha512").update("seed").digest("hex").repeat(8192));
  const spec = specOf({
    command: "cat | sha256sum; cat; echo done",
    kind: "run",
    name: "run.1",
    stdin: true,
    ...gvisor,
  });
  await engine.start(spec);
  await pipeline(Readable.from([bytes]), await engine.input(spec.id));
  await untilEnded(engine, spec.id);
  assert.equal(host.textOf(spec.id), `${createHash("sha256").update(bytes).digest("hex")}  -\ndone\n`);
});

test("with a terminal too, nothing in /dev can be replaced by a link for the runtime to follow (CVE-2025-52565)", async () => {
  const pattern = () => readFileSync("/proc/sys/kernel/core_pattern", "utf8");
  const before = pattern();
  const evil = `perl -e '
    sub tried { print "$_[0]: ", $_[1] ? "done" : $!, "\\n" }
    for (map { "/dev/$_" } qw(null zero tty console ptmx pts/0)) {
      tried("unlink $_", unlink); tried("rename $_", rename($_, "/dev/x")); tried("link $_", symlink("/proc/sys/kernel/core_pattern", $_));
    }
    print -t STDOUT ? "a terminal\\n" : "a pipe\\n"'`;
  const terminal = { rows: 24, columns: 200 };
  for (const change of [{}, { terminal }]) {
    const text = (await output(evil, change)).replaceAll("\r", "");
    for (const how of ["unlink", "rename"])
      assert.match(text, new RegExp(`\\b${how} /dev/null: Permission denied$`, "m"));
    assert.doesNotMatch(text, /: done$/m);
    assert.match(text, "terminal" in change ? /\ba terminal$/m : /\ba pipe$/m);
  }
  assert.equal(pattern(), before);
});

test("a terminal has the size that was asked for, and another one later", async () => {
  const terminal = { rows: 33, columns: 77 };
  const spec = specOf({ command: "stty size; read x; stty size; exit 4", terminal, stdin: true, ...gvisor });
  await engine.start(spec);
  await host.untilText(spec.id, /33 77/);
  await engine.resize(spec.id, 50, 132);
  const input = await engine.input(spec.id);
  input.write("\n");
  assert.equal((await untilEnded(engine, spec.id)).status, 4);
  assert.match(host.textOf(spec.id), /50 132/);
  input.destroy();
});

test("spec 11: it reaches neither the host's ports nor another dyno's, while the host reaches it", async () => {
  const other = specOf({ command: SERVER, port: 5000, ...gvisor });
  await engine.start(other);
  await until(engine, other.id, (state) => state.kind === "running" && state.listening);
  const { address } = engine.endpointOf(other.id) ?? assert.fail("it listens");
  const server = createServer((socket) => socket.end("from the host")).listen(0, "0.0.0.0");
  await new Promise((resolve) => server.once("listening", resolve));
  const port = (server.address() as { port: number }).port; // a TCP server has one
  const connect = (to: string, at: number) =>
    `python3 -c 'import socket; print(socket.create_connection(("${to}", ${at}), 3).recv(20))' 2>&1 | tail -1`;
  const text = await output(
    `${connect(address, 5000)}; ${connect(address.replace(/\d+$/, "1"), port)}; ${connect("169.254.169.254", 80)}; ${DNS_QUERY}`,
  );
  server.close();
  assert.doesNotMatch(text, /from the host|b'hi'/);
  assert.equal(text.match(/^\S*(Error|timeout): .*$/gm)?.length, 3, text);
  assert.match(text, /^dns 1234$/m, "its name server answers");
});

test("the kernel of a dyno is killed: the dyno has ended with 137, and nothing of it is left", async () => {
  const spec = specOf({ command: "exec sleep 1000", ...gvisor });
  await engine.start(spec);
  const { bundles } = host.instance.paths;
  process.kill(Number(readFileSync(join(bundles, spec.id, "pid"), "utf8")), "SIGKILL");
  assert.equal((await untilEnded(engine, spec.id)).status, 137);
  await engine.remove(spec.id);
  assert.deepEqual(await leftOf(spec.id), []);
});

test("a killed host process: dynos live on and are adopted, with what happened meanwhile", async () => {
  const [stays, ends] = [
    specOf({ command: SERVER, port: 5000, ...gvisor }),
    specOf({ command: "sleep 2; exit 9", name: "worker.1", ...gvisor }),
  ];
  for (const spec of [stays, ends]) await engine.start(spec);
  const endpoint = engine.endpointOf(stays.id);
  await until(engine, stays.id, (state) => state.kind === "running" && state.listening);
  await engine.close(); // nothing of it reaches the dynos: as good as a kill
  await pause(2500); // the second one ends while nobody looks
  engine = await host.openEngine();
  assert.deepEqual(engine.endpointOf(stays.id), endpoint);
  assert.equal((await untilEnded(engine, ends.id)).status, 9);
  await engine.signal(stays.id, "TERM");
  assert.equal((await untilEnded(engine, stays.id)).status, 143);
});

test("killed at any instant of a start: what was half made is taken apart by the next host process, and may be started again", async () => {
  for (const missing of [["labels.json"], ["started.json", "conmon.pid", "network.json"]]) {
    const spec = specOf({ command: "exec sleep 1000", ...gvisor });
    await engine.start(spec);
    await engine.close();
    for (const name of missing) await run("rm", [join(host.instance.paths.bundles, spec.id, name)]);
    engine = await host.openEngine();
    assert.deepEqual(await engine.list(), []);
    assert.deepEqual(await leftOf(spec.id), []);
    await engine.start(spec);
    await engine.remove(spec.id);
  }
});

test("stopAll lets the obedient go in peace, and kills the rest", async () => {
  const obedient = specOf({ command: OBEDIENT, ...gvisor });
  const stubborn = specOf({ command: STUBBORN, ...gvisor });
  for (const spec of [obedient, stubborn]) await engine.start(spec);
  for (const { id } of [obedient, stubborn]) await host.untilText(id, /ready/);
  await engine.close();
  await stopAll(host.instance, 2000);
  engine = await host.openEngine();
  assert.equal(host.textOf(obedient.id), "ready\nbye\n");
  assert.deepEqual(await engine.list(), []);
  for (const { id } of [obedient, stubborn]) assert.deepEqual(await leftOf(id), []);
});

test("cleanInstance leaves nothing of dynos that ran, on the host's mounts, groups, processes, devices", async () => {
  const slug = await putSlug({ "./f": "x" });
  const spec = specOf({ command: "exec sleep 1000", ...slug, ...gvisor });
  await engine.start(spec);
  await engine.close();
  await cleanInstance(host.instance);
  const left = (await leftoversOf(host.instance)).filter(
    (each) => !/^(interface|network|table|folder|\/etc\/)|\/run\/netns\//.test(each),
  );
  assert.deepEqual(left, []);
  engine = await host.openEngine();
});

/** Groups, volumes and processes on this host with this name, once the kernel is done. */
async function leftOf(id: string): Promise<readonly string[]> {
  const look = () => [
    ...globSync(`/sys/fs/cgroup/{,*/}${host.instance.cgroup}/${id}`),
    ...readdirSync(join(host.instance.paths.host, "store")).filter((name) => name.includes(id)),
    ...processesNaming(id),
  ];
  for (const deadline = performance.now() + 3000; look().length > 0 && performance.now() < deadline; ) await pause(50);
  return look();
}

async function putSlug(files: Readonly<Record<string, string>>) {
  const pack = tar.pack();
  for (const [name, text] of Object.entries(files)) pack.entry({ name, mode: 0o644 }, text);
  return putTar(engine, pack);
}
