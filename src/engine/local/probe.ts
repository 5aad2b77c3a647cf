import type { DiskSetting } from "../../model/disk.ts";
import type { Instance } from "../../model/instance.ts";
import { gatherFacts } from "./probe-facts.ts";
import { type Finding, judge } from "./probe-judge.ts";

/** What this host offers for dynos, each with a verdict; whole only when asked by root. Changes nothing. `disk`: null: not tried. */
export async function probeHost(
  instance: Instance,
  disk: DiskSetting | null,
  host: number | "self" = "self",
): Promise<readonly Finding[]> {
  const [facts, limits] = await Promise.all([probeMachine(instance, disk, host), limitsOf(instance, host)]);
  return [...facts, ...limits];
}

/** Sizes are read with a package of npm's, and there is none before the first `up`: then that is said. */
async function limitsOf(instance: Instance, host: number | "self"): Promise<readonly Finding[]> {
  try {
    const { limitFindings } = await import("./limit-findings.ts");
    return await limitFindings(instance, host);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND")) throw error;
    const detail = "Told once the platform is installed: bin/up, then stator doctor.";
    return [{ id: "limits", title: "limits of dynos", verdict: "degraded", detail }];
  }
}

/** The same without the limits of dynos and their sizes; needs nothing but Node itself. */
export async function probeMachine(
  instance: Instance,
  disk: DiskSetting | null,
  host: number | "self" = "self",
): Promise<readonly Finding[]> {
  return judge(await gatherFacts(instance, host, disk));
}
