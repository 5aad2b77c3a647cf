import assert from "node:assert/strict";
import { chmodSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { loadConfig } from "../../src/config.ts";
import type { StackName } from "../../src/engine/engine.ts";
import { cleanInstance } from "../../src/engine/local/clean.ts";
import type { LocalEngine } from "../../src/engine/local/local-engine.ts";
import { isMounted, mountImage, unmount } from "../../src/engine/local/loop.ts";
import { openNetwork, removeNetwork } from "../../src/engine/local/network.ts";
import { type LocalEngineOptions, openLocalEngine } from "../../src/engine/local/open.ts";
import { stackFiles } from "../../src/engine/local/stack.ts";
import { AllowFile } from "../../src/host/network-allow.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { run } from "../../src/lib/command.ts";
import { jsonLogger } from "../../src/lib/logger.ts";
import { type Instance, instanceOf } from "../../src/model/instance.ts";

const checkout = join(import.meta.dirname, "..", "..");
const UID_BASE = 3_700_000_000;

/** A command that answers every connection to port 5000 with `hi`. */
export const SERVER = `exec perl -MSocket -e '
  socket(S, PF_INET, SOCK_STREAM, 6); setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1);
  bind(S, sockaddr_in(5000, INADDR_ANY)); listen(S, 9); while (accept(C, S)) { syswrite(C, "hi"); close C }'`;

/**
 * A command that says `ready`, and `bye` to each SIGTERM before it ends with 5. It is one process: a shell's child between fork
 * and exec would say it too.
 */
export const OBEDIENT = `exec perl -e '
  $SIG{TERM} = sub { $told++; syswrite STDOUT, "bye\\n" }; syswrite STDOUT, "ready\\n";
  select undef, undef, undef, 0.05 until $told; select undef, undef, undef, 0.2; exit 5'`;

/** One that says `ready` and does not heed SIGTERM. */
export const STUBBORN = `trap '' TERM; echo ready; while :; do sleep 1000; done`;

/** Command lines of all processes that have this text in it, as files. */
export function processesNaming(text: string): readonly string[] {
  return globSync("/proc/[0-9]*/cmdline").filter((path) => {
    try {
      return readFileSync(path, "utf8").includes(text);
    } catch {
      return false; // it ended while we looked
    }
  });
}

/** An instance of the test's own, with nothing in it but the engine and the network; the stacks are the installed one's. */
export class EngineHost implements AsyncDisposable {
  readonly instance: Instance;
  readonly uidBase = UID_BASE;
  readonly #base: string;

  static async open(): Promise<EngineHost> {
    const base = mkdtempSync("/var/tmp/stator-engine-");
    chmodSync(base, 0o755); // dynos pass through it
    const host = new EngineHost(base);
    for (const name of [host.instance.users.maker, host.instance.users.router])
      await run("useradd", ["--system", "--no-create-home", "--user-group", "--shell", "/usr/sbin/nologin", name]);
    const installed = loadConfig().instance;
    for (const name of ["debian-12", "debian-12-build"] as const) {
      mkdirSync(host.#stack(name), { recursive: true });
      const image = stackFiles(installed, name).image;
      if (!(await isMounted(host.#stack(name))))
        await mountImage({ image, at: host.#stack(name), type: "erofs", options: ["nodev"], readOnly: true });
    }
    return host;
  }

  private constructor(base: string) {
    this.#base = base;
    this.instance = instanceOf(join(base, "home"));
  }

  readonly stacks = { mountOf: (name: StackName) => this.#stack(name) };

  /** What the host process does when it starts; may be done again after `close` or without it, as after a kill. */
  async openEngine(change: Partial<LocalEngineOptions> = {}): Promise<LocalEngine & { close(): Promise<void> }> {
    const { instance } = this;
    const text = process.env["ENGINE_LOG"] === undefined ? () => {} : undefined;
    const logger = jsonLogger("engine-test", text);
    const network = await openNetwork({
      instance,
      config: { httpPort: 18_080, httpsPort: 18_443, domain: "example.test" },
      buildAllow: async () => [],
      appAllow: new AllowFile(instance),
      routerUid: Number((await run("id", ["-u", instance.users.router])).stdout),
      probeUid: 0,
      logger,
      clock: systemClock,
      poolSize: 4,
    });
    const engine = await openLocalEngine({
      instance,
      network,
      stacks: this.stacks,
      programFolder: checkout,
      uidBase: UID_BASE,
      logger,
      clock: systemClock,
      disk: loadConfig().disk,
      ...change,
    }).catch(async (error: unknown) => {
      await network[Symbol.asyncDispose]();
      throw error;
    });
    return Object.assign(engine, {
      close: async () => {
        await engine[Symbol.asyncDispose]();
        await network[Symbol.asyncDispose]();
      },
    });
  }

  /** What a dyno wrote, without conmon's heads. */
  textOf(id: string): string {
    const log = readFileSync(join(this.instance.paths.logs, `${id}.log`), "utf8");
    return log.replace(/^\S+ (?:stdout|stderr) F (.*\n)/gm, "$1").replace(/^\S+ (?:stdout|stderr) P (.*)\n/gm, "$1");
  }

  /** Until that text shows the pattern, for 10 s at most; then it fails with the text. */
  async untilText(id: string, pattern: RegExp): Promise<void> {
    for (const deadline = performance.now() + 10_000; performance.now() < deadline; await pause(20))
      if (pattern.test(this.textOf(id))) return;
    assert.match(this.textOf(id), pattern);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await cleanInstance(this.instance);
    await removeNetwork(this.instance);
    for (const name of ["debian-12", "debian-12-build"] as const) await unmount(this.#stack(name));
    for (const name of [this.instance.users.maker, this.instance.users.router])
      await run("userdel", [name]).catch(() => {}); // not made yet
    rmSync(this.#base, { recursive: true, force: true });
  }

  #stack(name: StackName): string {
    return join(this.#base, "stacks", name);
  }
}
