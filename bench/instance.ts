import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { ended, start } from "../src/lib/command.ts";

const MEMORY_OVERCOMMIT = 100;

export const checkout = join(import.meta.dirname, "..");

/**
 * An instance for the benchmark alone, installed from this checkout: free ports, a home of its own. STATOR_BENCH_HOME names one
 * to use again and to keep; STATOR_BENCH_STACKS a folder with built stacks (`host/stacks`) to copy, which saves minutes.
 * The environment names it from here on. Disposed of, nothing of it is left.
 */
export async function ownInstance(): Promise<AsyncDisposable> {
  const kept = process.env["STATOR_BENCH_HOME"];
  const base = kept ?? mkdtempSync("/var/tmp/stator-bench-");
  const home = join(base, "home");
  const isNew = !existsSync(join(home, "stator.env"));
  mkdirSync(join(base, "person"), { recursive: true });
  mkdirSync(home, { recursive: true });
  for (const folder of [base, home]) chmodSync(folder, 0o755); // dynos pass through it
  // 500 dynos of 512 MB are promised more often than an installation does by itself; they use next to none of it.
  writeFileSync(join(home, "sizes.json"), JSON.stringify({ memory_overcommit: MEMORY_OVERCOMMIT }), { mode: 0o644 });
  const stacks = process.env["STATOR_BENCH_STACKS"];
  if (isNew && stacks !== undefined) cpSync(join(stacks, "host"), join(home, "host"), { recursive: true });
  Object.assign(process.env, isNew ? await freePorts() : {}, { STATOR_HOME: home, HOME: join(base, "person") });
  if ((await own(join(checkout, "bin", "up"), [])) !== 0) throw new Error("bin/up failed; see above");
  return {
    async [Symbol.asyncDispose]() {
      if (kept !== undefined) return;
      await own(join(checkout, "bin", "stator"), ["uninstall", "--yes"]);
      rmSync(base, { recursive: true, force: true });
    },
  };
}

/** Its output goes to standard error: standard output has the table alone. */
async function own(program: string, args: readonly string[]): Promise<number> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter((pair): pair is [string, string] => pair[1] !== undefined),
  );
  const child = start(program, args, { env, cwd: checkout, stdio: ["ignore", 2, 2] });
  return (await ended(child, program)).code ?? 1;
}

async function freePorts(): Promise<Record<string, string>> {
  const names = ["STATOR_API_PORT", "STATOR_TLS_PORT", "STATOR_HTTP_PORT", "STATOR_HTTPS_PORT"];
  const servers = await Promise.all(names.map(() => listening()));
  const ports = servers.map((server) => String((server.address() as { port: number }).port)); // a TCP server has one
  for (const server of servers) server.close();
  return Object.fromEntries(names.map((name, index) => [name, ports[index] ?? ""]));
}

function listening(): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "0.0.0.0", () => resolve(server));
  });
}
