import { mkdir, readdir, readFile, readlink, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Instance } from "../../model/instance.ts";

interface Forwarding {
  readonly file: string;
  /** Exists while forwarding was turned on by us, the same for all instances: one file in it for each that needs it. */
  readonly registry: string;
}

const IPV4: Forwarding = { file: "/proc/sys/net/ipv4/ip_forward", registry: "/run/stator-ip-forward" };
const IPV6: Forwarding = { file: "/proc/sys/net/ipv6/conf/all/forwarding", registry: "/run/stator-ip6-forward" };
const INTERFACES_6 = "/proc/sys/net/ipv6/conf";

/** Turns forwarding on if it is off, of IPv6 too where dynos have it, and remembers that it was we who did. */
export async function needForwarding(instance: Instance, withIpv6: boolean): Promise<void> {
  await turnOn(IPV4, instance);
  if (!withIpv6) return;
  await keepAdvertisements();
  await turnOn(IPV6, instance);
}

/** Turns it off again when we turned it on and no other instance needs it. Repeatable. */
export async function releaseForwarding(instance: Instance): Promise<void> {
  for (const each of [IPV4, IPV6]) await turnOff(each, instance);
}

async function turnOn({ file, registry }: Forwarding, instance: Instance): Promise<void> {
  const ours = await folderOf(registry);
  if ((await readFile(file, "utf8")).trim() === "0") await mkdir(ours, { recursive: true });
  // Somebody else's forwarding has no folder, and then nothing is to be given back.
  await writeFile(join(ours, instance.id), "").catch(ignoreMissing);
  await writeFile(file, "1");
}

async function turnOff({ file, registry }: Forwarding, instance: Instance): Promise<void> {
  const ours = await folderOf(registry);
  await rm(join(ours, instance.id), { force: true });
  try {
    await rmdir(ours);
  } catch {
    return; // not there: not ours to turn off; not empty: another instance needs it
  }
  await rmdir(registry).catch(() => {}); // another boot's folder may lie beside
  await writeFile(file, "0");
}

/**
 * A machine that forwards IPv6 takes no more router advertisements, and would lose its own way out, unless its interfaces say
 * 2 (`accept_ra`): take them all the same. Without forwarding 2 means what 1 does, so it is left so.
 */
async function keepAdvertisements(): Promise<void> {
  for (const name of await readdir(INTERFACES_6)) {
    const file = join(INTERFACES_6, name, "accept_ra");
    const value = await readFile(file, "utf8").catch(() => ""); // it just went away
    if (value.trim() === "1" && !/^(all|default|lo|st[0-9a-f]{6}-.*)$/.test(name))
      await writeFile(file, "2").catch(ignoreMissing);
  }
}

/** A folder for this boot and this network namespace: `/run` may outlive both when it is not a tmpfs. */
async function folderOf(registry: string): Promise<string> {
  const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  const netns = /\d+/.exec(await readlink("/proc/self/ns/net"))?.[0] ?? "0";
  return join(registry, `${boot}-${netns}`);
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
}
