import type { Instance } from "../../model/instance.ts";
import { gatherFacts } from "./probe-facts.ts";
import { type Finding, judge } from "./probe-judge.ts";

/** What this host offers for dynos, each with a verdict; whole only when asked by root. Changes nothing. */
export async function probeHost(instance: Instance, host: number | "self" = "self"): Promise<readonly Finding[]> {
  // Not before: it reads sizes with a package of npm's, and `probeMachine` is asked before there is any.
  const { limitFindings } = await import("./limit-findings.ts");
  const [facts, limits] = await Promise.all([probeMachine(instance, host), limitFindings(instance, host)]);
  return [...facts, ...limits];
}

/** The same without the limits of dynos and their sizes; needs nothing but Node itself. */
export async function probeMachine(instance: Instance, host: number | "self" = "self"): Promise<readonly Finding[]> {
  return judge(await gatherFacts(instance, host));
}
