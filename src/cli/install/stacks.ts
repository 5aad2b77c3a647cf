import type { Instance } from "../../model/instance.ts";
import type { Progress } from "./progress.ts";

/** Builds the stacks that are not there yet. */
export async function buildStacks(_instance: Instance, _progress: Progress): Promise<void> {}
