import { networkInterfaces } from "node:os";
import { rangeBlock } from "../engine/local/address.ts";
import { rememberedRange } from "../engine/local/network-range.ts";
import { parseBlock } from "../model/address-block.ts";
import type { Instance } from "../model/instance.ts";
import { isReachable } from "../outbound/reach.ts";
import { readAllowed } from "./network-allow.ts";

/** Where the daemon connects on behalf of an app: as the rules say that its dynos may, asked anew for each connection. */
export function reachOf(instance: Instance): (appId: string, address: string, port: number) => Promise<boolean> {
  return async (appId, address, port) => {
    const [{ apps }, range] = await Promise.all([readAllowed(instance), rememberedRange(instance)]);
    const own = Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map((one) => one.address));
    const dynos = range && parseBlock(rangeBlock(range));
    return isReachable(address, port, { allowed: apps.get(appId) ?? [], own, dynos });
  };
}
