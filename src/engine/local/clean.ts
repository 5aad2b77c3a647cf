import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { UUID } from "../../lib/uuid.ts";
import type { Instance } from "../../model/instance.ts";
import {
  type Cgroups,
  findCgroups,
  groupsOf,
  killQuietly,
  processesOf,
  removeInstanceGroups,
  signalGroup,
} from "./cgroup.ts";
import { endWaiting } from "./config-fifo.ts";
import { DynoFolder, dynoFolders, isAlive } from "./dyno-folder.ts";
import { GvisorRuntime } from "./gvisor.ts";
import { detachLoops, mountsBelow, unmount, untilNoLoops } from "./loop.ts";
import { closeRuntimeNamespace } from "./runtime.ts";

const LOOK_MS = 20;
const CONMON_MS = 1000;

/**
 * Ends every dyno of an instance, the polite way first: SIGTERM to all processes, SIGKILL to those that are left after
 * `graceMs`. Needs no host process, and expects none. Afterwards nothing is known of them, as after a reboot. Repeatable.
 */
export async function stopAll(
  instance: Instance,
  graceMs: number,
  options: { readonly cgroupParent?: string; readonly clock?: Clock } = {},
): Promise<void> {
  const clock = options.clock ?? systemClock;
  const cgroups = await findCgroups(instance.cgroup, options.cgroupParent ?? "");
  const dynos = (await groupsOf(cgroups)).filter((name) => UUID.test(name));
  await Promise.all(dynos.map((id) => askToEnd(instance, cgroups, id, clock)));
  await untilEmpty(cgroups, dynos, clock, clock.now() + graceMs);
  await forgetDynos(instance, cgroups, clock);
}

/** The processes that the machine sees of a dyno on gVisor are its kernel's: a signal to those would end it the hard way. */
async function askToEnd({ paths }: Instance, cgroups: Cgroups, id: string, clock: Clock): Promise<void> {
  const gvisor = new GvisorRuntime({ bundles: paths.bundles, namespace: null });
  if ((await gvisor.state(id)) === "running")
    await gvisor.signal(id, "TERM", clock).catch(() => {}); // it is killed in the end
  else await signalGroup(cgroups, id, "SIGTERM", clock);
}

/**
 * Takes away everything that the engine put on the host, by the instance's names alone: dynos, groups, mounts, loop devices
 * and the run folder. The files below its home stay. Repeatable.
 */
export async function cleanInstance(
  instance: Instance,
  options: { readonly cgroupParent?: string; readonly clock?: Clock } = {},
): Promise<void> {
  const clock = options.clock ?? systemClock;
  const cgroups = await findCgroups(instance.cgroup, options.cgroupParent ?? "");
  await forgetDynos(instance, cgroups, clock);
  const { host, run } = instance.paths;
  for (const folder of [host, run]) await detachLoops(folder); // before what they hold is hidden
  const mounts = [...(await mountsBelow(host)), ...(await mountsBelow(run))];
  for (const at of mounts.toReversed()) await unmount(at); // what was mounted last goes first
  for (const folder of [host, run]) await untilNoLoops(folder, clock);
  await rm(run, { recursive: true, force: true });
}

async function forgetDynos(instance: Instance, cgroups: Cgroups, clock: Clock): Promise<void> {
  const { bundles } = instance.paths;
  const ids = await dynoFolders(bundles).catch(() => []); // none where it is not mounted
  for (const id of ids) await endWaiting(join(bundles, id), clock);
  await removeInstanceGroups(cgroups, clock); // conmon too, which is in a group of ours
  for (const id of ids) await endConmon(new DynoFolder(bundles, id), clock); // but for those that made nothing yet
  await closeRuntimeNamespace(instance.paths.run);
  await unmount(bundles);
  await rm(join(instance.paths.run, "bundles"), { recursive: true, force: true });
}

/** It goes by itself once the runtime has, which was told to. */
async function endConmon(folder: DynoFolder, clock: Clock): Promise<void> {
  const conmon = await folder.conmon();
  if (conmon === undefined) return;
  const never = new AbortController().signal;
  const killAt = clock.now() + CONMON_MS;
  while (isAlive(conmon) && clock.now() < killAt) await clock.sleep(LOOK_MS, never);
  killQuietly(conmon.pid, "SIGKILL");
  while (isAlive(conmon) && clock.now() < killAt + CONMON_MS) await clock.sleep(LOOK_MS, never);
}

async function untilEmpty(cgroups: Cgroups, names: readonly string[], clock: Clock, deadline: number): Promise<void> {
  const never = new AbortController().signal;
  while (clock.now() < deadline) {
    const left = await Promise.all(names.map((name) => processesOf(cgroups, name)));
    if (left.every((processes) => processes.size === 0)) return;
    await clock.sleep(LOOK_MS, never);
  }
}
