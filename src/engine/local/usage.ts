import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import type { DynoSize } from "../../model/size.ts";
import { type DynoUsage, type IoUsage, MEBIBYTE, type TaskUsage } from "../../model/usage.ts";
import type { ObservedState } from "../engine.ts";
import { type Cgroups, controllerFolder } from "./cgroup.ts";
import type { Labels } from "./dyno-folder.ts";
import { readKernelFile } from "./kernel-file.ts";
import type { DynoNetwork, NetworkPool } from "./network.ts";
import {
  ceilingOf,
  ioOfV1,
  ioOfV2,
  type MemoryCounters,
  memoryOfV1,
  memoryOfV2,
  parseFlat,
  stateOf,
} from "./usage-counters.ts";
import type { LimitedStore } from "./volume-store.ts";
import { dynoVolumeOf } from "./workshop.ts";

export interface UsageParts {
  readonly cgroups: Cgroups;
  readonly store: Pick<LimitedStore, "used">;
  readonly network: Pick<NetworkPool, "traffic">;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What of the engine's dynos is needed here. */
export interface UsedDyno {
  readonly labels: Pick<Labels, "id" | "appId" | "kind" | "name">;
  readonly size: DynoSize;
  readonly state: ObservedState;
  readonly network: Pick<DynoNetwork, "index"> | null;
}

/** Files are read at once, which is far cheaper than by promises; after so many dynos others have their turn. */
const DYNOS_AT_ONCE = 16;
/** Tasks of one dyno that are looked at. */
const TASKS_MAX = 1024;

/**
 * What dynos use, read from the kernel's own files: some six for each dyno, one program and one file for all of them together
 * (disks, networks). Two more files for each task of the dynos whose tasks are asked for.
 */
export class UsageLook {
  readonly #parts: UsageParts;
  readonly #waits = new Map<string, Waits>();
  /** Where groups have a file of this name. */
  readonly #folders = new Map<string, string | undefined>();

  constructor(parts: UsageParts) {
    this.#parts = parts;
  }

  async of(dynos: readonly UsedDyno[], tasksOf: ReadonlySet<string>): Promise<readonly DynoUsage[]> {
    const { store, network, clock, logger } = this.#parts;
    const tell = (what: string) => (error: unknown) => logger.warn("usage.unknown", { what, error });
    const [disks, traffic] = await Promise.all([
      store.used().catch(tell("disk")),
      network.traffic().catch(tell("network")),
    ]);
    const usages: DynoUsage[] = [];
    const watched = new Set(dynos.filter(({ labels }) => tasksOf.has(labels.appId)).map(({ labels }) => labels.id));
    if (tasksOf.size > 0) for (const id of this.#waits.keys()) if (!watched.has(id)) this.#waits.delete(id);
    for (const [at, dyno] of dynos.entries()) {
      if (at % DYNOS_AT_ONCE === DYNOS_AT_ONCE - 1) await new Promise(setImmediate);
      const { id, appId, kind, name } = dyno.labels;
      const counters = dyno.state.kind === "running" ? this.#counters(id) : undefined;
      if (dyno.state.kind !== "running" || counters === undefined) continue; // it has just ended
      usages.push({
        id,
        appId,
        kind,
        name,
        at: clock.now(),
        since: dyno.state.since,
        ...counters,
        memory: { ...counters.memory, quotaBytes: dyno.size.memoryMb * MEBIBYTE },
        tasks: watched.has(id) ? this.#tasks(id) : null,
        diskBytes: disks?.get(dynoVolumeOf(id)) ?? null,
        network: (dyno.network && traffic?.get(dyno.network.index)) ?? null,
      });
    }
    return usages;
  }

  /** undefined: its group is gone. */
  #counters(id: string): Counters | undefined {
    const isV1 = this.#parts.cgroups.kind === "v1";
    const [stat, processes] = [this.#read(id, "memory.stat"), this.#read(id, "pids.current")];
    const cpu = this.#read(id, isV1 ? "cpuacct.usage" : "cpu.stat");
    const ceiling = this.#read(id, isV1 ? "memory.limit_in_bytes" : "memory.max");
    if (stat === undefined || processes === undefined || cpu === undefined) return undefined;
    const io = isV1 ? this.#ioV1(id) : this.#ioV2(id);
    const memory = isV1 ? memoryOfV1(stat) : memoryOfV2(stat, this.#read(id, "memory.swap.current"), io);
    return {
      memory: { ...memory, ceilingBytes: ceiling === undefined ? null : ceilingOf(ceiling) },
      cpuMs: isV1 ? Number(cpu) / 1e6 : (parseFlat(cpu).get("usage_usec") ?? 0) / 1e3,
      processes: Number(processes),
      io,
    };
  }

  #ioV1(id: string): IoUsage | null {
    const bytes = this.#read(id, "blkio.throttle.io_service_bytes_recursive");
    const operations = this.#read(id, "blkio.throttle.io_serviced_recursive");
    return bytes === undefined || operations === undefined ? null : ioOfV1(bytes, operations);
  }

  #ioV2(id: string): IoUsage | null {
    const stat = this.#read(id, "io.stat");
    return stat === undefined ? null : ioOfV2(stat);
  }

  /** The sum grows, although tasks end: what each of them waited since the last look is added to it. */
  #tasks(id: string): TaskUsage | null {
    // By a controller's hierarchy: version 1 has one of systemd's own, where the runtime may put nothing.
    const list = this.#read(id, this.#parts.cgroups.kind === "v1" ? "tasks" : "cgroup.threads", "pids.current");
    if (list === undefined) return null;
    const before = this.#waits.get(id) ?? { tasks: new Map<string, number>(), totalMs: 0 };
    const tasks = new Map<string, number>();
    let { totalMs } = before;
    let uninterruptible = 0;
    for (const task of list.split("\n").filter(Boolean).slice(0, TASKS_MAX)) {
      const [schedule, stat] = [readKernelFile(`/proc/${task}/schedstat`), readKernelFile(`/proc/${task}/stat`)];
      if (schedule === undefined || stat === undefined) continue; // it has just ended
      const waitedMs = Number(schedule.split(" ")[1] ?? 0) / 1e6;
      const known = before.tasks.get(task) ?? 0;
      tasks.set(task, waitedMs);
      totalMs += waitedMs >= known ? waitedMs - known : waitedMs; // else another one that got its number
      if (stateOf(stat) === "D") uninterruptible++;
    }
    this.#waits.set(id, { tasks, totalMs });
    return { waitedMs: totalMs, uninterruptible };
  }

  /** `beside`: the file that shows which hierarchy is meant. */
  #read(id: string, file: string, beside = file): string | undefined {
    if (!this.#folders.has(beside))
      this.#folders.set(beside, controllerFolder(this.#parts.cgroups, beside, existsSync));
    const folder = this.#folders.get(beside);
    return folder === undefined ? undefined : readKernelFile(join(folder, id, file));
  }
}

interface Counters {
  readonly memory: MemoryCounters & { readonly ceilingBytes: number | null };
  readonly cpuMs: number;
  readonly processes: number;
  readonly io: IoUsage | null;
}

interface Waits {
  readonly tasks: ReadonlyMap<string, number>;
  readonly totalMs: number;
}
