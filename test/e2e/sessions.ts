import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { isEngineError, specOf, until, untilEnded } from "../../src/engine/contract.ts";
import type { DynoSpec, Engine, ExecRequest } from "../../src/engine/engine.ts";
import { type FramedProcess, processOver } from "../../src/lib/process-frames.ts";
import { DynoSessions } from "../../src/run/dyno-sessions.ts";
import { OpenSessions } from "../../src/run/open-sessions.ts";
import { eventually } from "../support/eventually.ts";
import type { EngineHost } from "./engine-host.ts";

export interface SessionsUnderTest {
  readonly engine: () => Engine;
  readonly host: () => EngineHost;
  /** Ends the host process's part without a word, and begins it anew. */
  readonly restart: () => Promise<void>;
  readonly spec: Partial<DynoSpec>;
}

const never = new AbortController().signal;
const SLEEPS = /\bsleep 87\d\d\b/g;
/** Listens on the loopback alone; says how much it was sent. */
const LISTENER = `exec python3 -c '
import socket
s = socket.create_server(("127.0.0.1", 5001))
while True:
    c = s.accept()[0]; n = 0
    while data := c.recv(65536): n += len(data)
    c.sendall(b"got %d" % n); c.close()'`;

/** What a session in a dyno promises, whatever isolates the dyno. */
export function sessionTests({ engine, host, restart, spec: change }: SessionsUnderTest): void {
  const begun = async (command: string) => {
    const spec = specOf({ command, env: { ODD: "a 'b'", PERL5OPT: "-Mnothing" }, ...change });
    await engine().start(spec);
    await until(engine(), spec.id, ({ kind }) => kind === "running");
    return spec.id;
  };
  const open = async (id: string, request: Partial<ExecRequest>): Promise<FramedProcess> => {
    const all = { command: "", setting: "dyno", env: {}, terminal: null, ...request } as const;
    return processOver(await engine().exec(id, all, never), { isTerminal: all.terminal !== null });
  };
  const said = async (id: string, request: Partial<ExecRequest>, input = "") => {
    const process = await open(id, request);
    process.stdin.end(input);
    const [out, err, status] = await Promise.all([text(process.stdout), text(process.stderr), process.exited]);
    return { out, err, status };
  };
  const window = { rows: 33, columns: 101 };

  void test("session: the dyno's walls, environment, folder and limits; three pipes and nothing else is open; the status is true", async () => {
    const id = await begun("exec sleep 1000");
    const walls = `id -u; pwd; echo "$ODD|$X"; grep -E '^Cap' /proc/self/status; ulimit -n -u -c | tr -d ' ' | cut -d')' -f2;
      python3 -c 'import os; print(sorted(os.listdir("/proc/self/fd"))[:3], len(os.listdir("/proc/self/fd")))'; exit 3`;
    const { out, err, status } = await said(id, { command: walls, env: { X: "x y" } });
    // Inheritable ones too (CVE-2022-27650); gVisor has no ambient ones to tell of.
    const sets = ["Inh", "Prm", "Eff", "Bnd", ...(change.isolation === "gvisor" ? [] : ["Amb"])];
    const none = sets.map((set) => `Cap${set}:\t0000000000000000\n`).join("");
    assert.equal(
      out,
      `1000\n/app\na 'b'|x y\n${none}10000\n256\n0\n['0', '1', '2'] 4\n`,
      "the fourth is the folder that it lists",
    );
    assert.deepEqual([err, status], ["", 3]);
    const process = await open(id, { command: "sleep 8700" });
    const groups = join("/sys/fs/cgroup");
    if (change.isolation === undefined) {
      const { cgroup } = host().instance;
      const files = ["memory", "pids", "."].map((each) => join(groups, each, cgroup, id, "cgroup.procs"));
      const isCounted = (file: string) =>
        existsSync(file) &&
        readFileSync(file, "utf8")
          .split("\n")
          .some((pid) => pid !== "" && /sleep\0+8700/.test(quietly(`/proc/${pid}/cmdline`)));
      await eventually(() => files.some(isCounted));
      assert.equal(runtimeOf(id), join(host().instance.paths.host, "mnt", "runtime", "crun"), "nobody can write to it");
    }
    process.close();
    const missing = await said(id, { command: ["no such program; id"] });
    assert.deepEqual([missing.out, missing.status], ["", 127]);
    const big = "x".repeat(2_000_000);
    assert.deepEqual(await said(id, { command: "cat; echo failed >&2" }, big), {
      out: big,
      err: "failed\n",
      status: 0,
    });
    assert.equal((await said(id, { command: "kill -9 $$" })).status, 137);
  });

  void test("session: a terminal has the size that was asked for, another one later, and takes ^C and the end of its input", async () => {
    const id = await begun("exec sleep 1000");
    const script = "stty size; trap 'stty size; exit 9' WINCH; echo ready; while :; do sleep 0.1; done";
    const process = await open(id, { command: script, terminal: window });
    let seen = "";
    process.stdout.on("data", (chunk: Buffer) => (seen += String(chunk)));
    await eventually(() => seen.includes("ready"));
    process.resize({ rows: 40, columns: 120 });
    assert.equal(await process.exited, 9);
    assert.match(seen, /^33 101\r\n[\s\S]*40 120\r\n$/);
    const typed = await said(id, { command: "cat; exit 4", terminal: window }, "typed\n");
    assert.deepEqual([typed.out, typed.status], ["typed\r\ntyped\r\n", 4]);
    const stopped = await open(id, { command: "echo ready; sleep 8701", terminal: window });
    let ready = "";
    stopped.stdout.on("data", (chunk: Buffer) => (ready += String(chunk)));
    await eventually(() => ready.includes("ready"));
    stopped.stdin.write("\u0003");
    assert.equal(await stopped.exited, 130);
  });

  void test("session: whoever leaves, its processes go; so when the host process does; the dyno's end is theirs, not the other way", async () => {
    const id = await begun("exec sleep 1000");
    const sleeps = async () => (await said(id, { command: "ps -eo args" })).out.match(SLEEPS)?.length ?? 0;
    const held = [
      await open(id, { command: "sleep 8711; sleep 8712", terminal: window }),
      await open(id, { command: "sleep 8713; true" }),
    ];
    await eventually(async () => (await sleeps()) >= 4);
    for (const each of held) each.close();
    await eventually(async () => (await sleeps()) === 0);
    await open(id, { command: "sleep 8714" });
    await eventually(async () => (await sleeps()) > 0);
    await restart();
    await eventually(async () => (await sleeps()) === 0);
    assert.equal(
      readdirSync(join(host().instance.paths.bundles, id, "sessions")).filter((name) => name.endsWith(".sock")).length,
      0,
    );
    const last = await open(id, { command: "trap '' HUP TERM; echo ready; sleep 8715" });
    await new Promise((resolve) => last.stdout.once("data", resolve));
    await engine().signal(id, "KILL");
    await untilEnded(engine(), id);
    const status = await last.exited;
    if (change.isolation === undefined) assert.equal(status, 137);
    await assert.rejects(
      engine().exec(id, { command: "id", setting: "dyno", env: {}, terminal: null }, never),
      isEngineError("not_found"),
    );
    await engine().remove(id);
    assert.equal(existsSync(join(host().instance.paths.bundles, id)), false, "its environment goes with it");
  });

  if (change.isolation !== undefined) return; // what follows is made of what was shown
  void test("session: a connection to the dyno's own loopback, and its files, read by a process in it", async () => {
    const id = await begun(
      `head -c 300000 /dev/zero > zeros; ln -s zeros link; mkfifo fifo; unset PERL5OPT; ${LISTENER}`,
    );
    const nobody = { byId: async () => undefined };
    const store = { dynos: nobody } as unknown as ConstructorParameters<typeof DynoSessions>[0]["store"]; // all that is asked
    const recordings = { begin: async () => undefined };
    await using sessions = new DynoSessions({ engine: engine(), store, recordings, openSessions: new OpenSessions() });
    await eventually(
      async () =>
        (await said(id, { command: "python3 -c 'import socket; socket.create_connection((\"localhost\", 5001))'" }))
          .status === 0,
    );
    const connection = await sessions.connect(id, { host: "localhost", port: 5001 }, never);
    connection.writable.end("x".repeat(1_000_000));
    assert.equal(await text(connection.readable), "got 1000000");
    await assert.rejects(
      sessions.connect(id, { host: "127.0.0.1", port: 5002 }, never),
      /port 5002: Connection refused\.$/,
    );
    const file = await sessions.readFile(id, "link", never);
    assert.deepEqual([file.bytes, file.mode.toString(8), (await text(file.content)).length], [300_000, "644", 300_000]);
    for (const [path, why] of [
      ["fifo", "Not a regular file"],
      ["/tmp", "Is a directory"],
      ["none", "No such file or directory"],
    ] as const)
      await assert.rejects(sessions.readFile(id, path, never), new RegExp(`${path}: ${why}\\.$`));
  });
}

/** What runs the dyno's session, as the kernel names it. */
function runtimeOf(id: string): string | undefined {
  const pid = readdirSync("/proc").find((each) => {
    const [, ...args] = quietly(`/proc/${each}/cmdline`).split("\0");
    return (
      /^\d+$/.test(each) &&
      args.includes("exec") &&
      args.includes(id) &&
      !args.some((arg) => arg.endsWith("session.pl"))
    );
  });
  return pid === undefined ? undefined : readlinkSync(`/proc/${pid}/exe`);
}

function quietly(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // it has ended
  }
}
