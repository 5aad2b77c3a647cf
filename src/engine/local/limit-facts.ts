import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { run } from "../../lib/command.ts";
import { silentLogger } from "../../lib/logger.ts";
import type { Instance } from "../../model/instance.ts";
import { readSizes } from "../../sizes.ts";
import { shareOfRoot } from "./bundle.ts";
import { type Cgroups, findCgroups } from "./cgroup.ts";
import { ownLimits } from "./host-limits.ts";
import { tooLow } from "./host-sysctls.ts";
import { tryIo } from "./io-trial.ts";
import { storeOf } from "./limited-store.ts";
import { qdisc } from "./network-shaper.ts";
import { storeDevice } from "./store-device.ts";
import { openUserLimits } from "./user-limits.ts";

/** What was found of the limits that this host can hold; texts are why not, "" that it can. */
export interface LimitFacts {
  readonly root: boolean;
  readonly cgroup: Pick<Cgroups, "kind" | "swapLimit" | "tcpLimit" | "ioLimit"> | null;
  /** The disk below the store. */
  readonly device: string | null;
  /** A rate was written to a group of ours and read back; null: no group to try it in. */
  readonly ioTrial: string | null;
  readonly swapBytes: number;
  /** Tried on a pair of interfaces; null: not root. */
  readonly bandwidthTrial: string | null;
  /** Tried on a user namespace; null: not root. */
  readonly inotifyDivided: boolean | null;
  /** Counters of the machine that are too low and cannot be raised. */
  readonly stuck: readonly string[];
  /** Dynos whose pending signals and message queues root may hold. */
  readonly dynosOfRoot: number;
  /** Why the operator's file of sizes is refused. */
  readonly sizes: string;
}

/** Looks and tries; changes nothing that it does not put back. */
export async function gatherLimitFacts(instance: Instance, host: number | "self"): Promise<LimitFacts> {
  const root = process.getuid?.() === 0;
  const parent = await dynoParent(instance);
  const cgroups = await findCgroups(instance.cgroup, parent).catch(() => null); // another finding says what is missing
  const device = await storeDevice(nearest(storeOf(instance.paths)));
  return {
    root,
    cgroup: cgroups,
    device: device?.name ?? null,
    ioTrial: root && cgroups?.ioLimit === true && device ? await tryIo(cgroups, device) : null,
    swapBytes: Number(/^SwapTotal:\s+(\d+)/m.exec(await readFile("/proc/meminfo", "utf8"))?.[1] ?? 0) * 1024,
    bandwidthTrial: root ? await tryBandwidth(instance) : null,
    inotifyDivided: root ? await tryInotify() : null,
    stuck: root ? await stuckCounters() : [],
    dynosOfRoot: await dynosOfRoot(host),
    sizes: message(() => readSizes(instance)),
  };
}

/** Where systemd delegated a scope to the instance, its group is in that. */
async function dynoParent(instance: Instance): Promise<string> {
  const scope = join(`stator.slice/stator-${instance.id}.slice`, `stator-${instance.id}-dynos.scope`);
  return existsSync(join("/sys/fs/cgroup", scope)) ? scope : "";
}

function nearest(path: string): string {
  let at = path;
  while (!existsSync(at)) at = dirname(at);
  return at;
}

async function tryBandwidth({ interfacePrefix }: Instance): Promise<string> {
  const [one, other] = [`${interfacePrefix}pa`, `${interfacePrefix}pb`];
  try {
    await run("ip", ["link", "add", one, "type", "veth", "peer", "name", other]);
    await run("tc", qdisc(one, 10));
    return "";
  } catch (error) {
    return textOf(error);
  } finally {
    await run("ip", ["link", "del", one]).catch(() => {}); // it never came to be
  }
}

async function tryInotify(): Promise<boolean> {
  await using limits = await openUserLimits(join(import.meta.dirname, "..", "..", ".."), silentLogger);
  return limits.works;
}

/** The platform raises what is too low when it starts; here it is only seen whether it may, by writing what is there. */
async function stuckCounters(): Promise<readonly string[]> {
  const low = await tooLow();
  const stuck = await Promise.all(
    low.map(async ({ path, value, what }) =>
      writeFile(join("/proc/sys", path), value).then(
        () => [],
        () => [`${what} (${path.replaceAll("/", ".")} = ${value})`],
      ),
    ),
  );
  return stuck.flat();
}

async function dynosOfRoot(host: number | "self"): Promise<number> {
  const all = await ownLimits(host);
  const { pendingSignals, messageQueueBytes } = shareOfRoot(all);
  return Math.floor(Math.min(all.pendingSignalsMax / pendingSignals, all.messageQueueBytesMax / messageQueueBytes));
}

function message(body: () => unknown): string {
  try {
    body();
    return "";
  } catch (error) {
    return textOf(error);
  }
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
