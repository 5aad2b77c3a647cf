import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { scopePath } from "../../../src/cli/install/units.ts";
import type { Finding } from "../../../src/engine/local/probe-judge.ts";
import {
  config,
  type DynoJson,
  deployed,
  dynosOf,
  eventually,
  type Files,
  pidOf,
  platform,
  program,
  stator,
  statorOk,
  throughRouter,
  waitUp,
} from "../../e2e/harness.ts";

/**
 * What only control groups of version 2 below systemd show (docs/dynos.md, "Sizes"): each limit in the kernel's own files, and at work.
 * Runs inside the machine of `npm run test:vm`.
 */
const MIB = 1024 * 1024;
const sizesFile = join(config.instance.home, "sizes.json");
const WRITE_MB = 4;
const sizes = {
  Writer: { memory_mb: 256, write_mb_per_second: WRITE_MB },
  Half: { memory_mb: 128, cpu_percent_max: 50 },
  Light: { memory_mb: 128, cpu_shares: 256 },
  Heavy: { memory_mb: 128, cpu_shares: 1024 },
};

const eater: Files = {
  Procfile: "web: exec python3 app.py\n",
  "app.py": `
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/eat" and os.fork() == 0:
            held = []
            while True: held.append(bytearray(b"x") * (16 << 20))
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"hi\\n")
    def log_message(self, *args): pass
ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
`,
};

/** Ten seconds of trials, meanwhile the app is deployed. */
const doctor = stator(["doctor", "--json"], { timeoutMs: 300_000 });
let app = "";
let dispose: () => Promise<void> = async () => {};
before(async () => {
  writeFileSync(sizesFile, JSON.stringify({ sizes }), { mode: 0o644 });
  const made = await deployed("cgroup2", eater);
  app = made.name;
  dispose = async () => made[Symbol.asyncDispose]();
  // The daemon and the host process each look for themselves.
  await eventually("both processes to know the sizes", async () => {
    const { code } = await stator(["run", "-a", app, "-s", "heavy", "--no-tty", "--", "true"]);
    return code === 0;
  });
});
after(async () => {
  rmSync(sizesFile, { force: true });
  await dispose();
});

const groupOf = (id: string) => join("/sys/fs/cgroup", scopePath(config.instance), config.instance.cgroup, id);
const read = (id: string, file: string) => readFileSync(join(groupOf(id), file), "utf8").trim();
const counter = (id: string, file: string, name: string) =>
  Number(new RegExp(`^${name} (\\d+)$`, "m").exec(read(id, file))?.[1] ?? Number.NaN);

async function begin(size: string, command: string): Promise<DynoJson> {
  const dyno = await platform<DynoJson>("POST", `/apps/${app}/dynos`, { command, size });
  await eventually(
    `${dyno.name} to run`,
    async () => existsSync(groupOf(dyno.id)) && read(dyno.id, "cgroup.procs") !== "",
  );
  return dyno;
}

async function end({ name }: DynoJson): Promise<void> {
  await stator(["ps:stop", name, "-a", app]); // it may have ended by itself
  await eventually(`${name} to end`, async () => (await dynosOf(app)).every((each) => each.name !== name));
}

test("doctor: nothing is missing or degraded on such a machine", async () => {
  const findings = JSON.parse((await doctor).stdout) as readonly Finding[];
  assert.deepEqual(
    findings.filter(({ verdict }) => verdict !== "ok"),
    [],
  );
  assert.match(findings.find(({ id }) => id === "cgroup")?.detail ?? "", /^Version 2 with .*io/);
  assert.match(findings.find(({ id }) => id === "limit-io")?.detail ?? "", /on vda/);
});

