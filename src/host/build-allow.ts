import { lookup } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Instance } from "../model/instance.ts";

/**
 * Where build dynos may connect although it is private: the machine's package registry and proxies, as `up` wrote them into
 * build-settings.json (root's file). Names that do not resolve now are left out; this is asked again.
 */
export async function allowedForBuilds({
  home,
}: Instance): Promise<readonly { readonly address: string; readonly port: number }[]> {
  const urls = urlsOf(await readFile(join(home, "build-settings.json"), "utf8").catch(() => "{}")); // none: nothing special
  const found = await Promise.all(
    urls.map(async ({ host, port }) => {
      const addresses = await lookup(host, { all: true, family: 4 }).catch(() => []); // not now
      return addresses.map(({ address }) => ({ address, port }));
    }),
  );
  return found.flat();
}

/** Host and port of each address in the settings. Pure. */
export function urlsOf(text: string): readonly { readonly host: string; readonly port: number }[] {
  const settings: unknown = JSON.parse(text);
  const value = (from: unknown, key: string): unknown =>
    typeof from === "object" && from !== null ? Reflect.get(from, key) : undefined;
  const proxy = value(settings, "proxy");
  return [value(settings, "registry"), value(proxy, "http"), value(proxy, "https")].flatMap((each) => {
    if (typeof each !== "string" || !URL.canParse(each)) return [];
    const url = new URL(each);
    const port = Number(url.port) || (url.protocol === "https:" ? 443 : 80);
    return [{ host: url.hostname.replace(/^\[|\]$/g, ""), port }];
  });
}
