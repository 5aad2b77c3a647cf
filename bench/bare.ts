import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { ended, run, start } from "../src/lib/command.ts";
import { type BenchApp, call, instance, ticksIn, ticksOf, until } from "./rig.ts";

/** The parts of a dyno's bundle that a second container must not share. */
interface Bundle {
  readonly process: { readonly args: readonly string[]; readonly terminal: boolean };
  readonly mounts: readonly {
    readonly destination: string;
    readonly source: string;
    readonly options: readonly string[];
  }[];
  readonly linux: { readonly cgroupsPath: string; readonly uidMappings: readonly { readonly hostID: number }[] };
}

/**
 * The physical floor: `crun run` by itself of the very bundle that a dyno of the app has (user namespace, stack, overlay,
 * seccomp, limits), in that dyno's network namespace, with folders and a control group of its own.
 */
export class BareRuntime implements AsyncDisposable {
  readonly #folder = `${instance.paths.run}/bench`;
  readonly #volume = join(instance.paths.host, "store", `bench-${process.pid}`);
  readonly #app: BenchApp;
  readonly #holder: string;
  readonly #bundle: Bundle;

  static async open(app: BenchApp): Promise<BareRuntime> {
    const { json } = await call<{ readonly id: string }>("POST", `/apps/${app.name}/dynos`, { command: "./tick stay" });
    await until(async () => (await ticksOf(json.id)) !== undefined);
    const text = readFileSync(join(instance.paths.bundles, json.id, "config.json"), "utf8");
    const bare = new BareRuntime(app, json.id, JSON.parse(text) as Bundle);
    await bare.#prepare();
    return bare;
  }

  private constructor(app: BenchApp, holder: string, bundle: Bundle) {
    this.#app = app;
    this.#holder = holder;
    this.#bundle = bundle;
  }

  /** From the decision to the program's first instruction, ms. */
  async start(): Promise<number> {
    const id = randomUUID();
    rmSync(join(this.#volume, "work", "work"), { recursive: true, force: true }); // a dyno's is new: no volatile overlay is mounted twice
    writeFileSync(join(this.#folder, "config.json"), JSON.stringify(this.#own(id)), { mode: 0o600 });
    const args = ["--root", join(this.#folder, "root"), "run", "--bundle", this.#folder, id];
    const namespace = join(instance.paths.run, "namespace", "mnt"); // where crun must not see version 2
    const began = process.hrtime.bigint();
    // No stream of ours: crun makes the container's user the owner of what it inherits.
    const child = existsSync(namespace)
      ? start("nsenter", [`--mount=${namespace}`, "crun", ...args], { stdio: ["ignore", "pipe", "pipe"] })
      : start("crun", args, { stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    child.stdout?.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    const { code } = await ended(child, "crun");
    const [tick] = ticksIn(text) ?? [];
    if (tick === undefined) throw new Error(`crun run ended with ${code} and said: ${text}`);
    return Number(tick - began) / 1e6;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await call("POST", `/apps/${this.#app.name}/dynos/${this.#holder}/actions/stop`);
    rmSync(this.#volume, { recursive: true, force: true });
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #prepare(): Promise<void> {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const root = this.#bundle.linux.uidMappings[0]?.hostID ?? 0;
    const owners = { upper: root + 1000, work: root, tmp: root, "var-tmp": root };
    await mkdir(this.#volume, { mode: 0o711 });
    for (const [name, owner] of Object.entries(owners)) {
      await mkdir(join(this.#volume, name), { mode: 0o777 });
      await chown(join(this.#volume, name), owner, owner);
    }
    await run("chmod", ["1777", join(this.#volume, "tmp"), join(this.#volume, "var-tmp")]);
  }

  #own(id: string): unknown {
    const { process: program, mounts, linux } = this.#bundle;
    const theirs = join(instance.paths.host, "store", `dyno-${this.#holder}`);
    const mine = (text: string): string => text.replaceAll(theirs, this.#volume);
    return {
      ...this.#bundle,
      process: { ...program, args: program.args.with(-1, "./tick now") },
      mounts: mounts.map((each) => ({ ...each, source: mine(each.source), options: each.options.map(mine) })),
      linux: { ...linux, cgroupsPath: linux.cgroupsPath.replace(this.#holder, id) },
    };
  }
}
