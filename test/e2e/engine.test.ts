import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text as textOf } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import tar from "tar-stream";
import { engineContract, isEngineError, specOf, until, untilEnded } from "../../src/engine/contract.ts";
import type { DynoSpec } from "../../src/engine/engine.ts";
import { cleanInstance, stopAll } from "../../src/engine/local/clean.ts";
import { isMounted, mountsBelow } from "../../src/engine/local/loop.ts";
import { seccompProfile } from "../../src/engine/local/seccomp.ts";
import { ended, run, start } from "../../src/lib/command.ts";
import { processOver } from "../../src/lib/process-frames.ts";
import { EngineHost, OBEDIENT, processesNaming, SERVER, STUBBORN } from "./engine-host.ts";
import { sessionTests } from "./sessions.ts";
import { signalTests } from "./signals.ts";
import { putTar } from "./slugs.ts";

/** The local engine with the real runtime, on the real network. Needs root, and the stacks of the installed instance. */
type OpenEngine = Awaited<ReturnType<EngineHost["openEngine"]>>;
let host: EngineHost;
let engine: OpenEngine;

before(async () => {
  host = await EngineHost.open();
  engine = await host.openEngine();
});
afterEach(removeAll);
after(async () => {
  await engine.close();
  await host[Symbol.asyncDispose]();
});

