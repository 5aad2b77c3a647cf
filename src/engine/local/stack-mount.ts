import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Instance } from "../../model/instance.ts";
import type { StackName } from "../engine.ts";
import { isMounted, mountImage, mountsBelow, unmount } from "./loop.ts";
import { type BuiltStack, builtStack, STACK_NAMES, stackFiles } from "./stack.ts";
import { RECIPES, recipeHash } from "./stack-recipe.ts";

export interface Stacks {
  /** The folder that is the root of every dyno on this stack. */
  mountOf(name: StackName): string;
}

/**
 * Mounts every stack read-only, once; a mount that stands is kept. An image that was built since gets a mount of its own, for
 * the dynos that start from now on. The older one goes from sight: dynos on it have it mounted in namespaces of their own, and the
 * kernel lets go of it, its loop device and its image with the last of them. Throws when a stack was not built.
 */
export async function mountStacks(instance: Instance): Promise<Stacks> {
  const mounts = new Map<StackName, string>();
  for (const name of STACK_NAMES) {
    const built = await builtStack(instance, name);
    if (built?.recipe !== recipeHash(RECIPES[name])) throw new Error(`The stack ${name} is not built. Run: stator up`);
    const at = mountPoint(instance, name, built);
    mounts.set(name, at);
    if (await isMounted(at)) continue;
    await mkdir(at, { recursive: true, mode: 0o755 });
    const { image } = stackFiles(instance, name);
    await mountImage({ image, at, type: "erofs", options: ["nodev", "nosuid"], readOnly: true });
  }
  const wanted = new Set(mounts.values());
  // Their folders stay: with a folder the kernel takes what is mounted on it in every namespace.
  for (const at of new Set(await mountsBelow(stacksFolder(instance)))) if (!wanted.has(at)) await unmount(at);
  return { mountOf: (name) => mounts.get(name) ?? "" }; // each is there
}

/** Unmounts all stacks. Repeatable. */
export async function unmountStacks(instance: Instance): Promise<void> {
  const folder = stacksFolder(instance);
  for (const at of await mountsBelow(folder)) await unmount(at);
  await rm(folder, { recursive: true, force: true });
}

const stacksFolder = (instance: Instance): string => join(instance.paths.host, "mnt", "stacks");
const mountPoint = (instance: Instance, name: StackName, { recipe, builtAt }: BuiltStack): string =>
  join(stacksFolder(instance), name, builtAt === 0 ? recipe : `${recipe}-${builtAt}`);
