import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { clientEnvironment } from "../../src/cli/install/client-programs.ts";
import { buildStacks } from "../../src/engine/local/stack.ts";
import { ended, run, start } from "../../src/lib/command.ts";
import { instanceOf } from "../../src/model/instance.ts";
import { ensurePackages } from "../packages.ts";
import { Guest } from "./guest.ts";
import { HOST_PACKAGES, makeImage, makeStacksImage } from "./image.ts";
import { boot, type Machine } from "./machine.ts";
import { must, STEPS, type Step } from "./steps.ts";

/**
 * `npm run test:vm`: a Debian machine with systemd and cgroup v2, the checkout brought in, `bin/up` from nothing, then the steps of
 * `steps.ts`. Prints what it saw with the seconds it took; ends with 1 if anything failed (docs/reliability.md).
 */
const USAGE = `usage: node test/vm/run.ts [--all] [--build-stacks] [title...]
Titles: ${STEPS.map(({ title, usual }) => `'${title}'${usual ? "" : " (not usual)"}`).join(", ")}`;

const checkout = join(import.meta.dirname, "..", "..");
const kept = process.env["STATOR_VM_FOLDER"];
const folder = kept ?? "/var/tmp/stator-vm";
const begun = performance.now();
const failures: string[] = [];

const secondsSince = (since: number): string => ((performance.now() - since) / 1000).toFixed(0);

function say(text: string): void {
  process.stdout.write(`[${secondsSince(begun).padStart(4)} s] ${text}\n`);
}

interface Asked {
  readonly steps: readonly Step[];
  /** Every test of a file, not the usual ones alone. */
  readonly whole: boolean;
  readonly buildStacks: boolean;
}

function read(args: readonly string[]): Asked {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { all: { type: "boolean", default: false }, "build-stacks": { type: "boolean", default: false } },
    allowPositionals: true,
  });
  const unknown = positionals.filter((each) => !STEPS.some(({ title }) => title === each));
  if (unknown.length > 0) throw new Error(`there is no step ${unknown.join(", ")}\n${USAGE}`);
  const chosen = (step: Step) => (positionals.length > 0 ? positionals.includes(step.title) : values.all || step.usual);
  return {
    steps: STEPS.filter(chosen),
    whole: values.all,
    buildStacks: values["build-stacks"],
  };
}

async function main(asked: Asked): Promise<void> {
  say(`${cpus().length} processors: ${cpus()[0]?.model}`);
  await ensurePackages(HOST_PACKAGES, (missing) => say(`installing ${missing.join(" ")}`));
  mkdirSync(folder, { recursive: true });
  await prepareDisks(!asked.buildStacks);
  {
    await using machine = await boot(folder);
    say("the machine is up");
    await bringCheckout(machine);
    if (!asked.buildStacks) await bringStacks(machine);
    const guest = new Guest(machine);
    await check("bin/up from nothing", guest, () => bringUp(guest));
    if (failures.length === 0) {
      for (const step of asked.steps) await check(step.title, guest, () => step.run(guest, asked.whole));
    }
  }
  for (const each of failures) say(`FAILED: ${each}`);
  say(`processors were busy with it for ${processorSeconds().toFixed(0)} s`);
  if (failures.length > 0) throw new Error(`${failures.length} failed`);
  say(
    `all passed; not run: ${
      STEPS.filter((step) => !asked.steps.includes(step))
        .map(({ title }) => title)
        .join(", ") || "nothing"
    }`,
  );
}

/** Goes on after a failure: each run costs a quarter of an hour. */
async function check(title: string, guest: Guest, body: () => Promise<string>): Promise<void> {
  const since = performance.now();
  try {
    const remark = await body();
    say(`ok: ${title} (${secondsSince(since)} s) ${remark}`.trimEnd());
  } catch (error) {
    failures.push(title);
    say(`FAILED: ${title} (${secondsSince(since)} s): ${error instanceof Error ? error.message : String(error)}`);
    say(`our processes' last warnings:\n${await guest.warnings()}`);
  }
}

