import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "../src/lib/command.ts";
import { type Instance, instanceOf } from "../src/model/instance.ts";
import { freePort } from "./support/free-port.ts";

/** An instance for tests: where it is, and what a program's environment must be to mean it. */
export interface Installation {
  readonly base: string;
  readonly instance: Instance;
  readonly env: Readonly<Record<string, string>>;
}

/** Free ports, a home of its own, a person's home of its own. Nothing is installed yet. */
export async function installationAt(base: string): Promise<Installation> {
  mkdirSync(base, { recursive: true });
  chmodSync(base, 0o755); // dynos pass through it
  const home = join(base, "home");
  const own = { STATOR_HOME: home, HOME: join(base, "person") };
  return { base, instance: instanceOf(home), env: { ...ownEnvironment(), ...(await freePorts(home)), ...own } };
}

/** Gives another one what `bin/up` would fetch and make in the same way once more: stacks and program, as links to the same files. */
export async function sharePartsOf(from: Installation, to: Installation): Promise<void> {
  const { home } = to.instance;
  mkdirSync(join(home, "host"), { recursive: true });
  for (const part of ["program", join("host", "stacks")])
    await run("cp", ["--archive", "--link", "--", join(from.instance.home, part), join(home, part)]);
}

/** Settings with ports that nobody listens on now. An instance that is used again keeps its own. */
async function freePorts(home: string): Promise<Record<string, string>> {
  if (existsSync(join(home, "stator.env"))) return {};
  const names = ["STATOR_API_PORT", "STATOR_TLS_PORT", "STATOR_HTTP_PORT", "STATOR_HTTPS_PORT"];
  const ports: Record<string, string> = {};
  for (const name of names) ports[name] = String(await freePort());
  return ports;
}

function ownEnvironment(): Record<string, string> {
  const pairs = Object.entries(process.env).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return Object.fromEntries(pairs.filter(([name]) => !name.startsWith("NODE_TEST_")));
}
