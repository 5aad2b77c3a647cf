import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { loadConfig } from "../../config.ts";
import { run, start } from "../../lib/command.ts";
import { guardAgainstShells } from "../../lib/guard.ts";
import type { Instance } from "../../model/instance.ts";
import { scopePath } from "./units.ts";

/**
 * Makes the scope unit in which the dynos' groups may lie, if it is not there: systemd hands it to us for as long as a process
 * is in it, so one that sleeps for ever is put there, in a leaf of its own.
 */
async function makeScope(instance: Instance): Promise<void> {
  const folder = join("/sys/fs/cgroup", scopePath(instance));
  if (existsSync(folder) || !existsSync("/sys/fs/cgroup/cgroup.controllers")) return;
  const holder = start("sleep", ["infinity"], { detached: true });
  const pid = String(holder.pid);
  holder.unref();
  const properties = [
    ["PIDs", "au", "1", pid],
    ["Delegate", "b", "true"],
    ["Slice", "s", `stator-${instance.id}.slice`],
    ["TasksMax", "t", "18446744073709551615"],
    ["Description", "s", `Stator (${instance.home}): dynos`],
  ];
  const manager = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];
  const call = ["StartTransientUnit", "ssa(sv)a(sa(sv))", `stator-${instance.id}-dynos.scope`, "fail"];
  await run("busctl", ["call", ...manager, ...call, String(properties.length), ...properties.flat(), "0"]);
  await untilInside(pid, scopePath(instance));
  const leaf = join(folder, "holder");
  mkdirSync(leaf);
  writeFileSync(join(leaf, "cgroup.procs"), pid);
}

/** systemd answers before the process has moved. */
async function untilInside(pid: string, scope: string): Promise<void> {
  const inside = () => readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(scope);
  for (let tries = 0; tries < 250 && !inside(); tries++) await pause(20);
  if (!inside()) throw new Error(`systemd did not move process ${pid} into ${scope}`);
}

guardAgainstShells();
await makeScope(loadConfig().instance);
