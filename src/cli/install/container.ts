import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/command.ts";

/** What a privileged container lacks and a machine has; each of these does nothing where it is not needed. */
const LOOP_DEVICES = 64;
const CONTROL_GROUPS = "/sys/fs/cgroup";
/** Leaf for the processes that were in the container's own root group. */
const LEAF = "init";

/** Makes the nodes of loop devices: a container's `/dev` shows none that the kernel makes later. */
export async function makeLoopDevices(folder = "/dev"): Promise<void> {
  const node = async (name: string, kind: readonly string[]) => {
    const path = join(folder, name);
    if (!existsSync(path)) await run("mknod", ["-m", "0660", path, ...kind]).catch(() => {}); // no right to: `doctor` tells
  };
  await node("loop-control", ["c", "10", "237"]);
  const made = readdirSync(folder).filter((name) => /^loop\d+$/.test(name)).length;
  if (made >= 8 && !inContainer()) return; // a machine's udev makes more as they are needed
  for (let index = 0; index < LOOP_DEVICES; index++) await node(`loop${index}`, ["b", "7", String(index)]);
}

export function inContainer(): boolean {
  const first = readIfThere("/proc/1/environ") ?? "";
  return (
    existsSync("/.dockerenv") || existsSync("/run/.containerenv") || /(?:^|\0)container=/.test(first) || rootIsOverlay()
  );
}

function rootIsOverlay(mounts = readIfThere("/proc/self/mounts") ?? ""): boolean {
  return mounts.split("\n").some((line) => / \/ overlay /.test(` ${line.split(" ").slice(1).join(" ")}`));
}

/**
 * In a delegated cgroup v2 (a container's), a group that holds processes can give no controllers to groups below it: moves
 * those processes to a leaf, then switches the controllers on for the groups below. The machine's own root group may hold both.
 */
export async function leaveRootGroup(root = CONTROL_GROUPS): Promise<void> {
  if (!existsSync(join(root, "cgroup.controllers")) || !existsSync(join(root, "cgroup.type"))) return;
  const leaf = join(root, LEAF);
  await mkdir(leaf, { recursive: true });
  for (let round = 0; round < 5; round++) {
    const members = (readIfThere(join(root, "cgroup.procs")) ?? "").split("\n").filter((pid) => pid !== "");
    if (members.length === 0) break;
    for (const pid of members) writeQuietly(join(leaf, "cgroup.procs"), pid); // it may have ended
  }
  const controllers = (readIfThere(join(root, "cgroup.controllers")) ?? "").trim().split(" ");
  for (const controller of controllers) writeQuietly(join(root, "cgroup.subtree_control"), `+${controller}`);
}

function writeQuietly(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch {
    // a process that has ended, or a controller that is not to be had: the probe says what is missing
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
