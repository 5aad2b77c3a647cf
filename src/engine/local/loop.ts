import { existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import type { Clock } from "../../lib/clock.ts";
import { CommandError, run } from "../../lib/command.ts";

const LOOP_MAJOR = 7;
const ATTEMPTS = 20;

export interface ImageMount {
  readonly image: string;
  readonly at: string;
  readonly type: "erofs" | "btrfs" | "ext4";
  readonly options: readonly string[];
  readonly readOnly: boolean;
}

/** Mounts a file-system image through a loop device that goes away with the mount. */
export async function mountImage({ image, at, type, options, readOnly }: ImageMount): Promise<void> {
  const device = await attachLoop(image, readOnly);
  try {
    await run("mount", ["-t", type, "-o", [...options, readOnly ? "ro" : "rw"].join(","), "--", device, at]);
  } finally {
    await run("losetup", ["--detach", device]); // by the kernel, once the mount is gone too
  }
}

/** The mounts of this process's namespace: where, and how each is called. */
export async function mountsBelow(folder: string): Promise<readonly string[]> {
  const lines = (await readFile("/proc/self/mounts", "utf8")).split("\n");
  return lines.map((line) => line.split(" ")[1] ?? "").filter((at) => at === folder || at.startsWith(`${folder}/`));
}

export async function isMounted(at: string): Promise<boolean> {
  return (await mountsBelow(at)).includes(at);
}

/** Unmounts whatever is there, however often it was mounted over; repeatable. */
export async function unmount(at: string): Promise<void> {
  while (await isMounted(at)) {
    await run("umount", ["--", at]).catch(async (error: unknown) => {
      // Busy: something looks into it. It vanishes from sight now and goes with its last user.
      if (await isMounted(at)) await run("umount", ["--lazy", "--", at]).catch(() => Promise.reject(error));
    });
  }
}

/**
 * Waits until no loop device holds a file below `folder`; the kernel takes mounts apart in the background. Detaches those
 * from which nothing was mounted.
 */
export async function untilNoLoops(folder: string, clock: Clock): Promise<void> {
  const deadline = clock.now() + GONE_MS_MAX;
  const never = new AbortController().signal;
  for (;;) {
    const left = await loopsBelow(folder);
    if (left.length === 0) return;
    if (clock.now() > deadline) throw new Error(`${left.join(", ")} still holds a file below ${folder}`);
    for (const device of left) await run("losetup", ["--detach", device]).catch(() => {}); // it may be gone by now
    await clock.sleep(20, never);
  }
}

/**
 * Lets go of the loop devices that hold this file, or files below this folder; of those that are mounted once they are not. Whoever was
 * killed between attaching and mounting leaves one, which nothing finds any more once its file is gone or hidden.
 */
export async function detachLoops(path: string): Promise<void> {
  for (const device of await loopsBelow(path)) await run("losetup", ["--detach", device]).catch(() => {}); // it may be gone by now
}

const GONE_MS_MAX = 10_000;

async function loopsBelow(folder: string): Promise<readonly string[]> {
  const { stdout } = await run("losetup", ["--list", "--json", "--output", "NAME,BACK-FILE"]);
  if (stdout.trim() === "") return [];
  const list = JSON.parse(stdout) as { readonly loopdevices?: readonly { name: string; "back-file": string | null }[] };
  const ours = (list.loopdevices ?? []).filter((each) => {
    const file = each["back-file"];
    return file === folder || file?.startsWith(`${folder}/`);
  });
  return ours.map(({ name }) => name);
}

async function attachLoop(image: string, readOnly: boolean): Promise<string> {
  const { size } = await stat(image);
  const direct = size % 4096 === 0 ? ["--direct-io=on"] : []; // the pages are cached once, not twice
  for (let attempt = 1; ; attempt++) {
    try {
      const flags = ["--find", "--show", ...(readOnly ? ["--read-only"] : [])];
      return (await run("losetup", [...flags, ...direct, image])).stdout.trim();
    } catch (error) {
      if (!(error instanceof CommandError) || attempt === ATTEMPTS) throw error;
      await makeLoopNode(); // or another process took the device that we were shown: again
      if (attempt > 2) direct.length = 0; // not every file system has it
    }
  }
}

/** In a container `/dev` is a tmpfs: the kernel makes devices, but nobody makes their files. */
async function makeLoopNode(): Promise<void> {
  if (!existsSync("/dev/loop-control")) await run("mknod", ["/dev/loop-control", "c", "10", "237"]);
  const device = (await run("losetup", ["--find"])).stdout.trim();
  const number = /^\/dev\/loop(\d+)$/.exec(device)?.[1];
  if (number !== undefined && !existsSync(device))
    await run("mknod", [device, "b", String(LOOP_MAJOR), number]).catch(() => {}); // somebody else just did
}
