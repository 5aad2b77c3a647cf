import { lstatSync, readlinkSync } from "node:fs";
import { rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { DEFAULT_HOME, type Instance } from "../../model/instance.ts";
import { layoutOf } from "./layout.ts";

const ON_PATH = "/usr/local/bin/stator";

/** Puts `stator` on everybody's PATH, for the machine's standing instance only; gives what people type to call it. */
export async function linkOnPath(instance: Instance): Promise<string> {
  const launcher = join(layoutOf(instance).current, "bin", "stator");
  if (instance.home !== DEFAULT_HOME) return launcher;
  const there = linkTarget();
  if (there === launcher) return "stator";
  if (there !== undefined) return launcher; // somebody else's program of that name stays
  const beside = `${ON_PATH}.${process.pid}`;
  await symlink(launcher, beside);
  await rename(beside, ON_PATH);
  return "stator";
}

/** Takes it away again, if it is ours. */
export async function unlinkFromPath(instance: Instance): Promise<void> {
  if (linkTarget() === join(layoutOf(instance).current, "bin", "stator")) await rm(ON_PATH);
}

/** What the link names; "" for a file of another kind; undefined for nothing. */
function linkTarget(): string | undefined {
  try {
    return lstatSync(ON_PATH).isSymbolicLink() ? readlinkSync(ON_PATH) : "";
  } catch {
    return undefined;
  }
}