/** The image, which is kept for the next run where STATOR_VM_FOLDER says so; and the stacks. Both are made at once. */
async function prepareDisks(stacks: boolean): Promise<void> {
  const since = performance.now();
  const recipe = ["test/vm/image.ts", "toolchain/package-lock.json", "package-lock.json"];
  const hash = createHash("sha256");
  for (const file of recipe) hash.update(readFileSync(join(checkout, file)));
  const pristine = join(folder, `pristine-${hash.digest("hex").slice(0, 12)}.img`);
  const disk = join(folder, "disk.img");
  const image = async () => {
    if (!existsSync(pristine)) {
      say("making a Debian disk image");
      await makeImage(folder, checkout);
      if (kept === undefined) return;
      await run("cp", ["--sparse=always", "--", disk, pristine], { timeoutMs: 300_000 });
    } else await run("cp", ["--sparse=always", "--", pristine, disk], { timeoutMs: 300_000 });
  };
  const both = [image(), ...(stacks ? [makeStacks()] : [])];
  await Promise.allSettled(both);
  await Promise.all(both);
  say(`disks are ready (${secondsSince(since)} s)`);
}

/**
 * The stacks of STATOR_VM_STACKS, or else built here by what would build them inside (the recipe decides there whether they are
 * right): emulated, that takes several times as long.
 */
async function makeStacks(): Promise<void> {
  const given = process.env["STATOR_VM_STACKS"];
  const instance = instanceOf(join(folder, "stacks"));
  if (given === undefined) await buildStacks({ instance, env: clientEnvironment(), onProgress: () => {} });
  await makeStacksImage(folder, given ?? join(instance.paths.host, "stacks"));
}

async function bringStacks(machine: Machine): Promise<void> {
  const to = "/var/lib/stator/host/stacks";
  const { code, output } = await machine.shell(
    `mkdir -p ${to} && mount -o ro /dev/vdb /mnt && cp /mnt/debian* ${to} && umount /mnt`,
    { timeoutMs: 120_000 },
  );
  if (code !== 0) throw new Error(`the stacks could not be brought in: ${output}`);
  say("stacks that were built outside are in: bin/up will not build them");
}

async function bringCheckout(machine: Machine): Promise<void> {
  const list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const { stdout: names } = await run("git", ["-C", checkout, ...list]);
  const present = names.split("\0").filter((name) => name !== "" && existsSync(join(checkout, name)));
  const tar = start("tar", ["-C", checkout, "-c", "--null", "-T", "-"], { stdio: ["pipe", "pipe", "inherit"] });
  tar.stdin?.end(present.join("\0"));
  const chunks: Buffer[] = [];
  tar.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk));
  await ended(tar, "tar");
  const { code, output } = await machine.shell("mkdir -p /root/stator && tar -C /root/stator -x", {
    input: Buffer.concat(chunks),
    timeoutMs: 120_000,
  });
  if (code !== 0) throw new Error(`the checkout could not be brought in: ${output}`);
  say("the checkout is in");
}

async function bringUp(guest: Guest): Promise<string> {
  const facts = await guest.ask("stat -fc %T /sys/fs/cgroup; uname -r; systemctl --version | head -1");
  must(facts.startsWith("cgroup2fs\n"), facts);
  const route = await guest.route6();
  must(route.startsWith("default via"), "QEMU's network has no IPv6");
  const up = await guest.machine.shell("cd /root/stator && ./bin/up", {
    timeoutMs: 1_500_000,
    onOutput: (text) => void process.stdout.write(text),
  });
  must(up.code === 0, `status ${up.code}`);
  await guest.prepare();
  const forwards = await guest.ask("cat /proc/sys/net/ipv6/conf/all/forwarding");
  const kept6 = await guest.route6();
  must(forwards === "1" && kept6 === route, `the IPv6 route was ${route}, is ${kept6}, forwarding ${forwards}`);
  return facts.replaceAll("\n", ", ");
}

/** What QEMU and the other programs that this one started and that have ended used: on a shared machine it says more than the clock. */
function processorSeconds(): number {
  const fields = readFileSync("/proc/self/stat", "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[13]) + Number(fields[14])) / 100; // children's, in hundredths (proc(5))
}

// QEMU goes with this process (machine.ts).
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));
try {
  await main(read(process.argv.slice(2)));
} catch (error) {
  say(`FAILED: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  // On one file system: mmdebstrap that was ended has left mounts in its tree.
  if (kept === undefined) await run("rm", ["-rf", "--one-file-system", "--", folder]);
}
