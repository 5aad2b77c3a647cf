import type { Instance } from "../../model/instance.ts";
import { gatherFacts } from "./probe-facts.ts";
import { type Finding, judge } from "./probe-judge.ts";

/** What this host offers for dynos, each with a verdict; whole only when asked by root. Changes nothing. */
export async function probeHost(instance: Instance): Promise<readonly Finding[]> {
  return judge(await gatherFacts(instance));
}
