import { existsSync, globSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { cleanInstance, stopAll } from "../../engine/local/clean.ts";
import { removeNetwork } from "../../engine/local/network.ts";
import { run } from "../../lib/command.ts";
import { DEFAULT_HOME, type Instance } from "../../model/instance.ts";
import { credentialsPath, forgetCredential, readCredentials } from "../credentials.ts";
import { accountNamed, person, removeAccounts } from "./accounts.ts";
import { layoutOf } from "./layout.ts";
import { unlinkFromPath } from "./link.ts";
import type { Progress } from "./progress.ts";
import { endProcesses, serviceOf } from "./service.ts";
import { cgroupParentOf } from "./units.ts";

/**
 * Takes an instance away, by its id and its home alone, so that it works whatever half of it is there. Each step may be
 * repeated; one that fails does not keep the others from being done, and the first failure is thrown at the end.
 */
export async function removeInstance(instance: Instance, progress: Progress): Promise<void> {
  const failures: unknown[] = [];
  const step = (title: string, work: () => Promise<void>) =>
    progress.step(title, work).catch((error: unknown) => void failures.push(error));
  const service = serviceOf(instance);
  const cgroupParent = cgroupParentOf(instance);
  await step("Stopping the platform", async () => {
    await service.stop();
    await endProcesses(instance, ["router", "router-worker"]);
  });
  await step("Stopping all dynos", async () => {
    await stopAll(instance, GRACE_MS, { cgroupParent });
    await endProcesses(instance, ["conmon"]);
    await endUsersProcesses(instance);
    await service.forget();
  });
  await step("Removing network, mounts and control groups", async () => {
    await removeNetwork(instance);
    await cleanInstance(instance, { cgroupParent });
    await unmountAll(instance);
    await detachLoops(instance);
    await removeGroups(instance);
  });
  await step("Removing users and files", async () => {
    await removeAccounts(instance);
    await removeFiles(instance);
  });
  if (failures.length > 0) throw failures[0];
}

/** They are going for ever, and the person waits. */
const GRACE_MS = 10_000;

/** Whatever else runs as one of the instance's users. */
async function endUsersProcesses(instance: Instance): Promise<void> {
  const uids = new Set(
    Object.values(instance.users)
      .map((name) => accountNamed(name)?.uid)
      .filter((uid) => uid !== undefined),
  );
  const living = () =>
    readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => uids.has(Number(/^Uid:\s+(\d+)/m.exec(readIfThere(`/proc/${pid}/status`))?.[1] ?? -1)));
  for (let round = 0; round < 50 && living().length > 0; round++) {
    for (const pid of living()) killQuietly(Number(pid));
    await pause(100);
  }
}

/** Mounts below the home or the run folder, innermost first, and again while one shows another. */
async function unmountAll(instance: Instance): Promise<void> {
  const folders = [instance.home, instance.paths.run].map((path) => (existsSync(path) ? realpathSync(path) : path));
  for (let round = 0; round < 20; round++) {
    const mounts = readIfThere("/proc/self/mounts")
      .split("\n")
      .map((line) => unescapeMount(line.split(" ")[1] ?? ""))
      .filter((path) => folders.some((folder) => path.startsWith(`${folder}/`)) || isOurNamespace(path, instance))
      .toSorted((one, other) => other.length - one.length);
    if (mounts.length === 0) return;
    for (const path of mounts) await run("umount", ["--", path]).catch(() => run("umount", ["-l", "--", path]));
  }
}

function isOurNamespace(path: string, instance: Instance): boolean {
  return (
    path.startsWith(`/run/netns/${instance.netnsPrefix}`) || path.startsWith(`/var/run/netns/${instance.netnsPrefix}`)
  );
}

/** `\040` and the like, as the kernel prints blanks. */
function unescapeMount(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

async function detachLoops(instance: Instance): Promise<void> {
  const { stdout } = await run("losetup", ["--list", "--noheadings", "--output", "NAME,BACK-FILE"]);
  for (const line of stdout.split("\n")) {
    const [name, ...file] = line.trim().split(/\s+/);
    if (name === undefined || !file.join(" ").startsWith(`${instance.home}/`)) continue;
    await run("losetup", ["--detach", name]).catch(() => {}); // the kernel detaches it with its last mount
  }
}

/** The instance's control groups in every hierarchy, leaves first; the kernel takes a moment to forget processes. */
async function removeGroups(instance: Instance): Promise<void> {
  const roots = globSync(`/sys/fs/cgroup/{,*/,*/*/,*/*/*/}${instance.cgroup}`);
  for (let round = 0; round < 50; round++) {
    const folders = roots.flatMap((root) => (existsSync(root) ? below(root) : []));
    if (folders.length === 0) return;
    for (const folder of folders) await rmdir(folder).catch(() => {}); // still in use: next round
    await pause(100);
  }
  const left = roots.filter((root) => existsSync(root));
  if (left.length > 0) throw new Error(`control groups that cannot be removed: ${left.join(", ")}`);
}

/** A folder and all below it, leaves first. */
function below(folder: string): readonly string[] {
  const children = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [...children.flatMap((entry) => below(join(folder, entry.name))), folder];
}

async function removeFiles(instance: Instance): Promise<void> {
  await unlinkFromPath(instance);
  await rm(instance.paths.run, { recursive: true, force: true });
  await forgetTokens(instance);
  const { programs } = layoutOf(instance);
  await rm(instance.home, { recursive: true, force: true });
  await rm(programs, { recursive: true, force: true });
}

/** The person's token for this instance, and what `stator env` wrote beside it when it was the last one. */
async function forgetTokens(instance: Instance): Promise<void> {
  const who = person();
  const path = credentialsPath(who.home);
  const port = /^STATOR_API_PORT=(\d+)$/m.exec(readIfThere(instance.paths.settings))?.[1];
  const url = `http://127.0.0.1:${port ?? process.env["STATOR_API_PORT"] ?? 5480}`;
  await forgetCredential(url, path, { uid: who.uid, gid: who.gid });
  if (Object.keys(readCredentials(path)).length > 0) return;
  const folder = dirname(path);
  for (const name of ["credentials.json", "ca.pem", "ca-bundle.pem"]) await rm(join(folder, name), { force: true });
  // Not there, or something of the person's own is in it.
  for (const each of [folder, dirname(folder)]) await rmdir(each).catch(() => {});
  if (instance.home === DEFAULT_HOME) await rm(join(who.home, ".cache", "stator"), { recursive: true, force: true });
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended by itself
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
