import { run } from "../src/lib/command.ts";

/** Installs those of the distribution's packages that are not there: what only a test needs. Needs root. */
export async function ensurePackages(
  names: readonly string[],
  onInstall: (missing: readonly string[]) => void = () => {},
): Promise<void> {
  const missing = (await Promise.all(names.map(async (name) => ((await isInstalled(name)) ? [] : [name])))).flat();
  if (missing.length === 0) return;
  onInstall(missing);
  await run("apt-get", ["install", "-y", "-q", "--no-install-recommends", ...missing], {
    env: { DEBIAN_FRONTEND: "noninteractive" },
    timeoutMs: 600_000,
  });
}

async function isInstalled(name: string): Promise<boolean> {
  const found = await run("dpkg-query", ["-W", "-f=${Status}", name]).catch(() => ({ stdout: "" })); // never heard of it
  return found.stdout.includes("install ok installed");
}
