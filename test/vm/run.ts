import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { clientEnvironment } from "../../src/cli/install/client-programs.ts";
import { buildStacks } from "../../src/engine/local/stack.ts";
import { ended, run, start } from "../../src/lib/command.ts";
import { instanceOf } from "../../src/model/instance.ts";
import { ensurePackages } from "../packages.ts";
import { Guest } from "./guest.ts";
import { HOST_PACKAGES, makeImage } from "./image.ts";
import { type Machine, powerOn } from "./machine.ts";
import { processorSecondsOfEnded } from "./processor-time.ts";
import { groupsOf, must, STEPS, type Step } from "./steps.ts";

/**
 * `npm run test:vm`: a Debian machine with systemd and cgroup v2, the checkout brought in, `bin/up` from nothing, then the steps of
 * `steps.ts`. Prints what it saw with the seconds it took; ends with 1 if anything failed (docs/reliability.md).
 */
const USAGE = `usage: node test/vm/run.ts [--all] [--build-stacks] [--again] [title...]
--again: for developing, on the disk that bin/up of an earlier run left in STATOR_VM_FOLDER
Titles: ${STEPS.map(({ title, usual }) => `'${title}'${usual ? "" : " (not usual)"}`).join(", ")}`;

const checkout = join(import.meta.dirname, "..", "..");
const kept = process.env["STATOR_VM_FOLDER"];
const folder = kept ?? "/var/tmp/stator-vm";
const begun = performance.now();
const results: Result[] = [];
const failures = () => results.filter(({ is }) => is !== "ok").map(({ title }) => title);

/** What emulates the machine, once it runs. */
const busy: { machine?: Pick<Machine, "processorSeconds"> } = {};

/** One or more steps that ran at the same time. */
interface Result {
  readonly title: string;
  readonly is: "ok" | "FAILED";
  readonly seconds: number;
  /** Of this host's processors, the emulation included: unlike the seconds it hardly depends on what else the host does. */
  readonly processorSeconds: number;
  readonly remark: string;
}

const secondsSince = (since: number): string => ((performance.now() - since) / 1000).toFixed(0);

function say(text: string): void {
  process.stdout.write(`[${secondsSince(begun).padStart(4)} s] ${text}\n`);
}

interface Asked {
  readonly steps: readonly Step[];
  /** Every test of a file, not the usual ones alone. */
  readonly whole: boolean;
  readonly buildStacks: boolean;
  readonly again: boolean;
}

function read(args: readonly string[]): Asked {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: {
      all: { type: "boolean", default: false },
      "build-stacks": { type: "boolean", default: false },
      again: { type: "boolean", default: false },
    },
    allowPositionals: true,
  });
  const unknown = positionals.filter((each) => !STEPS.some(({ title }) => title === each));
  if (unknown.length > 0) throw new Error(`there is no step ${unknown.join(", ")}\n${USAGE}`);
  const chosen = (step: Step) => (positionals.length > 0 ? positionals.includes(step.title) : values.all || step.usual);
  return {
    steps: STEPS.filter(chosen),
    whole: values.all,
    buildStacks: values["build-stacks"],
    again: values.again,
  };
}

async function main(asked: Asked): Promise<void> {
  say(`${cpus().length} processors: ${cpus()[0]?.model}`);
  await ensurePackages(HOST_PACKAGES, (missing) => say(`installing ${missing.join(" ")}`));
  mkdirSync(folder, { recursive: true });
  const prepare = () => (asked.again ? takeInstalledDisk() : prepareDisk(!asked.buildStacks));
  if (!(await check("disk image and stacks", prepare))) return;
  await using machine = await powerOn(folder);
  busy.machine = machine;
  if (!(await check("boot, checkout brought in", () => bringCheckout(machine)))) return;
  const guest = new Guest(machine, folder);
  if (asked.again) await guest.prepare();
  else if (!(await check("bin/up from nothing", () => bringUp(guest)))) return;
  else if (kept !== undefined) await keepInstalledDisk(guest);
  for (const group of groupsOf(asked.steps)) await checkAll(group, guest, asked.whole);
}

/** Prints the table for docs/reliability.md. Throws if anything failed. */
async function report(asked: Asked): Promise<void> {
  const all = {
    title: "all",
    is: failures().length === 0 ? "ok" : `FAILED: ${failures().join(", ")}`,
    seconds: (performance.now() - begun) / 1000,
    processorSeconds: busySeconds(),
    remark: "",
  };
  const rows = [...results, all].map(({ title, is, seconds, processorSeconds, remark }) =>
    [title, is, seconds.toFixed(0), processorSeconds.toFixed(0), remark.split("\n", 1)[0] ?? ""].join(" | "),
  );
  const head = "| step | result | seconds | of processors | |\n|---|---|---|---|---|\n";
  process.stdout.write(`\n${await circumstances()}\n\n${head}${rows.map((row) => `| ${row} |\n`).join("")}\n`);
  const skipped = STEPS.filter((step) => !asked.steps.includes(step)).map(({ title }) => title);
  if (asked.again) skipped.unshift("bin/up from nothing");
  say(`not run: ${skipped.join(", ") || "nothing"}`);
  if (failures().length > 0) throw new Error(failures().join(", "));
  say("all passed");
}

