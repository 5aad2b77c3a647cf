import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import { checkArguments } from "../../model/boot.ts";
import type { CommandProbe, ProbeResult } from "../../model/health.ts";
import type { DynoFolder } from "./dyno-folder.ts";
import type { Runtime } from "./runtime.ts";

export interface CommandTarget {
  readonly id: string;
  readonly folder: DynoFolder;
  readonly runtime: Runtime;
  readonly clock: Clock;
  /** Aborted: the command is killed. */
  readonly signal: AbortSignal;
}

/** Holds what each command probe runs: the dyno's own process, with other arguments. Config vars are in it. */
export const CHECKS_FOLDER = "checks";

/** Runs the command inside the dyno, as the dyno's user, with its environment and behind its walls. Never rejects. */
export async function probeCommand(
  probe: CommandProbe,
  index: number,
  { id, folder, runtime, clock, signal }: CommandTarget,
  timeoutMs: number,
): Promise<ProbeResult> {
  try {
    const process = await processFile(probe, index, folder);
    const status = await runtime.exec({ id, process, pidFile: `${process}.pid`, timeoutMs, clock, signal });
    if (status === undefined) return { passed: false, text: `ran for more than ${timeoutMs / 1000} s and was killed` };
    return { passed: status === 0, text: `exited with status ${status}` };
  } catch {
    return { passed: false, text: "could not be run" }; // the dyno has ended, most likely: then nobody asks
  }
}

/** Made from the bundle at the first probe, by whichever host process that is. */
async function processFile(probe: CommandProbe, index: number, folder: DynoFolder): Promise<string> {
  const checks = folder.file(CHECKS_FOLDER);
  const file = join(checks, `${index}.json`);
  const bundle = JSON.parse(await readFile(folder.file("config.json"), "utf8")) as { readonly process: object }; // ours
  const { consoleSize: _size, ...own } = bundle.process as { readonly consoleSize?: unknown };
  await mkdir(checks, { recursive: true, mode: 0o700 });
  await writeFile(file, JSON.stringify({ ...own, terminal: false, args: checkArguments(probe.command) }), {
    mode: 0o600,
  });
  return file;
}
