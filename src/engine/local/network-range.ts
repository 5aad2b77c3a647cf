import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../../lib/atomic-file.ts";
import { type Block, overlap, parseBlock } from "../../model/address-block.ts";
import type { Instance } from "../../model/instance.ts";
import { type AddressRange, blockOf, chooseRange } from "./address.ts";
import { ipJson } from "./network-commands.ts";
import { nameServers, RESOLVER_FILES } from "./resolver.ts";

/**
 * The instance's range of addresses: chosen once, then kept unless something else on the host takes it while no dyno of
 * ours is there. Routes do not tell all: name servers and whoever is connected may be reached by the default one, and our own would cut
 * them off. Throws when all of 10/8 is taken.
 */
export async function claimRange(instance: Instance): Promise<AddressRange> {
  const remembered = await rememberedRange(instance);
  const [routes, links] = await Promise.all([ipJson("-4", "route", "show", "table", "all"), ipJson("link")]);
  const standing = links.some((link) => text(link, "ifname").startsWith(instance.interfacePrefix));
  if (remembered && standing) return remembered;
  const kept = remembered && blockOf(remembered);
  const peers = (await peersNow()).filter((peer) => kept === undefined || !overlap(kept, peer)); // there: of our own dynos
  const range = chooseRange(instance.id, remembered, [...blocksOf(routes), ...(await nameServersNow()), ...peers]);
  if (range === undefined)
    throw new Error(
      "No block 10.x.0.0/16 is free on this host: its own routes and peers overlap with all 256 of them.",
    );
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

async function nameServersNow(): Promise<readonly Block[]> {
  return blocksOfAddresses((await textsOf(Object.values(RESOLVER_FILES))).flatMap(nameServers));
}

async function peersNow(): Promise<readonly Block[]> {
  return blocksOfAddresses((await textsOf(["/proc/net/tcp", "/proc/net/tcp6"])).flatMap(connectedPeers));
}

/** "" for what is not there: a machine without systemd-resolved, or without IPv6. */
const textsOf = (paths: readonly string[]): Promise<readonly string[]> =>
  Promise.all(paths.map((path) => readFile(path, "utf8").catch(() => "")));

/** IPv4 addresses of the far ends of connections that stand, from the text of `/proc/net/tcp` or `tcp6`. */
export function connectedPeers(text: string): readonly string[] {
  const peers = new Set<string>();
  for (const line of text.split("\n")) {
    const [, , , remote = "", state] = line.split(/\s+/);
    const hex = /^(?:0{16}FFFF0000)?([0-9A-F]{8}):/.exec(remote)?.[1];
    if (state !== "01" || hex === undefined) continue;
    const octets = [6, 4, 2, 0].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)); // as the processor has it
    peers.add(octets.join("."));
  }
  return [...peers];
}

const blocksOfAddresses = (addresses: readonly string[]): readonly Block[] =>
  addresses.map(parseBlock).filter((block) => block !== undefined);

function text(value: unknown, name: string): string {
  const found: unknown = typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
  return typeof found === "string" ? found : "";
}

const fileOf = (instance: Instance): string => join(instance.paths.host, "network.json");