async function circumstances(): Promise<string> {
  const firstLine = async (program: string, args: readonly string[]) =>
    (await run(program, args).catch(() => ({ stdout: "" }))).stdout.split("\n", 1)[0] ?? "";
  const commit = await firstLine("git", ["-C", checkout, "describe", "--always", "--dirty"]);
  const qemu = await firstLine("qemu-system-x86_64", ["--version"]);
  return `${new Date().toISOString().slice(0, 16)} UTC, commit ${commit}; ${cpus().length} × ${cpus()[0]?.model}; ${qemu}; load at the end ${loadavg()[0]?.toFixed(1)}`;
}

/** Goes on after a failure: each run costs a quarter of an hour. Whether it passed. */
async function check(title: string, body: () => Promise<string>): Promise<boolean> {
  const [since, busyBefore] = [performance.now(), busySeconds()];
  const spent = () => ({ seconds: (performance.now() - since) / 1000, processorSeconds: busySeconds() - busyBefore });
  const tell = (is: Result["is"], remark: string) => {
    const result = { title, is, remark, ...spent() };
    results.push(result);
    const times = `${result.seconds.toFixed(0)} s, ${result.processorSeconds.toFixed(0)} s of processors`;
    say(`${is}: ${title} (${times}) ${remark}`.trimEnd());
    return is === "ok";
  };
  try {
    return tell("ok", await body());
  } catch (error) {
    return tell("FAILED", error instanceof Error ? error.message : String(error));
  }
}

/** Steps that run at the same time. */
async function checkAll(group: readonly Step[], guest: Guest, whole: boolean): Promise<void> {
  const title = group.map((each) => each.title).join(" and ");
  const passed = await check(title, async () => {
    const ends = await Promise.allSettled(group.map((step) => step.run(guest, whole)));
    const wrong = ends.flatMap((end) => (end.status === "rejected" ? [String(end.reason)] : []));
    if (wrong.length > 0) throw new Error(wrong.join("\n"));
    return ends.flatMap((end) => (end.status === "fulfilled" ? [end.value] : [])).join("; ");
  });
  if (!passed) say(`our processes' last warnings:\n${await guest.warnings()}`);
}

/** The image, which is kept for the next run where STATOR_VM_FOLDER says so. Stacks and image are made at once. */
async function prepareDisk(withStacks: boolean): Promise<string> {
  const recipe = ["test/vm/image.ts", "toolchain/package-lock.json", "package-lock.json"];
  if (withStacks) recipe.push("src/engine/local/stack-recipe.ts");
  const hash = createHash("sha256");
  for (const file of recipe) hash.update(readFileSync(join(checkout, file)));
  const pristine = join(folder, `pristine-${hash.digest("hex").slice(0, 12)}.img`);
  const disk = join(folder, "disk.img");
  if (existsSync(pristine)) {
    await copy(pristine, disk);
    return `${pristine}, of an earlier run`;
  }
  await makeImage(folder, checkout, withStacks ? stacks() : Promise.resolve(undefined));
  if (kept !== undefined) await copy(disk, pristine);
  return `made by this run, ${withStacks ? "with the stacks in it" : "without stacks"}`;
}

const copy = (from: string, to: string) => run("cp", ["--sparse=always", "--", from, to], { timeoutMs: 600_000 });

/** For `--again`: as after a power cut. */
async function keepInstalledDisk(guest: Guest): Promise<void> {
  await guest.ask("sync");
  await copy(join(folder, "disk.img"), join(folder, "installed.img"));
}

async function takeInstalledDisk(): Promise<string> {
  await copy(join(folder, "installed.img"), join(folder, "disk.img"));
  return "of an earlier run, with the platform";
}

/**
 * The folder of STATOR_VM_STACKS, or else stacks built here by what would build them inside (the recipe decides there whether they are
 * right): emulated, that takes several times as long.
 */
async function stacks(): Promise<string> {
  const given = process.env["STATOR_VM_STACKS"];
  if (given !== undefined) return given;
  const instance = instanceOf(join(folder, "stacks"));
  await buildStacks({ instance, env: clientEnvironment(), onProgress: () => {} });
  return join(instance.paths.host, "stacks");
}

async function bringCheckout(machine: Machine): Promise<string> {
  await machine.waitUntilUp();
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
  return (await machine.shell("systemd-analyze")).output.split("\n", 1)[0] ?? "";
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
  for (const process_ of await guest.mainProcesses())
    must(process_.startsWith("/opt/stator/") && !process_.includes("/root/"), `a service runs as ${process_}`);
  must(forwards === "1" && kept6 === route, `the IPv6 route was ${route}, is ${kept6}, forwarding ${forwards}`);
  return facts.replaceAll("\n", ", ");
}

/** What QEMU and the other programs that this one started have used, but for those others that still run. */
function busySeconds(): number {
  return processorSecondsOfEnded() + (busy.machine?.processorSeconds() ?? 0);
}

// QEMU goes with this process (machine.ts).
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));
try {
  const asked = read(process.argv.slice(2));
  await main(asked).catch(async (error: unknown) => {
    await check("the run itself", () => Promise.reject(error));
  });
  await report(asked);
} catch (error) {
  say(`FAILED: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  // On one file system: mmdebstrap that was ended has left mounts in its tree.
  if (kept === undefined) await run("rm", ["-rf", "--one-file-system", "--", folder], { timeoutMs: 600_000 });
}
