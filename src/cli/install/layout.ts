import { existsSync, readlinkSync } from "node:fs";
import { basename, dirname, join, normalize } from "node:path";
import { DEFAULT_HOME, type Instance } from "../../model/instance.ts";

/** Where installed programs of an instance are, and which one runs now. */
export interface Layout {
  /** `/opt/stator`, or `$STATOR_HOME/program`: one folder for each version, root-owned. */
  readonly programs: string;
  /** Link to the version that runs. */
  readonly current: string;
}

export function layoutOf(instance: Instance): Layout {
  const programs = instance.home === DEFAULT_HOME ? "/opt/stator" : join(instance.home, "program");
  return { programs, current: join(programs, "current") };
}

/** The folder of the version that `current` names; undefined before the first install. */
export function currentProgram(layout: Layout): string | undefined {
  try {
    const target = join(layout.programs, basename(readlinkSync(layout.current)));
    return existsSync(target) ? target : undefined;
  } catch {
    return undefined; // no link yet
  }
}

/** The folder that this very code runs from: a checkout, or an installed program. */
export const ownRoot = normalize(join(import.meta.dirname, "..", "..", ".."));

export function isInstalledProgram(layout: Layout, root = ownRoot): boolean {
  return dirname(root) === layout.programs;
}

/** Node's own binary inside a program's toolchain; undefined if there is none for this machine. */
export function nodeOf(program: string): string | undefined {
  const node = join(program, "toolchain", "node_modules", `node-linux-${process.arch}`, "bin", "node");
  return existsSync(node) ? node : undefined;
}
