import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/command.ts";
import type { Instance } from "../../model/instance.ts";
import { findCgroups } from "./cgroup.ts";
import { TRIAL_FLAGS } from "./gvisor.ts";
import { closeRuntimeNamespace, openRuntimeNamespace, type RuntimeName } from "./runtime.ts";

/** Whether a runtime started a container with the walls that dynos have; the reason when not. */
export interface TrialResult {
  readonly works: boolean;
  /** Whether `/proc` could be mounted in it. */
  readonly proc: boolean;
  readonly error: string;
}

/**
 * Starts `true` in a container with every namespace, the user namespace among them, and a `/proc` of its own, on the host's
 * own `/usr`. Limits are not part of it.
 */
export async function tryRuntime(name: RuntimeName | "runsc", instance: Instance): Promise<TrialResult> {
  const first = await trial(name, instance, true);
  if (first === "") return { works: true, proc: true, error: "" };
  const second = await trial(name, instance, false);
  return second === "" ? { works: true, proc: false, error: first } : { works: false, proc: false, error: second };
}

const WITHOUT_LIMITS: Readonly<Record<RuntimeName | "runsc", readonly string[]>> = {
  crun: ["--cgroup-manager=disabled"],
  runc: ["--rootless=true"],
  runsc: TRIAL_FLAGS,
};

async function trial(name: RuntimeName | "runsc", instance: Instance, proc: boolean): Promise<string> {
  const folder = await mkdtemp(`/run/stator-${instance.id}-trial-`);
  try {
    await chmod(folder, 0o711); // the namespace's root must pass
    for (const path of ["rootfs", "rootfs/usr", "rootfs/dev", "rootfs/proc", "state"]) await mkdir(join(folder, path));
    for (const path of ["bin", "lib", "lib64"]) await symlink(`usr/${path}`, join(folder, "rootfs", path));
    await writeFile(join(folder, "config.json"), JSON.stringify(trialConfig(proc)));
    const namespace = await openRuntimeNamespace(folder, await findCgroups(instance.cgroup, "/"), []);
    const args = [
      "--root",
      join(folder, "state"),
      ...WITHOUT_LIMITS[name],
      "run",
      "--bundle",
      folder,
      `stator-${instance.id}-trial`,
    ];
    if (namespace === null) await run(name, args, { timeoutMs: 10_000 });
    else await run("nsenter", [`--mount=${namespace}`, name, ...args], { timeoutMs: 10_000 });
    return "";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    await closeRuntimeNamespace(folder);
    await rm(folder, { recursive: true, force: true });
  }
}

function trialConfig(proc: boolean): unknown {
  const ids = [{ containerID: 0, hostID: 2_000_000_000, size: 65_536 }];
  const namespaces = ["pid", "ipc", "uts", "mount", "network", "user"];
  return {
    ociVersion: "1.0.2",
    process: {
      user: { uid: 1000, gid: 1000 },
      args: ["/usr/bin/true"],
      env: [],
      cwd: "/",
      noNewPrivileges: true,
    },
    root: { path: "rootfs" },
    mounts: [
      { destination: "/usr", source: "/usr", type: "bind", options: ["rbind", "ro"] },
      { destination: "/dev", source: "tmpfs", type: "tmpfs", options: ["mode=755"] },
      ...(proc ? [{ destination: "/proc", source: "proc", type: "proc" }] : []),
    ],
    linux: { namespaces: namespaces.map((type) => ({ type })), uidMappings: ids, gidMappings: ids },
  };
}
