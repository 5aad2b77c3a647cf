import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isNewEnough } from "../../engine/local/gvisor.ts";
import { readAptSettings } from "../../engine/local/stack-apt.ts";
import { run } from "../../lib/command.ts";
import { clientEnvironment, runLoud } from "./client-programs.ts";
import { installPackages } from "./packages.ts";

/** Of Debian 13; it depends on no other package, so that it can be had on Debian 12 too, whose own is too old. */
const SUITE = "trixie";

/** Installs the package `runsc` in a version that serves: the machine's own, or Debian 13's. Throws `CommandError`. */
export async function installRunsc(detail: (text: string) => void): Promise<void> {
  detail("package lists");
  await runLoud("apt-get", ["-q", "update"], { env: environment(), onLine: () => {} });
  const { stdout } = await run("apt-cache", ["policy", "--", "runsc"]);
  if (isNewEnough(candidateOf(stdout))) await installPackages(["runsc"], detail);
  else await installFromDebian(detail);
}

/** The date in the version that `apt-cache policy` would install; null: none. */
export function candidateOf(policy: string): number | null {
  const date = /^\s*Candidate: 0\.0~(\d{8})/m.exec(policy)?.[1];
  return date === undefined ? null : Number(date);
}

/** Looks into lists of its own, which the machine's apt never sees, and installs that one package: dpkg takes no other along. */
async function installFromDebian(detail: (text: string) => void): Promise<void> {
  const folder = await mkdtemp("/var/tmp/stator-runsc-");
  try {
    for (const each of ["lists/partial", "cache/archives/partial"])
      await mkdir(join(folder, each), { recursive: true });
    const { sources } = await readAptSettings(SUITE);
    if (sources.length === 0)
      throw new Error(
        "This machine's apt has no runsc that serves, and knows no Debian mirror to take Debian 13's from: install runsc of June 2023 or newer, then try again.",
      );
    await writeFile(join(folder, "sources.list"), `${sources.join("\n")}\n`);
    const options = {
      "Dir::Etc::sourcelist": join(folder, "sources.list"),
      "Dir::Etc::sourceparts": "-",
      "Dir::State::lists": join(folder, "lists"),
      "Dir::Cache": join(folder, "cache"),
      "APT::Sandbox::User": "root", // whose folder this is
    };
    const args = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
    detail("Debian 13's package list");
    await runLoud("apt-get", ["-q", ...args, "update"], { env: environment(), onLine: () => {} });
    detail("Debian 13's runsc");
    await runLoud("apt-get", ["-q", ...args, "download", "runsc"], {
      env: environment(),
      cwd: folder,
      onLine: () => {},
    });
    const file = (await readdir(folder)).find((name) => name.endsWith(".deb"));
    if (file === undefined) throw new Error("apt-get download runsc has brought no package");
    await runLoud("dpkg", ["--install", join(folder, file)], { env: environment(), onLine: () => {} });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const environment = (): Readonly<Record<string, string>> => ({
  ...clientEnvironment(),
  DEBIAN_FRONTEND: "noninteractive",
  NEEDRESTART_MODE: "l",
});
