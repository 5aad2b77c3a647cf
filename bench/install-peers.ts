import { existsSync } from "node:fs";
import { chmod, rm, writeFile } from "node:fs/promises";
import { ended, run, start } from "../src/lib/command.ts";

/**
 * Installs the peers that `npm run bench` compares with, docker.io and podman from Debian, and the C compiler that makes the
 * measured program; for `npm run bench:router` wrk and nginx. No service of theirs is started: the benchmark starts a daemon of its own and stops it.
 */
const PACKAGES = ["docker.io", "podman", "gcc", "libc6-dev", "wrk", "nginx-light"];
/** Asked by every package's scripts before they start a service. */
const POLICY = "/usr/sbin/policy-rc.d";

async function main(): Promise<number> {
  if (process.getuid?.() !== 0) return complain("bench/install-peers needs root: it installs packages.");
  const missing: string[] = [];
  for (const name of PACKAGES) if (!(await isInstalled(name))) missing.push(name);
  if (missing.length === 0) return say("All of them are here: docker.io, podman, gcc, wrk, nginx.");
  if ((await apt(["update"])) !== 0) return complain("apt-get update failed; see above.");
  await using _quiet = await withoutServices();
  if ((await apt(["install", "--yes", "--no-install-recommends", ...missing])) !== 0)
    return complain(`apt-get could not install ${missing.join(", ")}; see above.`);
  return say(`Installed: ${missing.join(", ")}. apt-get remove takes them away again.`);
}

async function isInstalled(name: string): Promise<boolean> {
  const asked = await run("dpkg-query", ["--show", "--showformat=${db:Status-Abbrev}", "--", name]).catch(
    () => undefined,
  );
  return asked?.stdout.startsWith("ii") === true; // unknown packages end with status 1
}

async function apt(args: readonly string[]): Promise<number> {
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const child = start("apt-get", ["--quiet", ...args], { env, stdio: ["ignore", "inherit", "inherit"] });
  return (await ended(child, "apt-get")).code ?? 1;
}

/** Nobody asked for a docker daemon on this machine. A policy that is there already is left as it is. */
async function withoutServices(): Promise<AsyncDisposable> {
  if (existsSync(POLICY)) return { async [Symbol.asyncDispose]() {} };
  await writeFile(POLICY, "#!/bin/sh\nexit 101\n");
  await chmod(POLICY, 0o755);
  return { [Symbol.asyncDispose]: () => rm(POLICY, { force: true }) };
}

function say(text: string): number {
  process.stdout.write(`${text}\n`);
  return 0;
}

function complain(text: string): number {
  process.stderr.write(`${text}\n`);
  return 1;
}

process.exitCode = await main();
