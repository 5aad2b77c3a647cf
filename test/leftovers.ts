import { existsSync, globSync, readFileSync } from "node:fs";
import { run } from "../src/lib/command.ts";
import type { Instance } from "../src/model/instance.ts";

/** Everything on this machine that carries the instance's id or lies in its home; empty after an uninstall. */
export async function leftoversOf(instance: Instance): Promise<readonly string[]> {
  const mark = `${instance.id}`;
  const has = (text: string) => text.includes(mark) || text.includes(instance.home);
  const lines = async (program: string, args: readonly string[]) =>
    (await run(program, args).catch(() => ({ stdout: "" }))).stdout.split("\n").filter(has);
  const processes = globSync("/proc/[0-9]*/cmdline")
    .filter((path) => path !== `/proc/${process.pid}/cmdline`)
    .map((path) => `process ${path.split("/")[2]}: ${readQuietly(path).replaceAll("\0", " ").trim()}`)
    .filter(has);
  const folders = [
    instance.home,
    instance.paths.run,
    ...globSync(`/sys/fs/cgroup/{,*/,*/*/}*${instance.cgroup}*`),
    ...globSync(`/run/netns/${instance.netnsPrefix}*`),
    ...globSync(`/etc/{systemd/system,init.d,cron.d}/*${mark}*`),
  ].filter((path) => existsSync(path));
  const text = (path: string) =>
    readQuietly(path)
      .split("\n")
      .filter(has)
      .map((line) => `${path}: ${line}`);
  return [
    ...processes,
    ...folders.map((path) => `folder ${path}`),
    ...text("/proc/self/mounts"),
    ...["passwd", "group", "subuid", "subgid"].flatMap((name) => text(`/etc/${name}`)),
    ...(await lines("ip", ["-o", "link"])),
    ...(await lines("ip", ["netns", "list"])),
    ...(await lines("nft", ["list", "tables"])),
    ...(await lines("losetup", ["-a"])),
  ];
}

function readQuietly(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it went while we looked
  }
}
