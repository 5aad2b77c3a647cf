import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Instance } from "../../model/instance.ts";
import type { StackName } from "../engine.ts";
import { isMounted, mountImage, mountsBelow, unmount } from "./loop.ts";
import { isBuilt, STACK_NAMES, stackFiles } from "./stack.ts";
import { RECIPES, recipeHash } from "./stack-recipe.ts";

export interface Stacks {
  /** The folder that is the root of every dyno on this stack. */
  mountOf(name: StackName): string;
}

/**
 * Mounts every stack read-only, once; a mount that stands is kept. After a change of the recipe the new image gets a mount of
 * its own, since dynos still run on the old one. Throws when a stack was not built.
 */
export async function mountStacks(instance: Instance): Promise<Stacks> {
  for (const name of STACK_NAMES) {
    if (!(await isBuilt(instance, name))) throw new Error(`The stack ${name} is not built. Run: stator up`);
    const at = mountPoint(instance, name);
    if (await isMounted(at)) continue;
    await mkdir(at, { recursive: true, mode: 0o755 });
    const { image } = stackFiles(instance, name);
    await mountImage({ image, at, type: "erofs", options: ["nodev", "nosuid"], readOnly: true });
  }
  return { mountOf: (name) => mountPoint(instance, name) };
}

/** Unmounts all stacks, those of older recipes too. Repeatable. */
export async function unmountStacks(instance: Instance): Promise<void> {
  const folder = stacksFolder(instance);
  for (const at of await mountsBelow(folder)) await unmount(at);
  await rm(folder, { recursive: true, force: true });
}

const stacksFolder = (instance: Instance): string => join(instance.paths.host, "mnt", "stacks");
const mountPoint = (instance: Instance, name: StackName): string =>
  join(stacksFolder(instance), name, recipeHash(RECIPES[name]));
