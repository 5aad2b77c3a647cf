import type { Instance } from "../../model/instance.ts";
import { limitFindings } from "./limit-findings.ts";
import { gatherFacts } from "./probe-facts.ts";
import { type Finding, judge } from "./probe-judge.ts";

/** What this host offers for dynos, each with a verdict; whole only when asked by root. Changes nothing. */
export async function probeHost(instance: Instance, host: number | "self" = "self"): Promise<readonly Finding[]> {
  const [facts, limits] = await Promise.all([gatherFacts(instance, host), limitFindings(instance, host)]);
  return [...judge(facts), ...limits];
}