test("every limit of a dyno's size stands in its group; what programs read inside is the quota", async () => {
  const [dyno] = await waitUp(app, "web", 1);
  const { id } = dyno ?? assert.fail("no dyno");
  assert.deepEqual(
    ["memory.max", "memory.oom.group", "memory.swap.max", "cpu.max", "pids.max"].map((file) => read(id, file)),
    [String(1024 * MIB), "1", "0", "400000 100000", "256"],
  );
  assert.match(read(id, "io.max"), /^\d+:\d+ rbps=104857600 wbps=52428800 riops=4000 wiops=2000$/);
  const [device = ""] = read(id, "io.max").split(" ");
  assert.equal(
    device,
    readFileSync("/sys/block/vda/dev", "utf8").trim(),
    "the disk below the image, not the loop device",
  );
  const inside = await statorOk([
    "run",
    "-a",
    app,
    "--no-tty",
    "--",
    "cat /sys/fs/cgroup/memory.max; cat /proc/self/cgroup; (echo max > /sys/fs/cgroup/memory.max) 2>&1; ls /sys/fs/cgroup",
  ]);
  assert.match(inside, /^536870912\r?\n0::\/\r?\n/);
  assert.match(inside, /Read-only file system|Permission denied/);
  assert.doesNotMatch(inside, /stator/);
});

test("memory.oom.group: at the ceiling the kernel ends the whole dyno, while our host process stands still", async () => {
  const [dyno] = await waitUp(app, "web", 1);
  const { id } = dyno ?? assert.fail("no dyno");
  const host = await pidOf("host");
  process.kill(host, "SIGSTOP");
  try {
    assert.equal((await throughRouter(app, { path: "/eat" })).status, 200);
    await eventually("nothing to live in it", async () => read(id, "cgroup.procs") === "", 30_000);
    assert.equal(counter(id, "memory.events", "oom_group_kill"), 1);
    const peak = Number(read(id, "memory.peak"));
    assert.ok(peak <= 1032 * MIB, `${peak}: more than what the kernel lets those have whom it is killing`);
  } finally {
    process.kill(host, "SIGCONT");
  }
  await eventually("another one", async () => {
    const [next] = await dynosOf(app);
    return next !== undefined && next.id !== id && next.state === "up";
  });
});

/** Bytes that the kernel has written to the disk for the dyno. */
function writtenBack(id: string): number {
  const device = readFileSync("/sys/block/vda/dev", "utf8").trim();
  return Number(new RegExp(`^${device} .*wbytes=(\\d+)`, "m").exec(read(id, "io.stat"))?.[1] ?? 0);
}

test("io.max: buffered writes are charged to the dyno at writeback, and held to its rate", async (context) => {
  const written = 24;
  const dyno = await begin("writer", `dd if=/dev/zero of=/tmp/a bs=1M count=${written}; echo written; sleep 300`);
  try {
    const bytes = () => writtenBack(dyno.id);
    const began = performance.now();
    const store = join(config.instance.paths.host, "store");
    await eventually("all of it to be written back", async () => {
      await program("sync", ["-f", store]);
      return bytes() >= written * MIB;
    });
    const seconds = (performance.now() - began) / 1000;
    context.diagnostic(
      `${(bytes() / MIB).toFixed(1)} MiB charged to the dyno, written back in ${seconds.toFixed(1)} s`,
    );
    assert.ok(bytes() < 1.3 * written * MIB, "and little more than it");
    const rate = bytes() / MIB / seconds;
    assert.ok(rate <= WRITE_MB * 1.3, `${rate.toFixed(1)} MiB/s, ${WRITE_MB} allowed`);
  } finally {
    await end(dyno);
  }
});

test("io.max: while one dyno's writeback waits, another one's fsync waits no longer than that (docs/dynos.md)", async (context) => {
  const written = 40;
  const dyno = await begin("writer", `dd if=/dev/zero of=/tmp/a bs=1M count=${written}; sleep 300`);
  try {
    await pause(2000); // it has written into memory; the kernel writes back when it likes
    const { stdout, stderr } = await stator(
      ["run", "-a", app, "--no-tty", "--", "dd if=/dev/zero of=/tmp/b bs=1M count=10 conv=fsync 2>&1"],
      { timeoutMs: 120_000 },
    );
    const seconds = Number(/copied, ([\d.]+) s/.exec(stdout)?.[1] ?? assert.fail(stdout + stderr));
    context.diagnostic(`10 MiB with fsync beside it: ${seconds} s`);
    assert.ok(seconds < 1.5 * (written / WRITE_MB), stdout);
  } finally {
    await end(dyno);
  }
});

