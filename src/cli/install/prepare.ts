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
import { currentProgram, isInstalledProgram, layoutOf, nodeOf, ownRoot } from "./layout.ts";
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
  await ensurePackages(facts, progress);
  const layout = layoutOf(config.instance);
  await mkdir(config.instance.home, { recursive: true, mode: 0o755 });
  const options = { root: ownRoot, layout, fetchedToolchain: process.env["STATOR_FETCHED_TOOLCHAIN"] };
  const program =
    installedProgram(ownRoot, layout) ??
    (await progress.step("Installing the program", (detail) => installProgram({ ...options, detail })));
  const args = [join(program, "src", "cli", "main.ts"), "up", "--installed", ...(quiet ? ["--quiet"] : [])];
  const own = Object.entries(process.env).filter((pair): pair is [string, string] => pair[1] !== undefined);
  const env = { ...Object.fromEntries(own), STATOR_HOME: config.instance.home };
  const child = start(nodeOf(program) ?? process.execPath, args, { env, cwd: program, stdio: "inherit" });
  return (await ended(child, "stator up")).code ?? 1;
}

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
  const names = [...(await missingPackages(packagesFor(facts.distribution)))];
  if (nodeOf(ownRoot) === undefined && programNamed("npm") === undefined) names.push("npm");
  if (names.length === 0) return;
  await progress.step(`Installing ${names.length} packages with apt`, (detail) => installPackages(names, detail));
}

/** `./bin/up` as it can be typed where the person is. */
function commandLine(): string {
  const path = relative(process.cwd(), join(ownRoot, "bin", "up"));
  return path.startsWith("..") ? join(ownRoot, "bin", "up") : `./${path}`;
}
