import { buildStacks, isBuilt, STACK_NAMES } from "../../engine/local/stack.ts";
import type { Instance } from "../../model/instance.ts";
import { clientEnvironment } from "./client-programs.ts";
import type { Progress } from "./progress.ts";

/** Builds the stacks that are not there yet, or follow an older recipe. */
export async function ensureStacks(instance: Instance, progress: Progress): Promise<void> {
  const built = await Promise.all(STACK_NAMES.map((name) => isBuilt(instance, name)));
  if (built.every(Boolean)) return;
  await build("Building the stacks, once", instance, progress);
}

/** Builds both anew, of what the distribution has today. Those that stand stay if that fails. */
export const renewStacks = (instance: Instance, progress: Progress): Promise<void> =>
  build("Building the stacks of today's packages", instance, progress);

async function build(title: string, instance: Instance, progress: Progress): Promise<void> {
  const { HOME: _, ...env } = clientEnvironment();
  await progress.step(title, (detail) => buildStacks({ instance, env, onProgress: detail, anew: true }));
}
