import { mkdir } from "node:fs/promises";
import { join, relative } from "node:path";
import type { Config } from "../../config.ts";
import { diskRefusal } from "../../engine/local/limited-store.ts";
import { probeHost, probeMachine } from "../../engine/local/probe.ts";
import type { Finding } from "../../engine/local/probe-judge.ts";
import { systemClock } from "../../lib/clock.ts";
import { ended, start } from "../../lib/command.ts";
import { silentLogger } from "../../lib/logger.ts";
import type { Instance } from "../../model/instance.ts";
import { UsageError } from "../command.ts";
import { note } from "../output.ts";
import { programNamed } from "../programs.ts";
import { currentProgram, isInstalledProgram, type Layout, layoutOf, nodeOf, ownRoot } from "./layout.ts";
import { installPackages, missingPackages, packagesFor } from "./packages.ts";
import { type Facts, judge, look } from "./preflight.ts";
import { processesOf } from "./processes.ts";
import { installedProgram, installProgram } from "./program.ts";
import type { Progress } from "./progress.ts";
import { givenSettings } from "./settings-file.ts";
import { cgroupParentOf } from "./units.ts";

/** The half of `up` that runs from a checkout: looks at everything, installs, then hands over to the installed program. */
export async function prepareUp(
  config: Config,
  { progress, quiet }: { readonly progress: Progress; readonly quiet: boolean },
): Promise<number> {
  const facts = await checkMachine(config);
  await mkdir(config.instance.home, { recursive: true, mode: 0o755 });
  const program = await installBoth(layoutOf(config.instance), await lackingPackages(facts), progress);
  const args = [join(program, "src", "cli", "main.ts"), "up", "--installed", ...(quiet ? ["--quiet"] : [])];
  const own = Object.entries(process.env).filter((pair): pair is [string, string] => pair[1] !== undefined);
  const env = { ...Object.fromEntries(own), STATOR_HOME: config.instance.home };
  const child = start(nodeOf(program) ?? process.execPath, args, { env, cwd: program, stdio: "inherit" });
  return (await ended(child, "stator up")).code ?? 1;
}

/**
 * The packages and the program; gives the program's folder. Neither waits for the other unless npm is among the packages: apt works with
 * one processor and waits for the disk, the program for the registry.
 */
async function installBoth(layout: Layout, packages: readonly string[], progress: Progress): Promise<string> {
  const fetchedToolchain = process.env["STATOR_FETCHED_TOOLCHAIN"];
  const install = (detail: Detail) => installProgram({ root: ownRoot, layout, fetchedToolchain, detail });
  const installed = installedProgram(ownRoot, layout);
  if (installed !== undefined || packages.length === 0 || packages.includes("npm")) {
    await withApt(packages, progress);
    return installed ?? progress.step("Installing the program", install);
  }
  const title = `Installing the program, and ${packages.length} packages with apt`;
  return progress.step(title, async (detail) => {
    const both = [install(detail), installPackages(packages, detail)] as const;
    await Promise.allSettled(both); // apt is not left alone at work, whatever the other one says
    const [program] = await Promise.all(both);
    return program;
  });
}

type Detail = (text: string) => void;

/** Throws `UsageError` with everything that stands in the way. */
export async function checkMachine(config: Config): Promise<Facts> {
  const { instance } = config;
  const layout = layoutOf(instance);
  const own = new Set(processesOf(instance).map((each) => each.pid));
  const facts = look(config, own);
  const verdict = judge(facts, config, {
    command: isInstalledProgram(layout) ? "stator up" : commandLine(),
    sudo: process.env["SUDO_USER"] !== undefined || facts.uid !== 0,
    given: givenSettings(process.env),
    installed: currentProgram(layout) !== undefined,
  });
  for (const warning of verdict.warnings) note(warning);
  const kernel = missing(await probeMachine(instance, null)).filter((each) => WITHOUT_PACKAGES.has(each.id));
  const problems = [...verdict.problems, ...kernel.map(sentence)];
  if (problems.length > 0) throw new UsageError(`Nothing was installed:\n${problems.join("\n")}`, 1);
  return facts;
}

/** What can be told before any package is there. */
const WITHOUT_PACKAGES: ReadonlySet<string> = new Set(["kernel", "cgroup", "user-namespaces", "erofs", "overlay"]);

/** With every package installed: throws `UsageError` if dynos cannot run here. */
export async function checkHost(instance: Instance): Promise<void> {
  const lacking = missing(await probeHost(instance, null));
  if (lacking.length > 0)
    throw new UsageError(`Dynos cannot run on this machine:\n${lacking.map(sentence).join("\n")}`, 1);
}

/** With every package installed: throws `UsageError` if the operator asks for limits of disks that cannot be had, or not now. */
export async function checkDisks({ instance, disk }: Config): Promise<void> {
  if (disk === "auto") return;
  const tools = { programFolder: ownRoot, clock: systemClock, logger: silentLogger };
  const why = await diskRefusal(instance, disk, cgroupParentOf(instance), tools);
  if (why !== "") throw new UsageError(`The setting was not taken over. ${why.replace(/\.$/, "")}.`, 1);
}

function missing(findings: readonly Finding[]): readonly Finding[] {
  return findings.filter((each) => each.verdict === "missing");
}

function sentence({ title, detail }: Finding): string {
  return `${title}: ${detail}`;
}

export async function ensurePackages(facts: Facts, progress: Progress): Promise<void> {
  await withApt(await lackingPackages(facts), progress);
}

async function withApt(names: readonly string[], progress: Progress): Promise<void> {
  if (names.length === 0) return;
  await progress.step(`Installing ${names.length} packages with apt`, (detail) => installPackages(names, detail));
}

async function lackingPackages({ distribution }: Facts): Promise<readonly string[]> {
  const names = await missingPackages(packagesFor(distribution));
  return nodeOf(ownRoot) === undefined && programNamed("npm") === undefined ? [...names, "npm"] : names;
}

/** `./bin/up` as it can be typed where the person is. */
function commandLine(): string {
  const path = relative(process.cwd(), join(ownRoot, "bin", "up"));
  return path.startsWith("..") ? join(ownRoot, "bin", "up") : `./${path}`;
}
