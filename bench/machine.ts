import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { run } from "../src/lib/command.ts";
import { checkout } from "./instance.ts";
import type { Machine } from "./table.ts";

/** This machine, and the versions of the programs that were measured. */
export async function thisMachine(programs: readonly string[]): Promise<Machine> {
  const [first] = cpus();
  const { version } = JSON.parse(readFileSync(join(checkout, "package.json"), "utf8")) as { version: string };
  const asked = programs.map(async (name) => [name, await versionOf(name)] as const);
  const found = (await Promise.all(asked)).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return {
    date: new Date().toISOString().slice(0, 16).replace("T", " "),
    processors: cpus().length,
    model: first?.model ?? "processor",
    memoryMb: Math.round(totalmem() / 1024 ** 2),
    kernel: release(),
    versions: { stator: version, node: process.versions.node, ...Object.fromEntries(found) },
  };
}

async function versionOf(name: string): Promise<string | undefined> {
  const program = ["docker", "podman"].includes(name) ? `/usr/bin/${name}` : name;
  const said = await run(program, [["haproxy", "nginx"].includes(name) ? "-v" : "--version"]).catch(() => undefined); // not installed
  return /\d+\.\d+(\.\d+)?/.exec(`${said?.stdout ?? ""}${said?.stderr ?? ""}`)?.[0];
}