/** The same engine for all tests of the contract: opening one takes half a second. */
engineContract("local", async () => ({
  engine,
  commands: {
    stay: "exec sleep 1000",
    stubborn: "trap '' TERM; while :; do sleep 1000; done",
    serve: SERVER,
    exit: (status) => `exit ${status}`,
    starting: (ms) => `sleep ${ms / 1000}; touch /tmp/healthy; exec sleep 1000`,
    sickening: (ms) => `touch /tmp/healthy; sleep ${ms / 1000}; rm /tmp/healthy; exec sleep 1000`,
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
  spec: {},
});

signalTests({ engine: () => engine, host: () => host, spec: {} });

async function removeAll(): Promise<void> {
  await Promise.all((await engine.list()).map(({ id }) => engine.remove(id)));
}

/** Runs a command to its end and gives what it wrote; the dyno is removed. */
async function output(command: string, change: Partial<DynoSpec> = {}): Promise<string> {
  const spec = specOf({ command, kind: "run", name: "run.1", ...change });
  await engine.start(spec);
  await untilEnded(engine, spec.id);
  const text = host.textOf(spec.id);
  await engine.remove(spec.id);
  return text;
}

/** Leaves twenty children of dead parents behind; says whose they become, and how many are there still when they have ended. */
const ORPHANS = `python3 -c '
import os, time
reading, writing = os.pipe()
for _ in range(20):
    if os.fork() == 0:
        if os.fork() == 0:
            parent = os.getppid()
            while os.getppid() != 1 and parent != 1: time.sleep(0.01)
            os.write(writing, b"%d " % os.getppid())
        os._exit(0)
    os.wait()
os.close(writing)
parents = b""
while data := os.read(reading, 4096): parents += data
def state_of(pid):
    try: return open("/proc/%s/stat" % pid).read().rpartition(")")[2].split()
    except OSError: return ["X", "0"] # gone between two looks
def ended():
    states = [state_of(pid) for pid in os.listdir("/proc") if pid.isdigit()]
    return sum(state[0] == "Z" and state[1] == "1" for state in states)
until = time.monotonic() + 10
while ended() and time.monotonic() < until: time.sleep(0.01)
print("orphans", len(parents.split()), "of", str(sorted({int(each) for each in parents.split()})) + ", then", ended())'`;

test("a dyno has walls: user, capabilities, system calls, processes, devices, root file system, namespaces", async () => {
  const text = await output(`
    id; hostname; pwd; umask
    grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status
    echo processes $(ls /proc | grep -c '^[0-9]')
    touch /etc/x 2>&1; touch /usr/x 2>&1; unshare --user true 2>&1; mount -t tmpfs x /tmp 2>&1
    echo files $(ulimit -n) procs $(ulimit -u)
    cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null
    ls /sys /dev; cat /proc/sys/kernel/hostname; echo 1 2>&1 > /proc/sys/kernel/hostname
    cat /proc/kcore | head -c 1 | wc -c
    ${ORPHANS}`);
  assert.match(text, /uid=1000\(dyno\) gid=1000\(dyno\) groups=1000\(dyno\)/);
  assert.match(text, /CapEff:\s+0{16}\nCapBnd:\s+0{16}\nNoNewPrivs:\s+1\nSeccomp:\s+2/);
  assert.match(text, /^\/app$/m);
  assert.match(text, /touch: cannot touch '\/etc\/x': Read-only file system/);
  assert.match(text, /unshare: unshare failed: Operation not permitted/);
  assert.match(text, /^536870912$/m, "the memory limit can be read inside, as buildpacks do");
  assert.match(text, /files 10000 procs 256/);
  const processes = Number(/processes (\d+)/.exec(text)?.[1]);
  assert.ok(processes > 0 && processes < 8, `it sees only its own processes, not ${processes}`);
  assert.match(text, /^orphans 20 of \[1\], then 0$/m, "its init reaps what its programs leave behind (spec 1.1)");
});

test("a dyno keeps its stack when the host's mount of it goes, as it does once a newer image has one", async () => {
  const { instance } = host;
  const at = join(instance.home, "older-stack");
  mkdirSync(at);
  await run("mount", ["--bind", host.stacks.mountOf("debian-12"), at]);
  await engine.close();
  engine = await host.openEngine({ stacks: { mountOf: () => at } });
  const spec = specOf({ command: "touch ready; exec sleep 1000", kind: "run", name: "run.1" });
  await engine.start(spec);
  await until(engine, spec.id, ({ kind }) => kind === "running");
  await run("umount", [at]); // not busy
  await engine.close();
  engine = await host.openEngine();
  const request = { command: "ls -d /usr/bin; exit 3", setting: "dyno", env: {}, terminal: null } as const;
  const process = processOver(await engine.exec(spec.id, request), { isTerminal: false });
  process.stdin.end();
  assert.deepEqual([await textOf(process.stdout), await process.exited], ["/usr/bin\n", 3]);
  assert.equal((await engine.list()).find(({ id }) => id === spec.id)?.state.kind, "running");
});

test("the compiled filter is what the runtime makes of the profile, byte for byte, and what it denies is denied", async () => {
  const { instance } = host;
  const spec = specOf({ command: "exec sleep 1000", kind: "run", name: "run.1" });
  await engine.start(spec);
  const bundle = readFileSync(join(instance.paths.bundles, spec.id, "config.json"), "utf8");
  assert.match(bundle, /"run\.oci\.seccomp_bpf_data"/, "crun is given a compiled filter");
  const given = readFileSync(join(instance.paths.bundles, ".crun", spec.id, "seccomp.bpf"));
  const folder = join(instance.paths.bundles, "by-profile");
  mkdirSync(join(folder, "root"), { recursive: true, mode: 0o700 });
  const { annotations: _filter, ...config } = JSON.parse(bundle) as {
    readonly annotations: unknown;
    readonly process: object;
    readonly mounts: readonly object[];
    readonly linux: object;
  };
  const profiled = {
    ...config,
    linux: { ...config.linux, seccomp: seccompProfile(process.arch), cgroupsPath: `${instance.cgroup}/by-profile` },
    mounts: config.mounts.filter((each) => !/"\/app"/.test(JSON.stringify(each))), // its work folder is in use
    process: { ...config.process, cwd: "/" },
  };
  writeFileSync(join(folder, "config.json"), JSON.stringify(profiled), { mode: 0o600 });
  const namespace = join(instance.paths.run, "namespace", "mnt");
  const crun = async (...args: readonly string[]) => {
    const all = ["--root", join(folder, "root"), ...args];
    const [program, given] = existsSync(namespace)
      ? (["nsenter", [`--mount=${namespace}`, "crun", ...all]] as const)
      : (["crun", all] as const);
    return ended(start(program, given, { stdio: "ignore" }), "crun"); // a container that waits would hold pipes open
  };
  try {
    assert.equal((await crun("create", "--bundle", folder, "by-profile")).code, 0);
    assert.deepEqual(given, readFileSync(join(folder, "root", "by-profile", "seccomp.bpf")));
  } finally {
    await crun("delete", "--force", "by-profile");
    rmSync(folder, { recursive: true, force: true });
  }
  const denied = await output(
    'perl -e \'for (165, 272, 250, 321) { $! = 0; syscall($_, 0, 0, 0); print $_, " ", $!+0, "\\n" }\'',
  );
  assert.equal(denied, "165 1\n272 1\n250 1\n321 1\n", "mount, unshare, keyctl and bpf give EPERM");
});

test("a dyno has no filter of its own compiled, whose code is counted for the machine; other options of sockets are as ever", async () => {
  const calls = { x64: [54, 157, 317], arm64: [208, 167, 277] }[process.arch as "x64" | "arm64"];
  const text = await output(`perl -MSocket -e '
    my ($setsockopt, $prctl, $seccomp) = (${calls.join(", ")});
    my $high = 1 << 32; # the kernel reads the lower half
    socket(U, PF_INET, SOCK_DGRAM, 0); socket(T, PF_INET6, SOCK_STREAM, 0);
    my $code = pack("SCCL", 6, 0, 0, 0x7fff0000); my $program = pack("S x6 P", 1, $code); my $one = pack("L", 1);
    sub asked { my ($what, @call) = @_; $! = 0; syscall(shift @call, @call); print $what, " ", $!+0, "\\n" }
    sub option { my ($socket, $level, $option) = @_; asked("socket", $setsockopt, fileno($socket), $level, $option, $one, 4) }
    for my $level (1, $high | 1) { for my $option (26, 51, $high | 26) {
      asked("filter", $setsockopt, fileno(U), $level, $option, $program, 16) } }
    asked("self", $prctl, 22, 2, $program, 0, 0); asked("self", $prctl, $high | 22, 2, $program, 0, 0);
    asked("self", $seccomp, 1, 0, $program); asked("self", $seccomp, $high | 1, 0, $program);
    option(U, 1, $_) for (2, 6, 9, 15, 27, 29, 42, 47, 49, 64); option(T, 41, 26); option(T, 6, 1); option(T, 1, 60); option(T, 6, 25);
    asked("other", $prctl, $_, 1, 0, 0, 0) for (4, 36, 38); asked("other", $seccomp, 2, 0, pack("L", 0));
  '`);
  const seen = Object.groupBy(text.trim().split("\n"), (line) => line.split(" ")[0] ?? "");
  assert.deepEqual(
    seen["filter"],
    Array.from({ length: 6 }, () => "filter 92"),
    "ENOPROTOOPT",
  );
  assert.deepEqual(
    seen["self"],
    Array.from({ length: 4 }, () => "self 22"),
    "EINVAL",
  );
  assert.deepEqual(new Set(seen["other"]), new Set(["other 0"]));
  // SO_DETACH_FILTER of none: ENOENT. All others are taken.
  assert.deepEqual(
    seen["socket"]?.filter((line) => line !== "socket 0"),
    ["socket 2"],
    text,
  );
});

test("a dyno's copy of its slug is never synced, by whatever name the kernel shows that", async () => {
  const text = await output("grep ' /app ' /proc/mounts; echo x > /app/x && sync /app/x && cat /app/x");
  assert.match(text, /^overlay \/app overlay \S*volatile/m);
  assert.match(text, /^x$/m);
});

test("what a dyno writes is its own, vanishes with it, and removes as it should", async () => {
  const slug = await putSlug([
    { name: "./dir/file", text: "from the slug\n" },
    { name: "./run.sh", text: "echo ran\n", mode: 0o755 },
  ]);
  const first = await output(
    "cat dir/file; rm -r dir && echo removed; echo new > new; ls; touch /tmp/mine /var/tmp/mine",
    slug,
  );
  assert.equal(first, "from the slug\nremoved\nnew\nrun.sh\n");
  assert.equal(
    await output("ls /app /app/dir /tmp /var/tmp; sh run.sh", slug),
    "/app:\ndir\nrun.sh\n\n/app/dir:\nfile\n\n/tmp:\n\n/var/tmp:\nran\n",
  );
});

test("on a hybrid host a dyno leaves nothing in the kernel's memory where crun takes version 2 to be", async () => {
  const { instance } = host;
  const namespace = join(instance.paths.run, "namespace");
  if (!existsSync(join(namespace, "mnt"))) return; // crun sees the host as it is
  const spec = specOf({ command: "exec sleep 1000", kind: "run", name: "run.1" });
  const shown = async () => {
    const args = [`--mount=${join(namespace, "mnt")}`, "find", "/sys/fs/cgroup/unified", "-name", spec.id];
    return (await run("nsenter", args)).stdout;
  };
  await engine.start(spec);
  assert.match(await shown(), new RegExp(spec.id), "it is made in a folder of ours");
  assert.ok(existsSync(join(namespace, "unified", instance.cgroup, spec.id)));
  await engine.remove(spec.id);
  assert.equal(await shown(), "");
});

test("health: a command check runs as the dyno does, is killed when it takes too long, and survives the host process", async () => {
  const check = {
    name: null,
    intervalMs: 1000,
    timeoutMs: 1000,
    initialDelayMs: 0,
    attempts: 2,
    successes: 1,
  } as const;
  const liveness = (command: string | readonly string[]) =>
    ({ ...check, kind: "liveness", probe: { kind: "command", command } }) as const;
  const walls = "id -u; pwd; echo $ODD; grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; ulimit -n";
  const spec = specOf({
    command: "touch /tmp/ok; until test -e /tmp/walls; do sleep 0.2; done; cat /tmp/walls; exec sleep 1000",
    env: { ODD: "a 'b'" },
    checks: [
      liveness(`(${walls}) > /tmp/new; mv /tmp/new /tmp/walls; test -e /tmp/ok`),
      liveness(["sh", "-c", "sleep 7777 & sleep 7778"]),
      liveness(["test", "-e", "/tmp/ok"]),
    ],
  });
  await engine.start(spec);
  const verdicts = async () => {
    const dyno = (await engine.list()).find(({ id }) => id === spec.id);
    return dyno?.state.kind === "running" ? dyno.state.health?.checks.map(({ verdict }) => verdict) : undefined;
  };
  const { state } = await until(
    engine,
    spec.id,
    (each) => each.kind === "running" && each.health?.checks[1]?.verdict === "failing",
  );
  assert.equal(
    state.kind === "running" && state.health?.checks[1]?.latest?.text,
    "ran for more than 1 s and was killed",
  );
  assert.deepEqual(await verdicts(), ["passing", "failing", "passing"]);
  const inside = /^1000\n\/app\na 'b'\nCapEff:\s+0{16}\nCapBnd:\s+0{16}\nNoNewPrivs:\s+1\nSeccomp:\s+2\n10000$/m;
  assert.match(host.textOf(spec.id), inside);
  assert.match(
    host.textOf(spec.id),
    /^1000\n\/app\na 'b'\nCapEff:\s+0{16}\nCapBnd:\s+0{16}\nNoNewPrivs:\s+1\nSeccomp:\s+2\n10000$/m,
  );
  const volume = join(host.instance.paths.bundles, spec.id);
  assert.ok(existsSync(join(volume, "checks", "0.json")));
  const sleepers = () =>
    readdirSync("/proc").filter((pid) => {
      if (!/^\d+$/.test(pid)) return false;
      const path = `/proc/${pid}/cmdline`;
      return /^sleep 777[78]$/.test(readQuietly(path).replaceAll("\0", " ").trim());
    });
  assert.ok(sleepers().length <= 2, "one probe's at most");
  await engine.close();
  engine = await host.openEngine();
  assert.deepEqual(await verdicts(), ["passing", "failing", "passing"], "known before anybody asked again");
  await until(engine, spec.id, (each) => each.kind === "running" && (each.health?.checks[2]?.passes ?? 0) >= 3);
  const walled = await output(`true`); // the engine goes on making dynos
  assert.equal(walled, "");
  await engine.remove(spec.id);
  assert.ok(!existsSync(volume), "its environment goes with it");
  assert.deepEqual(sleepers(), []);
});

test("health: a path is asked by the host, from outside the dyno, once it listens", async () => {
  const check = { name: null, intervalMs: 1000, timeoutMs: 2000, initialDelayMs: 0, successes: 1 } as const;
  const get = (path: string, content: string | null = null) =>
    ({ kind: "http", path, headers: [{ name: "Host", value: "a.example" }], status: null, content }) as const;
  const spec = specOf({
    command: "echo up > ready; sleep 1; exec python3 -m http.server 5000",
    port: 5000,
    checks: [
      { ...check, kind: "startup", attempts: null, probe: get("/ready", "up") },
      { ...check, kind: "readiness", attempts: 1, probe: get("/ready", "down") },
      { ...check, kind: "liveness", attempts: 1, probe: get("/nosuch") },
    ],
  });
  await engine.start(spec);
  const { state } = await until(
    engine,
    spec.id,
    (each) => each.kind === "running" && each.health?.checks.every(({ latest }) => latest !== null) === true,
  );
  assert.ok(state.kind === "running" && state.listening && state.health?.started === true && !state.health.ready);
  assert.deepEqual(
    state.health.checks.map(({ verdict, latest }) => `${verdict}: ${latest?.text}`),
    ["passing: answered 200", "failing: answered 200 without the expected content", "failing: answered 404"],
  );
});

function readQuietly(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return ""; // it has gone
  }
}

test("the environment and the command arrive as they are, whatever is in them", async () => {
  const value = `a b\n'"$(touch /tmp/pwned)\`id\` \\ \u00e9`;
  const text = await output(`printf '%s|' "$ODD" "$HOME" "$PATH"; ls /tmp`, { env: { ODD: value } });
  assert.equal(text.replace(/\n$/, ""), `${value}|/app|/usr/local/bin:/usr/bin:/bin|`);
  assert.match(await output("--login"), /--login: command not found/); // no option of bash
});

test("limits bite: memory, processes, disk", async () => {
  const spec = specOf({ command: `exec perl -e '$x = "x" x (1200 << 20); sleep 60'` });
  await engine.start(spec);
  const ended = await untilEnded(engine, spec.id);
  assert.deepEqual([ended.status, ended.outOfMemory], [137, true]);
  await engine.remove(spec.id);
  const forks = await output(
    "for i in $(seq 400); do sleep 5 & done 2>&1 | grep -m1 -o 'Resource temporarily unavailable'; kill -9 -1",
  );
  assert.match(forks, /Resource temporarily unavailable/);
  const disk = await output(
    "head -c 2200M /dev/zero 2>&1 > /tmp/big; stat -c %s /tmp/big; rm /tmp/big && echo ok > /app/after && cat /app/after",
  );
  assert.match(disk, /(Disk quota exceeded|No space left on device)[\s\S]*ok\n$/);
  assert.ok(Number(/^\d+$/m.exec(disk)?.[0]) < 2048 * 1024 ** 2);
  const subvolume = await output(
    `perl -e 'open(D, "<", "/tmp"); my $arg = pack("q Z4088", 0, "escape"); my $ok = ioctl(D, 0x5000940e, $arg); print $ok ? "made" : "refused: $!"'`,
  );
  assert.match(subvolume, /^refused/, "a volume of its own would be outside its quota");
});

test("input: a megabyte through a program's standard input loses no byte, and its end is seen", async () => {
  const bytes = Buffer.from(createHash("sha512").update("seed").digest("hex").repeat(8192));
  const spec = specOf({ command: "cat | sha256sum; cat; echo done", kind: "run", name: "run.1", stdin: true });
  await engine.start(spec);
  await pipeline(Readable.from([bytes]), await engine.input(spec.id));
  await untilEnded(engine, spec.id);
  assert.equal(host.textOf(spec.id), `${createHash("sha256").update(bytes).digest("hex")}  -\ndone\n`);
  const echo = specOf({ command: "cat", kind: "run", name: "run.2", stdin: true });
  await engine.start(echo);
  const lines = Buffer.from(`${"x".repeat(99)}\n`.repeat(10_000));
  await pipeline(Readable.from([lines]), await engine.input(echo.id));
  await untilEnded(engine, echo.id);
  assert.equal(host.textOf(echo.id).length, lines.length);
  await removeAll();
});

test("a terminal has the size that was asked for, and another one later", async () => {
  const spec = specOf({
    command: "stty size; read x; stty size; exit 4",
    terminal: { rows: 33, columns: 77 },
    stdin: true,
  });
  await engine.start(spec);
  await host.untilText(spec.id, /33 77/);
  await engine.resize(spec.id, 50, 132);
  const input = await engine.input(spec.id);
  input.write("\n");
  assert.equal((await untilEnded(engine, spec.id)).status, 4);
  assert.match(host.textOf(spec.id), /50 132/);
  input.destroy();
  await removeAll();
});

test("a build dyno has the app's repository and cache, the build kit, and a stream to us", async () => {
  const app = { appId: randomUUID(), uidIndex: 9 };
  const build = { ...app, kind: "build", size: "Build", stack: "debian-12-build", io: true } as const;
  const spec = specOf({
    ...build,
    name: "build.1",
    command: `touch /repo/a /cache/b; ls /opt/stator/buildkit | head -1; ls -ld /opt/stator/toolchain; exec perl -MSocket -e '
      socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un("/run/stator/io.sock")) or die "$!";
      $n = 0; while (($r = sysread(S, $b, 65536)) > 0) { $n += $r } syswrite(S, "got $n"); shutdown(S, 1)'`,
  });
  await engine.start(spec);
  const stream = await engine.io(spec.id, AbortSignal.timeout(10_000));
  stream.writable.end(Buffer.alloc(3_000_000, 1));
  const chunks: Buffer[] = [];
  for await (const chunk of stream.readable) chunks.push(chunk as Buffer);
  assert.equal(Buffer.concat(chunks).toString(), "got 3000000");
  assert.equal((await untilEnded(engine, spec.id)).status, 0);
  const second = specOf({ ...build, name: "build.2", command: "ls /repo /cache" });
  await engine.start(second);
  await untilEnded(engine, second.id);
  assert.equal(host.textOf(second.id), "/cache:\nb\n\n/repo:\na\n", "they last from build to build");
  await assert.rejects(engine.io(second.id, AbortSignal.timeout(1000)), isEngineError("not_found"));
  await removeAll();
  await engine.removeApp(app.appId, app.uidIndex);
  const volumes = readdirSync(join(host.instance.paths.host, "store"));
  assert.deepEqual(
    volumes.filter((name) => name.includes(app.appId)),
    [],
  );
});

test("no capacity: the message says what was asked and what is free, and nothing is started", async () => {
  const spec = specOf({ command: "true", size: "Performance-2XL" });
  await assert.rejects(
    engine.start(spec),
    (error) => isEngineError("no_capacity")(error) && /129024 MB.*are free/.test(String(error)),
  );
  assert.deepEqual(await engine.list(), []);
});

test("a killed host process: dynos live on and are adopted, with what happened meanwhile", async () => {
  const [stays, ends, lost] = [
    specOf({ command: SERVER, port: 5000 }),
    specOf({ command: "sleep 2; exit 9", name: "worker.1" }),
    specOf({ command: "exec sleep 1000", name: "worker.2" }),
  ];
  for (const spec of [stays, ends, lost]) await engine.start(spec);
  const endpoint = engine.endpointOf(stays.id);
  await until(engine, stays.id, (state) => state.kind === "running" && state.listening);
  await engine.close(); // nothing of it reaches the dynos: as good as a kill
  process.kill(Number(readFileSync(join(host.instance.paths.bundles, lost.id, "conmon.pid"), "utf8")), "SIGKILL");
  await new Promise((resolve) => setTimeout(resolve, 2500)); // the second one ends while nobody looks
  engine = await host.openEngine();
  const states = new Map((await engine.list()).map(({ id, state }) => [id, state]));
  const first = states.get(stays.id);
  assert.ok(first?.kind === "running" && first.listening && first.address === endpoint?.address);
  assert.deepEqual(engine.endpointOf(stays.id), endpoint);
  assert.equal((await untilEnded(engine, ends.id)).status, 9);
  assert.equal((await untilEnded(engine, lost.id)).status, null);
  await assert.doesNotReject(engine.start(stays), "a repeated start does nothing");
  await engine.remove(lost.id);
  await engine.close();
  engine = await host.openEngine();
  await assert.rejects(engine.start(lost), isEngineError("gone"), "removed ids are remembered");
  assert.equal((await engine.list()).length, 2);
  await removeAll();
});

test("a half-made dyno is taken apart by the next host process, and may be started again", async () => {
  const spec = specOf({ command: "exec sleep 1000" });
  await engine.start(spec);
  const { bundles } = host.instance.paths;
  await engine.close();
  await run("rm", [join(bundles, spec.id, "labels.json")]); // as if killed in the middle of making or removing it
  engine = await host.openEngine();
  assert.deepEqual(await engine.list(), []);
  assert.equal(existsSync(join(bundles, spec.id)), false);
  assert.deepEqual(await leftOf(spec.id), []);
  await engine.start(spec);
  assert.equal((await engine.list()).length, 1);
  await removeAll();
});

test("a dyno that was created ahead is what is asked for then, and its command waits; of one that nobody asks for nothing is left", async () => {
  const { bundles, logs } = host.instance.paths;
  const begin = async (change: Partial<DynoSpec> = {}): Promise<DynoSpec> => {
    const spec = specOf({ command: "echo ran; exit 3", kind: "run", ...change });
    engine.prepare(spec);
    await untilThere(spec.id);
    return spec;
  };
  const left = async ({ id }: DynoSpec) => [
    ...(await leftOf(id)),
    ...[join(bundles, id), join(logs, `${id}.log`)].filter((path) => existsSync(path)),
  ];
  const pidOf = ({ id }: DynoSpec) => readFileSync(join(bundles, id, "pid"), "utf8");

  const long = "x".repeat(100_000); // more than a pipe holds
  const asked = await begin({ command: 'echo "begun ${#LONG}"; exit 3', env: { LONG: long } });
  const pid = pidOf(asked);
  await pause(100);
  assert.equal(host.textOf(asked.id), "", "nothing runs before it is asked for");
  assert.deepEqual(await engine.list(), []);
  const marks = { asked: 1, planned: 2, written: 3 };
  await engine.start({ ...asked, marks });
  assert.equal(pidOf(asked), pid);
  assert.equal((await untilEnded(engine, asked.id)).status, 3);
  assert.match(host.textOf(asked.id), /^begun 100000$/m);
  const done = (await engine.startMarks(asked.id)) ?? assert.fail();
  assert.ok((done.created ?? 0) < (done.received ?? 0) && (done.received ?? 0) < (done.started ?? 0));
  await engine.remove(asked.id);
  assert.deepEqual(await left(asked), []);

  for (const other of [{ command: "echo other; exit 4" }, { env: { A: "1" } }, { size: "Standard-2X" }] as const) {
    const told = await begin();
    await engine.start({ ...told, ...other });
    assert.equal((await untilEnded(engine, told.id)).status, "command" in other ? 4 : 3);
    assert.doesNotMatch(host.textOf(told.id), "command" in other ? /ran/ : /other/);
    await engine.remove(told.id);
  }
  const shown = await begin({ command: "tty", terminal: { rows: 24, columns: 80 }, stdin: true });
  await engine.start(shown);
  await untilEnded(engine, shown.id);
  assert.match(host.textOf(shown.id), /\/dev\/pts\//);
  await engine.remove(shown.id);

  assert.throws(() => engine.prepare(specOf({ size: "none" })), isEngineError("invalid"));
  const several = await Promise.all([begin(), begin(), begin(), begin()]);
  const fifth = specOf({ command: "true" });
  engine.prepare(fifth);
  assert.deepEqual(await left(fifth), [], "no more than are made at a time");
  const [removed, ...kept] = several;
  await engine.remove(removed.id);
  assert.deepEqual(await left(removed), []);
  await engine.close();
  for (const spec of kept) assert.deepEqual(await left(spec), []);
  engine = await host.openEngine();
});

test("what was created ahead ends with the next host process, or with the instance, if its own was killed", async () => {
  const { bundles } = host.instance.paths;
  const killed = engine; // it does nothing any more, but is there
  const first = specOf({ command: "sleep 1" });
  killed.prepare(first);
  await untilThere(first.id);
  const unused = await standby();
  engine = await host.openEngine();
  assert.deepEqual(await leftOf(unused), []);
  assert.equal(existsSync(join(bundles, unused)), false);
  assert.deepEqual(await leftOf(first.id), []);
  assert.equal(existsSync(join(bundles, first.id)), false);
  await killed.close();
  const second = specOf({ command: "sleep 2" });
  engine.prepare(second);
  await untilThere(second.id);
  await stopAll(host.instance, 1000); // the disk stays, until the next host process comes
  assert.deepEqual(
    (await leftOf(second.id)).filter((path) => !path.startsWith(host.instance.paths.host)),
    [],
  );
  await engine.close();
  engine = await host.openEngine();
  assert.deepEqual(await leftOf(second.id), []);
});

test("what stands by is what the dyno with its id is made of; where that is of another kind, or never comes, nothing is left", async () => {
  const { bundles } = host.instance.paths;
  const conmonOf = (id: string) => readFileSync(join(bundles, id, "conmon.pid"), "utf8");
  const command = "echo ran; exit 3";
  for (const isPrepared of [false, true]) {
    const spec = specOf({ id: await standby(), command, kind: "run", name: "run.1" });
    const conmon = conmonOf(spec.id);
    assert.deepEqual(await engine.list(), [], "it is no dyno yet");
    if (isPrepared) {
      engine.prepare(spec);
      await untilThere(spec.id);
    }
    await engine.start(spec);
    assert.equal(conmonOf(spec.id), conmon);
    assert.equal((await untilEnded(engine, spec.id)).status, 3);
    assert.match(host.textOf(spec.id), /ran/);
    await engine.remove(spec.id);
    assert.deepEqual(await leftOf(spec.id), []);
  }
  const shown = specOf({ id: await standby(), command: "tty", terminal: { rows: 24, columns: 80 }, stdin: true });
  const conmon = conmonOf(shown.id);
  await engine.start(shown);
  assert.notEqual(conmonOf(shown.id), conmon);
  await untilEnded(engine, shown.id);
  assert.match(host.textOf(shown.id), /\/dev\/pts\//);
  await engine.remove(shown.id);
  const removed = await standby();
  await engine.remove(removed);
  const [killed, kept] = [await standby(), await standby()];
  process.kill(Number(conmonOf(killed)), "SIGKILL");
  const spec = specOf({ id: killed, command, kind: "run", name: "run.1" });
  await eventuallyGone(killed);
  await engine.start(spec);
  assert.equal((await untilEnded(engine, killed)).status, 3, "a dyno may have its id all the same");
  await engine.remove(killed);
  await engine.close();
  for (const id of [removed, killed, kept]) {
    assert.deepEqual(await leftOf(id), []);
    assert.equal(existsSync(join(bundles, id)), false);
  }
  engine = await host.openEngine();
});

/** The id of what stands by; another one comes after a moment. */
async function standby(): Promise<string> {
  for (const deadline = performance.now() + 5000; ; await pause(20)) {
    const id = engine.standbyId();
    if (id !== undefined) return id;
    assert.ok(performance.now() < deadline, "nothing stands by");
  }
}

async function eventuallyGone(id: string): Promise<void> {
  const path = join(host.instance.paths.bundles, id);
  for (const deadline = performance.now() + 5000; existsSync(path); await pause(20))
    assert.ok(performance.now() < deadline, `${path} is there`);
}

/** Until its container waits for its command. */
async function untilThere(id: string): Promise<void> {
  const gate = join(host.instance.paths.bundles, ".crun", id, "exec.fifo");
  for (const deadline = performance.now() + 5000; !existsSync(gate); await pause(5))
    assert.ok(performance.now() < deadline, `${id} was not created`);
  await pause(50);
}

test("logs: a flood is cut into segments, trimmed on demand, bounded, and what is lost is counted", async () => {
  const [flood, calm] = [1_500_000, 100_000]; // some 150 MB raw at once, then 10 at a time
  const line = "-f 'line %.0f xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'";
  const command = `seq ${line} ${flood}; sleep 2; for i in 1 2 3; do seq ${line} ${calm}; sleep 1; done`;
  const count = flood + 3 * calm;
  const spec = specOf({ command });
  await engine.start(spec);
  await untilEnded(engine, spec.id);
  const { logs } = host.instance.paths;
  const files = readdirSync(logs).filter((name) => name.startsWith(spec.id) && !name.endsWith(".dropped"));
  const numbers = files.map((name) => Number(name.split(".log.")[1] ?? Number.POSITIVE_INFINITY)).sort((a, b) => a - b);
  const dropped = JSON.parse(readFileSync(join(logs, `${spec.id}.log.dropped`), "utf8")) as {
    segment: number;
    lines: number;
  };
  assert.equal(numbers[0], dropped.segment + 1);
  const kept = numbers.map((each) =>
    readFileSync(join(logs, Number.isFinite(each) ? `${spec.id}.log.${each}` : `${spec.id}.log`), "utf8"),
  );
  const lines = kept
    .join("")
    .split("\n")
    .filter((line) => / F /.test(line.slice(0, 45))).length;
  assert.equal(lines + dropped.lines, count, "every line is there or counted");
  const second = numbers[1] ?? assert.fail("more than one segment");
  await engine.trimLog(spec.id, second);
  assert.equal(existsSync(join(logs, `${spec.id}.log.${second - 1}`)), false);
  assert.equal(existsSync(join(logs, `${spec.id}.log.${second}`)), true);
  await engine.remove(spec.id);
  assert.deepEqual(
    readdirSync(logs).filter((name) => name.startsWith(spec.id)),
    [],
  );
});

test("hostile tars of slugs do no harm, and leave nothing", async () => {
  const outside = join(host.instance.home, "..", "outside");
  writeFileSync(outside, "untouched");
  const escape = `../../../../../../../../..${outside}`;
  const tars: Record<string, Entry[]> = {
    "a name with ..": [{ name: escape, text: "pwned" }],
    "an absolute name": [{ name: outside, text: "pwned" }],
    "through a symlink": [
      { name: "./link", link: join(outside, "..") },
      { name: "./link/outside", text: "pwned" },
    ],
    "a device": [{ name: "./null", device: true }],
    "a hard link to a file of the host": [{ name: "./hard", hardlink: outside }],
  };
  for (const [what, entries] of Object.entries(tars)) {
    await putSlug(entries).catch((error: unknown) =>
      assert.ok(isEngineError("invalid")(error), `${what}: ${String(error)}`),
    );
    assert.equal(readFileSync(outside, "utf8"), "untouched", what);
  }
  const tree = await putSlug([{ name: "./passwd", link: "/etc/shadow" }]);
  assert.doesNotMatch(
    await output("cat passwd 2>&1", tree),
    /root:[*!$]/,
    "a link leads where it leads inside the dyno",
  );
  const ref = { digest: "1".repeat(64), uidIndex: 1 };
  await assert.rejects(engine.putSlug(ref, Readable.from([Buffer.alloc(10_240)])), isEngineError("invalid"));
  await assert.rejects(
    engine.putSlug(ref, zeros(1024 ** 3 + 65_536)),
    isEngineError("invalid"),
    "more than a gigabyte",
  );
  assert.equal(await engine.hasSlug(ref), false);
  assert.deepEqual(
    readdirSync(join(host.instance.paths.host, "store")).filter((name) => name.startsWith("make-")),
    [],
  );
});

test("a helper that hangs over a slug is killed with all that it started, and the next slug is made", async () => {
  const source = new Readable({ read: () => {} });
  source.push("half a header");
  const ref = { digest: "2".repeat(64), uidIndex: 1 };
  const put = assert.rejects(engine.putSlug(ref, source), /its sender left/);
  const helper = () =>
    readdirSync("/proc").find((pid) => {
      const words = /^\d+$/.test(pid) ? commandOf(pid) : [];
      return words[0] === "tar" && words.some((word) => word.startsWith(`--directory=${host.instance.paths.host}`));
    });
  let pid: string | undefined;
  for (const until = performance.now() + 10_000; pid === undefined; await pause(10)) {
    assert.ok(performance.now() < until, "tar runs");
    pid = helper();
  }
  process.kill(Number(pid), "SIGSTOP"); // it notices nothing any more, not even that its input has ended
  source.destroy(new Error("its sender left"));
  await put;
  assert.equal(helper(), undefined);
  const volumes = readdirSync(join(host.instance.paths.host, "store"));
  assert.ok(!volumes.some((name) => name.startsWith("make-")), volumes.join());
  assert.equal(await output("cat f", await putSlug([{ name: "./f", text: "y" }])), "y");
});

/** A process's command line; empty when it has gone. */
function commandOf(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}

test("a slug is there until it is removed, but not while a dyno uses it, and is mounted again after a reboot", async () => {
  const slug = await putSlug([{ name: "./f", text: "x" }]);
  const ref = { digest: slug.slugDigest, uidIndex: slug.uidIndex };
  const spec = specOf({ command: "exec sleep 1000", ...slug });
  await engine.start(spec);
  await engine.removeSlug(ref);
  assert.equal(await engine.hasSlug(ref), true);
  await engine.remove(spec.id);
  await engine.close();
  for (const at of (await mountsBelow(join(host.instance.paths.host, "mnt"))).toReversed()) await run("umount", [at]);
  engine = await host.openEngine();
  assert.equal(await output("cat f", slug), "x");
  await engine.removeSlug(ref);
  assert.equal(await engine.hasSlug(ref), false);
  const late = specOf({ command: "true", ...slug });
  await assert.rejects(engine.start(late), isEngineError("not_found"));
  assert.deepEqual(await leftOf(late.id), [], "conmon, which was started meanwhile, neither");
});

test("a dyno's conmon brings no libraries for a journal that is not ours, and nobody can write to it", async () => {
  const spec = specOf({ command: OBEDIENT });
  await engine.start(spec);
  await host.untilText(spec.id, /ready/);
  const { bundles, host: home } = host.instance.paths;
  const conmon = `/proc/${readFileSync(join(bundles, spec.id, "conmon.pid"), "utf8")}`;
  assert.equal(readlinkSync(`${conmon}/exe`), join(home, "mnt", "runtime", "conmon"));
  assert.doesNotMatch(readFileSync(`${conmon}/maps`, "utf8"), /libsystemd|libgcrypt/);
  assert.throws(() => openSync(join(home, "mnt", "runtime", "conmon"), "r+"), { code: "EROFS" });
  await engine.remove(spec.id);
});

test("dynos are made by runc where crun cannot", async () => {
  await engine.close();
  await run("rm", [join(host.instance.paths.bundles, "runtime")]);
  engine = await host.openEngine({ runtimes: ["runc"] });
  try {
    assert.equal(await output("id -u; touch /app/x && echo ok"), "1000\nok\n");
    const spec = specOf({ command: OBEDIENT });
    await engine.start(spec);
    await host.untilText(spec.id, /ready/);
    await engine.signal(spec.id, "TERM");
    assert.equal((await untilEnded(engine, spec.id)).status, 5);
    assert.equal(host.textOf(spec.id), "ready\nbye\n");
    await removeAll();
  } finally {
    await engine.close();
    await run("rm", [join(host.instance.paths.bundles, "runtime")]);
    engine = await host.openEngine();
  }
});

test("after a reboot nothing is listed and nothing is left of the dynos that were", async () => {
  const spec = specOf({ command: "exec sleep 1000" });
  await engine.start(spec);
  await engine.close();
  const { bundles, host: folder } = host.instance.paths;
  await stopAll(host.instance, 5000); // the processes and what is known of them are gone, the disk stays
  assert.equal(await isMounted(bundles), false);
  assert.deepEqual(
    (await leftOf(spec.id)).filter((path) => !path.startsWith(folder)),
    [],
  );
  engine = await host.openEngine();
  assert.deepEqual(await engine.list(), []);
  assert.deepEqual(await leftOf(spec.id), []);
});

test("stopAll lets the obedient go in peace, kills the rest, and cleanInstance leaves nothing on the host", async () => {
  const obedient = specOf({ command: OBEDIENT });
  const stubborn = specOf({ command: STUBBORN });
  for (const spec of [obedient, stubborn]) await engine.start(spec);
  for (const { id } of [obedient, stubborn]) await host.untilText(id, /ready/);
  await engine.close();
  await stopAll(host.instance, 1000);
  const said = host.textOf(obedient.id);
  await cleanInstance(host.instance);
  await cleanInstance(host.instance);
  assert.deepEqual(await mountsBelow(host.instance.paths.run), []);
  assert.deepEqual(await mountsBelow(host.instance.paths.host), []);
  assert.deepEqual([...(await leftOf(obedient.id)), ...(await leftOf(host.instance.cgroup))], []);
  assert.equal((await run("losetup", ["-a"])).stdout.includes(host.instance.home), false);
  engine = await host.openEngine();
  assert.equal(said, "ready\nbye\n");
});

/** Groups, volumes and processes on this host with this name, once the kernel is done. */
async function leftOf(name: string): Promise<readonly string[]> {
  const below = (folder: string) => (existsSync(folder) ? readdirSync(folder).map((each) => join(folder, each)) : []);
  const roots = ["/sys/fs/cgroup", ...below("/sys/fs/cgroup")];
  const look = () => {
    const groups = roots
      .flatMap((root) => [join(root, name), join(root, host.instance.cgroup, name)])
      .filter((path) => existsSync(path));
    const volumes = below(join(host.instance.paths.host, "store")).filter((path) => path.includes(name));
    // Where each has an image of its own, the name of one that is not mounted is a file of the home.
    const own = volumes.filter((path) => !lstatSync(path).isSymbolicLink() || readdirSync(path).length > 0);
    return [...groups, ...own, ...processesNaming(name)];
  };
  for (const deadline = performance.now() + 3000; look().length > 0 && performance.now() < deadline; ) await pause(50);
  return look();
}

interface Entry {
  readonly name: string;
  readonly text?: string;
  readonly mode?: number;
  readonly link?: string;
  readonly hardlink?: string;
  readonly device?: boolean;
}

/** Packs the entries, puts the slug, and gives what a dyno needs to use it. */
async function putSlug(entries: readonly Entry[]): ReturnType<typeof putTar> {
  const pack = tar.pack();
  for (const { name, text, mode, link, hardlink, device } of entries) {
    if (link !== undefined) pack.entry({ name, type: "symlink", linkname: link });
    else if (hardlink !== undefined) pack.entry({ name, type: "link", linkname: hardlink });
    else if (device === true) pack.entry({ name, type: "character-device" });
    else pack.entry({ name, mode: mode ?? 0o644 }, text ?? "");
  }
  return putTar(engine, pack);
}

function zeros(size: number): Readable {
  const chunk = Buffer.alloc(1024 * 1024);
  let left = size;
  return new Readable({
    read() {
      this.push(left > 0 ? chunk.subarray(0, Math.min(left, chunk.length)) : null);
      left -= chunk.length;
    },
  });
}
