import { stat } from "node:fs/promises";
import type { Finding } from "../engine/local/probe-judge.ts";
import { builtStack, STACK_NAMES, stackFiles } from "../engine/local/stack.ts";
import { type Instance, programOf } from "../model/instance.ts";

const [ID, TITLE] = ["stacks", "stacks"];
/** Debian's point releases come every two or three months, its security updates every few days. */
const OLD_MS = 60 * 86_400_000;

/** Of which day the packages are that dynos have; nothing before the first `up`. */
export async function stackFindings(instance: Instance, now: number): Promise<readonly Finding[]> {
  const stacks = await Promise.all(
    STACK_NAMES.map(async (name) => {
      const built = await builtStack(instance, name);
      if (built === undefined) return [];
      const { mtimeMs } = await stat(stackFiles(instance, name).image);
      return [{ name, builtAt: built.builtAt || mtimeMs }]; // an older program wrote none
    }),
  );
  const known = stacks.flat();
  return known.length === 0 ? [] : [judgeStacks(known, now, programOf(instance))];
}

/** Pure. */
export function judgeStacks(
  stacks: readonly { readonly name: string; readonly builtAt: number }[],
  now: number,
  program: string,
): Finding {
  const days = stacks.map(({ name, builtAt }) => `${name} of ${new Date(builtAt).toISOString().slice(0, 10)}`);
  const isOld = stacks.some(({ builtAt }) => now - builtAt > OLD_MS);
  const mend = `With the distribution's updates: sudo ${program} stack:update`;
  return { id: ID, title: TITLE, verdict: isOld ? "degraded" : "ok", detail: `${days.join(", ")}. ${mend}` };
}
