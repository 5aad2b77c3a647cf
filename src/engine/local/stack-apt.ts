import { readFile } from "node:fs/promises";
import { run } from "../../lib/command.ts";

/** What the machine's own apt says about where packages come from. */
export interface AptSettings {
  /** `deb ...` lines for the suite; empty: the machine is no Debian, mmdebstrap knows Debian's own mirror. */
  readonly sources: readonly string[];
  /** Lines for `apt.conf`: proxies, certificates, credentials' files, checks. */
  readonly options: readonly string[];
}

export async function readAptSettings(suite: string): Promise<AptSettings> {
  const [targets, dump] = await Promise.all([
    run("apt-get", ["indextargets", "Created-By: Packages"]),
    run("apt-config", ["dump"]),
  ]);
  const entries = parseTargets(targets.stdout);
  const files = [...new Set(entries.map((entry) => entry.file))];
  const texts = await Promise.all(
    files.map(async (file) => [file, await readFile(file, "utf8").catch(() => "")] as const),
  );
  return { sources: sourceLines(entries, new Map(texts), suite), options: acquireOptions(dump.stdout) };
}

interface Target {
  readonly origin: string;
  readonly label: string;
  readonly release: string;
  readonly uri: string;
  /** The file that names it. */
  readonly file: string;
}

/** Reads `apt-get indextargets`: paragraphs of `Name: value` lines. */
export function parseTargets(text: string): readonly Target[] {
  return text.split(/\n\n+/).flatMap((paragraph) => {
    const fields = new Map(
      paragraph.split("\n").map((line): [string, string] => {
        const colon = line.indexOf(": ");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 2).trim()];
      }),
    );
    const get = (name: string) => fields.get(name) ?? "";
    if (get("component") !== "main" || get("repo-uri") === "") return [];
    const file = get("sourcesentry").replace(/:\d+$/, "");
    return [{ origin: get("origin"), label: get("label"), release: get("release"), uri: get("repo-uri"), file }];
  });
}

/** The same mirrors, with the stack's suite instead of the machine's. */
export function sourceLines(
  targets: readonly Target[],
  files: ReadonlyMap<string, string>,
  suite: string,
): readonly string[] {
  const debian = targets.filter(({ origin }) => origin === "Debian");
  const lines = debian.flatMap(({ uri, label, release, file }) => {
    const key = signedBy(files.get(file) ?? "", uri);
    const line = (name: string) => `deb ${key === undefined ? "" : `[signed-by=${key}] `}${uri} ${name} main`;
    if (label === "Debian-Security" || release.includes("-security")) return [line(`${suite}-security`)];
    return /-(updates|backports|proposed)/.test(release) ? [] : [line(suite), line(`${suite}-updates`)];
  });
  return [...new Set(lines)];
}

/** The key file that the machine's sources demand for this address, in either format of those files. */
export function signedBy(text: string, uri: string): string | undefined {
  const address = uri.replace(/\/+$/, "");
  const entries = /^\s*URIs:/im.test(text) ? text.split(/\n\s*\n/) : text.split("\n");
  const entry = entries.find((each) => each.includes(address) && !each.trimStart().startsWith("#"));
  return /signed-by\s*[:=]\s*(\/[^\s\],]+)/i.exec(entry ?? "")?.[1];
}

/** How to fetch, out of `apt-config dump`; nothing of what to fetch or what to do afterwards. */
export function acquireOptions(dump: string): readonly string[] {
  const wanted = /^(Acquire::(http|https|Retries|Check-|ForceIPv|Allow|Max-)|Dir::Etc::netrc)/i;
  return dump
    .split("\n")
    .filter((line) => wanted.test(line) && !line.endsWith(' "";'))
    .map((line) => line.replace(/^(Dir::Etc::netrc\w*) "([^/].*)";$/, '$1 "/etc/apt/$2";'));
}
