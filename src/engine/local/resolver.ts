import { Resolver } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { isIPv4 } from "node:net";

/** Where a host says which name servers it uses. */
export interface ResolverFiles {
  readonly main: string;
  /** The servers behind systemd-resolved's stub, which answers on the loopback interface only. */
  readonly behindStub: string;
}

export const RESOLVER_FILES: ResolverFiles = {
  main: "/etc/resolv.conf",
  behindStub: "/run/systemd/resolve/resolv.conf",
};

const SYSTEMD_STUBS = new Set(["127.0.0.53", "127.0.0.54"]);

/** The host's name servers that a dyno can be led to, best first, from the text of both files ("" where one is missing). */
export function usableResolvers(main: string, behindStub: string): readonly string[] {
  const named = nameServers(main);
  const servers = named.length === 0 ? ["127.0.0.1"] : named; // what the C library does with an empty file
  const behind = nameServers(behindStub);
  // Its stub takes packets of the loopback interface only; whatever else listens on 127.0.0.53 has no such file.
  const usable =
    behind.length > 0 && servers.some((each) => SYSTEMD_STUBS.has(each))
      ? [...servers.filter((each) => !SYSTEMD_STUBS.has(each)), ...behind]
      : servers;
  return [...new Set(usable.filter((each) => isIPv4(each)))];
}

export function nameServers(text: string): readonly string[] {
  return text
    .split("\n")
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1])
    .filter((server) => server !== undefined);
}

export async function readResolvers(files: ResolverFiles): Promise<readonly string[]> {
  const [main, behindStub] = await Promise.all([readOrEmpty(files.main), readOrEmpty(files.behindStub)]);
  return usableResolvers(main, behindStub);
}

/** The first server that answers anything at all; the first one if none does; undefined if there is none. */
export async function pickResolver(
  servers: readonly string[],
  answers: (server: string) => Promise<boolean> = resolverAnswers,
): Promise<string | undefined> {
  if (servers.length < 2) return servers[0];
  for (const server of servers) if (await answers(server)) return server;
  return servers[0];
}

/** Asks for the root's name servers; "no such name" and "refused" are answers too. */
export async function resolverAnswers(server: string): Promise<boolean> {
  const resolver = new Resolver({ timeout: 1500, tries: 2 });
  resolver.setServers([server]);
  try {
    await resolver.resolveNs(".");
    return true;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    return code !== "ETIMEOUT" && code !== "ECONNREFUSED" && code !== "ECANCELLED";
  }
}

async function readOrEmpty(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => ""); // a host without the file is a host without name servers
}
