import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Clock, Instant } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import type { DynoSize } from "../../model/size.ts";
import { chargedBytes, type DynoUsage, type IoUsage, MEBIBYTE, type TaskUsage } from "../../model/usage.ts";
import type { ObservedState } from "../engine.ts";
import { type Cgroups, controllerFolder } from "./cgroup.ts";
import type { Labels } from "./dyno-folder.ts";
import { readKernelFile } from "./kernel-file.ts";
import type { DynoNetwork, NetworkPool } from "./network.ts";
import {
  ceilingOf,
  cpuMsOf,
  ioOfV1,
  ioOfV2,
  type MemoryCounters,
  memoryOfV1,
  memoryOfV2,
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
 * A dyno that ran no longer than this since all its files were read, and than this share of the time since, can have changed little:
 * what it took of memory meanwhile is less than what is between `NEAR_QUOTA` and its quota. An init that looks after its children
 * once a second takes 0.3 ms in 20 s.
 */
const IDLE_CPU_MS = 2;
const IDLE_CPU_SHARE = 0.00002;
const NEAR_QUOTA = 0.75;
/** So long it is believed; what the kernel takes back costs a dyno no time. */
const BELIEVED_MS = 180_000;
/** What dynos wrote is in the disks' counts by then. */
const WRITTEN_MS = 40_000;

/**
 * What dynos use, read from the kernel's own files: some six for each dyno that did anything and one for each that did not, one
 * program and one file for all of them together (disks, networks; the program only where any dyno did something). Two more
 * files for each task of the dynos whose tasks are asked for.
 */
export class UsageLook {
  readonly #parts: UsageParts;
  readonly #waits = new Map<string, Waits>();
  /** What all files of a dyno said when they were last read. */
  readonly #known = new Map<string, { readonly at: Instant; readonly counters: Counters }>();
  /** When a dyno was last seen to have done something, or to be new. */
  #activeAt: Instant = 0;
  #diskBytes: { readonly at: Instant; readonly bytes: ReadonlyMap<string, number> } | undefined;
  /** Where groups have a file of this name. */
  readonly #folders = new Map<string, string | undefined>();

  constructor(parts: UsageParts) {
    this.#parts = parts;
  }

  async of(dynos: readonly UsedDyno[], tasksOf: ReadonlySet<string>): Promise<readonly DynoUsage[]> {
    const found: Omit<DynoUsage, "diskBytes" | "network">[] = [];
    const watched = new Set(dynos.filter(({ labels }) => tasksOf.has(labels.appId)).map(({ labels }) => labels.id));
    if (tasksOf.size > 0) for (const id of this.#waits.keys()) if (!watched.has(id)) this.#waits.delete(id);
    for (const [at, dyno] of dynos.entries()) {
      if (at % DYNOS_AT_ONCE === DYNOS_AT_ONCE - 1) await new Promise(setImmediate);
      const { id, appId, kind, name } = dyno.labels;
      const quotaBytes = dyno.size.memoryMb * MEBIBYTE;
      const counters = dyno.state.kind === "running" ? this.#counters(id, quotaBytes, watched.has(id)) : undefined;
      if (dyno.state.kind !== "running" || counters === undefined) continue; // it has just ended
      found.push({
        id,
        appId,
        kind,
        name,
        at: this.#parts.clock.now(),
        since: dyno.state.since,
        ...counters,
        memory: { ...counters.memory, quotaBytes },
        tasks: watched.has(id) ? this.#tasks(id) : null,
      });
    }
    const ids = new Set(found.map(({ id }) => id));
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id);
    const [disks, traffic] = await Promise.all([
      this.#disks(),
      this.#parts.network.traffic().catch(this.#untold("network")),
    ]);
    const indexes = new Map(dynos.map(({ labels, network }) => [labels.id, network?.index]));
    return found.map((usage) => ({
      ...usage,
      diskBytes: disks?.get(dynoVolumeOf(usage.id)) ?? null,
      network: traffic?.get(indexes.get(usage.id) ?? -1) ?? null,
    }));
  }

  /** As they were, while no dyno has done anything since. */
  async #disks(): Promise<ReadonlyMap<string, number> | undefined> {
    const { store, clock } = this.#parts;
    const known = this.#diskBytes;
    if (known !== undefined && known.at - this.#activeAt >= WRITTEN_MS) return known.bytes;
    const at = clock.now();
    const bytes = await store.used().catch(this.#untold("disk"));
    this.#diskBytes = bytes && { at, bytes };
    return bytes;
  }

  #untold(what: string): (error: unknown) => undefined {
    return (error) => {
      this.#parts.logger.warn("usage.unknown", { what, error });
      return undefined;
    };
  }

  /** Read anew, but for a dyno that hardly ran since they were read. undefined: its group is gone. */
  #counters(id: string, quotaBytes: number, isWatched: boolean): Counters | undefined {
    const { cgroups, clock } = this.#parts;
    const cpu = this.#read(id, cgroups.kind === "v1" ? "cpuacct.usage" : "cpu.stat");
    if (cpu === undefined) return undefined;
    const cpuMs = cpuMsOf(cgroups.kind, cpu);
    const known = this.#known.get(id);
    const ageMs = known === undefined ? 0 : clock.now() - known.at;
    const ranMs = cpuMs - (known?.counters.cpuMs ?? Number.NEGATIVE_INFINITY);
    const hasRun = ranMs >= IDLE_CPU_MS + Math.max(0, ageMs) * IDLE_CPU_SHARE;
    if (known !== undefined && !hasRun && !isWatched && ageMs >= 0 && ageMs < BELIEVED_MS) {
      const isNear = chargedBytes(known.counters.memory) >= quotaBytes * NEAR_QUOTA;
      if (!isNear) return { ...known.counters, cpuMs };
    }
    const counters = this.#allCounters(id, cpuMs);
    if (counters === undefined) return undefined;
    if (hasRun) this.#activeAt = clock.now();
    this.#known.set(id, { at: clock.now(), counters });
    return counters;
  }

  #allCounters(id: string, cpuMs: number): Counters | undefined {
    const isV1 = this.#parts.cgroups.kind === "v1";
    const [stat, processes] = [this.#read(id, "memory.stat"), this.#read(id, "pids.current")];
    const ceiling = this.#read(id, isV1 ? "memory.limit_in_bytes" : "memory.max");
    if (stat === undefined || processes === undefined) return undefined;
    const io = isV1 ? this.#ioV1(id) : this.#ioV2(id);
    const memory = isV1 ? memoryOfV1(stat) : memoryOfV2(stat, this.#read(id, "memory.swap.current"), io);
    return {
      memory: { ...memory, ceilingBytes: ceiling === undefined ? null : ceilingOf(ceiling) },
      cpuMs,
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
