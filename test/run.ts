import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { ended, start } from "../src/lib/command.ts";
import { instanceOf } from "../src/model/instance.ts";
import { allOfOurs, leftoversOf } from "./leftovers.ts";

/**
 * The end-to-end tests: installs an instance of its own from this checkout with `bin/up` (free ports, a home of its own, a
 * person's home of its own), runs `test/e2e`, uninstalls, and fails on anything left behind. Needs root. Arguments are test files;
 * none: all. STATOR_TEST_HOME names an instance to use again and to keep (for developing).
 */
const checkout = join(import.meta.dirname, "..");

async function main(files: readonly string[]): Promise<number> {
  if (process.getuid?.() !== 0)
    return complain("The end-to-end tests need root: they make namespaces, mounts and users.");
  const before = new Set(await allOfOurs());
  const kept = process.env["STATOR_TEST_HOME"];
  const base = kept ?? mkdtempSync("/var/tmp/stator-test-");
  chmodSync(base, 0o755); // dynos pass through it
  const home = join(base, "home");
  const env = { ...ownEnvironment(), ...(await freePorts(home)), STATOR_HOME: home, HOME: join(base, "person") };
  const stator = join(checkout, "bin", "stator");
  const statuses: [string, number][] = [];
  const step = async (title: string, program: string, args: readonly string[]): Promise<boolean> => {
    process.stdout.write(`\n=== ${title}\n`);
    const status = await runHere(program, args, env);
    statuses.push([title, status]);
    return status === 0;
  };
  if (await step("bin/up on this machine", join(checkout, "bin", "up"), [])) {
    await step("bin/up again", join(checkout, "bin", "up"), []);
    const all = files.length > 0 ? files : [join(checkout, "test", "e2e", "*.test.ts")];
    await step("end-to-end tests", process.execPath, [
      "--test",
      "--test-concurrency=1",
      "--test-timeout=600000",
      ...all,
    ]);
  }
  if (kept === undefined) {
    await step("uninstall", stator, ["uninstall", "--yes"]);
    rmSync(base, { recursive: true, force: true });
    const mine = await leftoversOf(instanceOf(home));
    const left = [...new Set([...mine, ...(await allOfOurs()).filter((each) => !before.has(each))])];
    for (const each of left) process.stdout.write(`left behind: ${each}\n`);
    statuses.push(["nothing is left behind", left.length]);
  }
  for (const [title, status] of statuses) process.stdout.write(`${status === 0 ? "ok    " : "FAILED"} ${title}\n`);
  const failed = statuses.filter(([, status]) => status !== 0).length;
  process.stdout.write(`${statuses.length - failed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

function complain(text: string): number {
  process.stderr.write(`${text}\n`);
  return 1;
}

async function runHere(program: string, args: readonly string[], env: Record<string, string>): Promise<number> {
  const child = start(program, args, { env, cwd: checkout, stdio: ["ignore", "inherit", "inherit"] });
  return (await ended(child, program)).code ?? 1;
}

/** Settings with ports that nobody listens on now. An instance that is used again keeps its own. */
async function freePorts(home: string): Promise<Record<string, string>> {
  if (existsSync(join(home, "stator.env"))) return {};
  const names = ["STATOR_API_PORT", "STATOR_TLS_PORT", "STATOR_HTTP_PORT", "STATOR_HTTPS_PORT"];
  const servers = await Promise.all(names.map(() => listening()));
  const ports = servers.map((server) => String((server.address() as { port: number }).port)); // a TCP server has one
  for (const server of servers) server.close();
  return Object.fromEntries(names.map((name, index) => [name, ports[index] ?? ""]));
}

function listening(): Promise<import("node:net").Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "0.0.0.0", () => resolve(server));
  });
}

function ownEnvironment(): Record<string, string> {
  const pairs = Object.entries(process.env).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return Object.fromEntries(pairs.filter(([name]) => !name.startsWith("NODE_TEST_")));
}

process.exitCode = await main(process.argv.slice(2));
