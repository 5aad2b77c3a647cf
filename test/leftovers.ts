import { existsSync, globSync, readFileSync } from "node:fs";
import { run } from "../src/lib/command.ts";
import type { Instance } from "../src/model/instance.ts";

/** Everything on this machine that carries the instance's id or lies in its home; empty after an uninstall. */
export function leftoversOf(instance: Instance): Promise<readonly string[]> {
  return find((text) => text.includes(instance.id) || text.includes(instance.home));
}

/** What is on the machine of any instance, and every temporary folder of a test. */
export function allOfOurs(): Promise<readonly string[]> {
  return find((text) =>
    /\bstator[-_][0-9a-f]{6}|\bst[0-9a-f]{6}-|\/run\/stator-|\/tmp\/(?:stator|stack-test)-/.test(text),
  );
}

async function find(isOurs: (text: string) => boolean): Promise<readonly string[]> {
  const lines = async (program: string, args: readonly string[]) =>
    (await run(program, args).catch(() => ({ stdout: "" }))).stdout.split("\n");
  const inFile = (path: string) =>
    readQuietly(path)
      .split("\n")
      .map((line) => `${path}: ${line}`);
  const processes = globSync("/proc/[0-9]*/cmdline")
    .filter((path) => path !== `/proc/${process.pid}/cmdline`)
    .map((path) => `process ${path.split("/")[2]}: ${readQuietly(path).replaceAll("\0", " ").trim()}`);
  const folders = [
    "/{tmp,var/tmp,run,opt/stator}/*",
    "/run/stator-*/*/*", // who needs forwarding, by instance (src/engine/local/network-forwarding.ts)
    "/var/lib/stator*",
    "/sys/fs/cgroup/{,*/,*/*/}stator*",
    "/run/netns/*",
    "/etc/{systemd/system,init.d,cron.d}/stator*",
  ].flatMap((pattern) => globSync(pattern));
  const all = [
    ...processes,
    ...folders.filter((path) => existsSync(path)).map((path) => `folder ${path}`),
    ...inFile("/proc/self/mounts"),
    ...["passwd", "group", "subuid", "subgid"].flatMap((name) => inFile(`/etc/${name}`)),
    ...(await lines("ip", ["-o", "link"])).map((line) => `interface ${line.replace(/^\d+: /, "").split(" ")[0]}`),
    ...(await lines("ip", ["netns", "list"])).map((line) => `network namespace ${line.split(" ")[0]}`),
    ...(await lines("nft", ["list", "tables"])),
    ...(await lines("losetup", ["-a"])),
  ];
  return [...new Set(all.filter(isOurs))];
}

function readQuietly(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it went while we looked
  }
}
