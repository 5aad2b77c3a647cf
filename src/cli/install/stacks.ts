import { buildStacks, isBuilt, STACK_NAMES } from "../../engine/local/stack.ts";
import type { Instance } from "../../model/instance.ts";
import { clientEnvironment } from "./client-programs.ts";
import type { Progress } from "./progress.ts";

/** Builds the stacks that are not there yet, or follow an older recipe. */
export async function ensureStacks(instance: Instance, progress: Progress): Promise<void> {
  const built = await Promise.all(STACK_NAMES.map((name) => isBuilt(instance, name)));
  if (built.every(Boolean)) return;
  const { HOME: _, ...env } = clientEnvironment();
  await progress.step("Building the stacks, once", (detail) => buildStacks({ instance, env, onProgress: detail }));
}
