import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type ChildProcess, ended, run, start } from "../src/lib/command.ts";
import { bootArguments } from "../src/model/boot.ts";
import { instance, ticksIn, until } from "./rig.ts";

/** Another way to start the same program from the same files with limits, on the same machine. */
export interface Peer {
  readonly name: string;
  /** Runs the program once; from the decision to its first instruction, and until the command has returned; ms. */
  start(): Promise<{ readonly first: number; readonly returned: number }>;
  /** `docker run -d` of `count`, `atOnce` at a time; until the last one was started, ms. They are removed afterwards. */
  startMany(count: number, atOnce: number): Promise<number>;
}

export interface Peers extends AsyncDisposable {
  readonly present: readonly Peer[];
  /** Why a peer is not there. */
  absence(name: string): string;
}

const IMAGE = "stator-bench";
const LIMITS = ["--memory=512m", "--pids-limit=256", "--cap-drop=ALL", "--security-opt=no-new-privileges"];
/** Docker's own bridge is another one; dynos' ranges are elsewhere in 10.0.0.0/8. */
const BRIDGE = "stbench0";
const BRIDGE_ADDRESS = "172.31.253.1/24";

/** The peers that are installed, with the image of a dyno's stack in each. Of a docker that runs already nothing is touched. */
export async function openPeers(tick: string, wanted: boolean): Promise<Peers> {
  await using open = new AsyncDisposableStack();
  const present: Peer[] = [];
  const absent = new Map<string, string>();
  for (const [name, program, make] of [
    ["docker", "/usr/bin/docker", dockerd],
    ["podman", "/usr/bin/podman", podman],
  ] as const) {
    if (!wanted) absent.set(name, "not asked for (--no-peers)");
    else if (!existsSync(program)) absent.set(name, `${name} is not installed: bench/install-peers brings it`);
    else {
      try {
        const peer = open.use(await make(tick));
        await peer.start();
        present.push(peer);
      } catch (error) {
        absent.set(name, `${name} does not work on this machine: ${String(error).slice(0, 300)}`);
      }
    }
  }
  const opened = open.move();
  return {
    present,
    absence: (name) => absent.get(name) ?? `${name} is not there`,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

type OpenPeer = Peer & AsyncDisposable;

/**
 * A daemon of our own: own data, own socket, own bridge, and no rules of its own in the host's tables (it would close the
 * machine's forwarding to everybody else), which makes it a little faster than it is as installed.
 */
async function dockerd(tick: string): Promise<OpenPeer> {
  const folder = mkdtempSync("/var/tmp/stator-bench-docker-");
  const socket = `unix://${join(folder, "docker.sock")}`;
  await run("ip", ["link", "add", BRIDGE, "type", "bridge"]);
  await run("ip", ["addr", "add", BRIDGE_ADDRESS, "dev", BRIDGE]);
  await run("ip", ["link", "set", BRIDGE, "up"]);
  const flags = [
    `--data-root=${join(folder, "data")}`,
    `--exec-root=${join(folder, "exec")}`,
    `--pidfile=${join(folder, "pid")}`,
    `--host=${socket}`,
    `--bridge=${BRIDGE}`,
    "--iptables=false",
    "--ip6tables=false",
    "--ip-forward=false",
    "--ip-masq=false",
    "--userland-proxy=false",
  ];
  const daemon = start("/usr/sbin/dockerd", flags, { stdio: "ignore" });
  const end = async (): Promise<void> => {
    await endOf(daemon);
    await run("ip", ["link", "del", BRIDGE]);
    for (const mount of await mountsBelow(folder)) await run("umount", ["--lazy", "--", mount]).catch(() => {}); // gone
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const base = ["--host", socket];
    await until(
      () =>
        run("/usr/bin/docker", [...base, "version"]).then(
          () => true,
          () => false,
        ),
      100,
      30_000,
    );
    const peer = new Program("docker", "/usr/bin/docker", base, []);
    await peer.makeImage(tick);
    return Object.assign(peer, { [Symbol.asyncDispose]: end });
  } catch (error) {
    await end();
    throw error;
  }
}

/** Without a network, which makes it faster than it is as installed; its own would write rules into the host's tables. */
async function podman(tick: string): Promise<OpenPeer> {
  const folder = mkdtempSync("/var/tmp/stator-bench-podman-");
  const runFolder = mkdtempSync("/run/stator-bench-podman-");
  const base = [
    `--root=${join(folder, "data")}`,
    `--runroot=${runFolder}`,
    "--cgroup-manager=cgroupfs",
    "--runtime=runc",
  ];
  const end = async (): Promise<void> => {
    await run("/usr/bin/podman", [...base, "rm", "--all", "--force"]).catch(() => {}); // none, or it does not work at all
    for (const at of [folder, runFolder]) {
      for (const mount of await mountsBelow(at)) await run("umount", ["--lazy", "--", mount]).catch(() => {}); // gone
      rmSync(at, { recursive: true, force: true });
    }
  };
  try {
    const peer = new Program("podman", "/usr/bin/podman", base, ["--network=none"]);
    await peer.makeImage(tick);
    return Object.assign(peer, { [Symbol.asyncDispose]: end });
  } catch (error) {
    await end();
    throw error;
  }
}

/** A container program with docker's command line. */
class Program implements Peer {
  readonly name: string;
  readonly #path: string;
  readonly #base: readonly string[];
  readonly #flags: readonly string[];

  constructor(name: string, path: string, base: readonly string[], flags: readonly string[]) {
    this.name = name;
    this.#path = path;
    this.#base = base;
    this.#flags = flags;
  }

  /** The stack's tree as an image, and the program in it. */
  async makeImage(tick: string): Promise<void> {
    const stack = join(instance.paths.host, "stacks", "debian-12.tar");
    await this.#run(["import", stack, `${IMAGE}-base`]);
    const { stdout } = await this.#run(["create", `${IMAGE}-base`, "true"]);
    const id = stdout.trim();
    await this.#run(["cp", tick, `${id}:/app/tick`]);
    await this.#run(["commit", id, IMAGE]);
    await this.#run(["rm", id]);
  }

  async start(): Promise<{ readonly first: number; readonly returned: number }> {
    const began = process.hrtime.bigint();
    const { stdout } = await this.#run([
      "run",
      "--rm",
      ...this.#options(),
      IMAGE,
      ...bootArguments("./tick now", false),
    ]);
    const returned = process.hrtime.bigint();
    const [tick] = ticksIn(stdout) ?? [];
    if (tick === undefined) throw new Error(`${this.name} run said: ${stdout}`);
    return { first: Number(tick - began) / 1e6, returned: Number(returned - began) / 1e6 };
  }

  async startMany(count: number, atOnce: number): Promise<number> {
    const began = process.hrtime.bigint();
    const names = Array.from({ length: count }, (_, index) => `${IMAGE}-${index}`);
    const waiting = [...names];
    const worker = async (): Promise<void> => {
      for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
        const args = ["run", "-d", "--name", name, ...this.#options(), "--env=PORT=5000", IMAGE];
        await this.#run([...args, ...bootArguments("exec ./tick serve", false)]);
      }
    };
    try {
      await Promise.all(Array.from({ length: atOnce }, () => worker()));
      return Number(process.hrtime.bigint() - began) / 1e6;
    } finally {
      await this.#run(["rm", "--force", ...names]);
    }
  }

  #options(): readonly string[] {
    return [...LIMITS, ...this.#flags, "--user=1000:1000", "--workdir=/app", "--env=HOME=/app"];
  }

  #run(args: readonly string[]): Promise<{ readonly stdout: string }> {
    return run(this.#path, [...this.#base, ...args], { timeoutMs: 300_000, env: { HOME: "/root" } });
  }
}

/** SIGTERM by its process id, SIGKILL where that does not help; returns once it has ended. */
async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const end = ended(child, "dockerd");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 30_000);
  await end;
  clearTimeout(timer);
}

async function mountsBelow(folder: string): Promise<readonly string[]> {
  const lines = (await readFile("/proc/self/mounts", "utf8")).split("\n");
  return lines
    .map((line) => line.split(" ")[1] ?? "")
    .filter((at) => at.startsWith(`${folder}/`))
    .toReversed();
}
