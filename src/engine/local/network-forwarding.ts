import { mkdir, readFile, readlink, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Instance } from "../../model/instance.ts";

const SWITCH = "/proc/sys/net/ipv4/ip_forward";
/** Exists while forwarding was turned on by us, the same for all instances: one file in it for each that needs it. */
const REGISTRY = "/run/stator-ip-forward";

/** Turns IPv4 forwarding on if it is off, and remembers that it was we who did. */
export async function needForwarding(instance: Instance): Promise<void> {
  const ours = await registry();
  if ((await readFile(SWITCH, "utf8")).trim() === "0") await mkdir(ours, { recursive: true });
  // Somebody else's forwarding has no folder, and then nothing is to be given back.
  await writeFile(join(ours, instance.id), "").catch(ignoreMissing);
  await writeFile(SWITCH, "1");
}

/** Turns it off again when we turned it on and no other instance needs it. Repeatable. */
export async function releaseForwarding(instance: Instance): Promise<void> {
  const ours = await registry();
  await rm(join(ours, instance.id), { force: true });
  try {
    await rmdir(ours);
  } catch {
    return; // not there: not ours to turn off; not empty: another instance needs it
  }
  await rmdir(REGISTRY).catch(() => {}); // another boot's folder may lie beside
  await writeFile(SWITCH, "0");
}

/** A folder for this boot and this network namespace: `/run` may outlive both when it is not a tmpfs. */
async function registry(): Promise<string> {
  const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  const netns = /\d+/.exec(await readlink("/proc/self/ns/net"))?.[0] ?? "0";
  return join(REGISTRY, `${boot}-${netns}`);
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
}
