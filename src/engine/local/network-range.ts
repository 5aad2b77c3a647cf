import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../../lib/atomic-file.ts";
import { type Block, parseBlock } from "../../model/address-block.ts";
import type { Instance } from "../../model/instance.ts";
import { type AddressRange, chooseRange } from "./address.ts";
import { ipJson } from "./network-commands.ts";

/**
 * The instance's range of addresses: chosen once, then kept unless something else on the host takes it while no dyno of
 * ours is there. Throws when all of 10/8 is taken.
 */
export async function claimRange(instance: Instance): Promise<AddressRange> {
  const remembered = await rememberedRange(instance);
  const [routes, links] = await Promise.all([ipJson("-4", "route", "show", "table", "all"), ipJson("link")]);
  const standing = links.some((link) => text(link, "ifname").startsWith(instance.interfacePrefix));
  if (remembered && standing) return remembered;
  const range = chooseRange(instance.id, remembered, blocksOf(routes));
  if (range === undefined)
    throw new Error("No block 10.x.0.0/16 is free on this host: its own routes overlap with all 256 of them.");
  await mkdir(instance.paths.host, { recursive: true });
  await writeFileAtomic(fileOf(instance), `${JSON.stringify(range)}\n`, { mode: 0o644 });
  return range;
}

export async function forgetRange(instance: Instance): Promise<void> {
  await rm(fileOf(instance), { force: true });
}

/** What `network.json` says, if it is there and sound. */
export async function rememberedRange(instance: Instance): Promise<AddressRange | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(fileOf(instance), "utf8"));
    const octet: unknown = typeof value === "object" && value !== null ? Reflect.get(value, "octet") : undefined;
    return typeof octet === "number" && Number.isInteger(octet) && octet >= 0 && octet < 256 ? { octet } : undefined;
  } catch {
    return undefined; // missing or broken: chosen anew, from the id
  }
}

function blocksOf(routes: readonly unknown[]): readonly Block[] {
  return routes.map((route) => parseBlock(text(route, "dst"))).filter((block) => block !== undefined);
}

function text(value: unknown, name: string): string {
  const found: unknown = typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
  return typeof found === "string" ? found : "";
}

const fileOf = (instance: Instance): string => join(instance.paths.host, "network.json");