const burn = "python3 -c 'while True: pass'";

/** Until the dyno has used a second: what begins then is no longer its start. */
const burning = ({ id }: DynoJson) => eventually("it to burn", async () => counter(id, "cpu.stat", "usage_usec") > 1e6);

test("cpu.max: a dyno of half a processor gets half of one", async (context) => {
  const dyno = await begin("half", `${burn} & ${burn}`);
  try {
    await burning(dyno);
    const [from, began] = [counter(dyno.id, "cpu.stat", "usage_usec"), performance.now()];
    await pause(5000);
    const share = (counter(dyno.id, "cpu.stat", "usage_usec") - from) / 1000 / (performance.now() - began);
    context.diagnostic(`${(share * 100).toFixed(0)} % of a processor`);
    assert.equal(read(dyno.id, "cpu.max"), "50000 100000");
    assert.ok(share > 0.35 && share < 0.6, `${share}`);
    assert.ok(counter(dyno.id, "cpu.stat", "nr_throttled") > 10);
  } finally {
    await end(dyno);
  }
});

test("cpu.weight: when processors are short, dynos get them in the relation of their shares", async (context) => {
  const command = `${burn} & ${burn} & ${burn}`;
  const dynos = [await begin("light", command), await begin("heavy", command)];
  try {
    for (const dyno of dynos) await burning(dyno);
    const usage = () => dynos.map(({ id }) => counter(id, "cpu.stat", "usage_usec"));
    const from = usage();
    await pause(6000);
    const [light = 0, heavy = 0] = usage().map((now, at) => now - (from[at] ?? 0));
    const weights = dynos.map(({ id }) => Number(read(id, "cpu.weight")));
    context.diagnostic(`weights ${weights.join(" and ")}, ${(heavy / light).toFixed(2)} times the time`);
    assert.ok(heavy / light > 2.4 && heavy / light < 6, `${heavy / light}`);
  } finally {
    for (const dyno of dynos) await end(dyno);
  }
});

test("pids.max: in the kernel's words", async () => {
  // Only forks: a program for each process takes an emulated processor of half a core longer than anybody waits. Not up to the dyno's
  // own limit: RLIMIT_NPROC has the same number, and is looked at first.
  const forks =
    "import os,time\nif all(os.fork() for _ in range(20)):\n  while True:\n    try: os.fork() or os._exit(0); os.wait()\n    except OSError: pass\n    time.sleep(.1)\ntime.sleep(300)";
  const dyno = await begin("light", `exec python3 -c "${forks}"`);
  const processes = () => Number(read(dyno.id, "pids.current"));
  try {
    await eventually("its processes", async () => processes() > 20);
    assert.equal(counter(dyno.id, "pids.events", "max"), 0);
    writeFileSync(join(groupOf(dyno.id), "pids.max"), "20");
    await eventually("the limit to be met", async () => counter(dyno.id, "pids.events", "max") > 0);
  } finally {
    await end(dyno);
  }
});

test("dynos lie in a scope of their own that systemd delegated, and our processes in units beside it", async () => {
  const scope = join("/sys/fs/cgroup", scopePath(config.instance));
  assert.ok(statSync(join(scope, config.instance.cgroup)).isDirectory());
  for (const role of ["daemon", "host"]) {
    const group = readFileSync(`/proc/${await pidOf(role)}/cgroup`, "utf8");
    assert.match(group, /stator-[0-9a-f]{6}(-host)?\.service$/m, role);
  }
  const { stdout } = await program("systemctl", ["--failed", "--no-legend"]);
  assert.equal(stdout.trim(), "");
});
