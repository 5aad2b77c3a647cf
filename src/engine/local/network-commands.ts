import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/command.ts";

/** The few commands that the network is made of. */

/** Runs `ip -batch` on the host, or inside a namespace. */
export async function ipBatch(
  text: string,
  options: { readonly netns?: string; readonly force?: boolean } = {},
): Promise<void> {
  const inside = options.netns === undefined ? [] : ["-n", options.netns];
  await run("ip", [...inside, ...(options.force === true ? ["-force"] : []), "-batch", "-"], {
    input: text,
    timeoutMs: 120_000,
  });
}

/** Runs `nft -f` on a text; it needs a file, since Node's pipes are sockets to it (facts 1). `folder` is on tmpfs. */
export async function nftText(folder: string, text: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `rules.${process.pid}.${counter++}.nft`);
  try {
    await writeFile(path, text, { mode: 0o600 });
    await run("nft", ["-f", path]);
  } finally {
    await rm(path, { force: true });
  }
}

/** Loads a file of rules inside a namespace. */
export async function nftFileInside(netnsPath: string, path: string): Promise<void> {
  await run("nsenter", [`--net=${netnsPath}`, "nft", "-f", path]);
}

/** Parsed output of `ip -j`; it prints nothing at all for an empty list. */
export async function ipJson(...args: readonly string[]): Promise<readonly unknown[]> {
  const { stdout } = await run("ip", ["-j", ...args]);
  const parsed: unknown = stdout.trim() === "" ? [] : JSON.parse(stdout);
  return Array.isArray(parsed) ? parsed : [];
}

let counter = 0;
