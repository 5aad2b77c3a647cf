import type { Instance } from "../../model/instance.ts";
import { gatherLimitFacts, type LimitFacts } from "./limit-facts.ts";
import type { Finding } from "./probe-judge.ts";

/** Which limits of dynos this host holds, and which not and why (docs/dynos.md). `host`: the process that gives them to dynos. */
export async function limitFindings(instance: Instance, host: number | "self"): Promise<readonly Finding[]> {
  return judgeLimits(await gatherLimitFacts(instance, host));
}

/** Ids of the findings, so that tests can tell which limits are not held here. */
export type LimitId =
  | "sizes"
  | "limit-memory"
  | "limit-swap"
  | "limit-io"
  | "limit-io-buffered"
  | "limit-bandwidth"
  | "limit-inotify"
  | "limit-machine"
  | "limit-signals";

/** Pure. */
export function judgeLimits(facts: LimitFacts): readonly Finding[] {
  return [
    sizes(facts),
    memory(facts),
    swap(facts),
    io(facts),
    buffered(facts),
    bandwidth(facts),
    inotify(facts),
    machine(facts),
    signals(facts),
  ];
}

type Judged = readonly [verdict: Finding["verdict"], detail: string];
const NEEDS_ROOT: Judged = ["degraded", "Only root can find out: sudo stator doctor."];

const finding = (id: LimitId, title: string, [verdict, detail]: Judged): Finding => ({ id, title, verdict, detail });

function sizes(facts: LimitFacts): Finding {
  const judged: Judged =
    facts.sizes === ""
      ? ["ok", "Heroku's, and what sizes.json says."]
      : ["missing", `${facts.sizes}. Mend the file or take it away (docs/settings.md).`];
  return finding("sizes", "sizes of dynos", judged);
}

function memory({ cgroup }: LimitFacts): Finding {
  const buffers =
    cgroup?.tcpLimit === true
      ? "limited apart, at a quarter of the memory"
      : "not limited: this kernel has no memory.kmem.tcp.limit_in_bytes";
  const judged: Judged =
    cgroup?.kind === "v2"
      ? ["ok", "The kernel ends the whole dyno at its ceiling."]
      : [
          "degraded",
          `Held, but version 1 ends one process of a dyno at its ceiling; the platform ends the others within 2 s. Buffers of TCP connections are ${buffers}.`,
        ];
  return finding("limit-memory", "limit: memory", judged);
}

function swap({ cgroup, swapBytes }: LimitFacts): Finding {
  const held = cgroup?.swapLimit === true;
  const judged: Judged = held
    ? ["ok", "None but what a size gives."]
    : swapBytes === 0
      ? ["ok", "This machine has no swap."]
      : [
          "degraded",
          "Not held: this kernel does not count swap (boot with swapaccount=1), so dynos may use the machine's.",
        ];
  return finding("limit-swap", "limit: swap", judged);
}

function io(facts: LimitFacts): Finding {
  return finding("limit-io", "limit: disk rates", ioJudged(facts));
}

function ioJudged({ cgroup, device, ioTrial }: LimitFacts): Judged {
  if (cgroup?.ioLimit !== true)
    return [
      "degraded",
      `Not held: the controller ${cgroup?.kind === "v2" ? "io" : "blkio"} is not there, so one dyno can keep the disk busy.`,
    ];
  if (device === null) return ["degraded", "Not held: below STATOR_HOME is no block device. Put it on a local disk."];
  if (ioTrial !== null && ioTrial !== "") return ["degraded", `Not held on ${device}: ${ioTrial}`];
  return ["ok", `Reads, and writes that are waited for, on ${device}.`];
}

function buffered(facts: LimitFacts): Finding {
  const judged: Judged =
    facts.cgroup?.kind === "v2"
      ? ["ok", "Counted by version 2 for whoever wrote."]
      : [
          "degraded",
          "Not held: version 1 does not charge writes that nobody waits for to the dyno that made them. Its memory bounds how much of them there is at a time; its disk, how much in all.",
        ];
  return finding("limit-io-buffered", "limit: buffered writes", judged);
}

function bandwidth({ bandwidthTrial }: LimitFacts): Finding {
  const judged: Judged =
    bandwidthTrial === null
      ? NEEDS_ROOT
      : bandwidthTrial === ""
        ? ["ok", "A token bucket each way on each dyno's interface."]
        : ["degraded", `Not held: ${bandwidthTrial.trim()}. The kernel needs the module sch_tbf.`];
  return finding("limit-bandwidth", "limit: network bandwidth", judged);
}

function inotify({ inotifyDivided }: LimitFacts): Finding {
  const judged: Judged =
    inotifyDivided === null
      ? NEEDS_ROOT
      : inotifyDivided
        ? ["ok", "Each dyno has its own."]
        : ["degraded", "Not held: limits of a user namespace cannot be set here, so one dyno can take all instances."];
  return finding("limit-inotify", "limit: inotify", judged);
}

function machine({ root, stuck }: LimitFacts): Finding {
  const judged: Judged = !root
    ? NEEDS_ROOT
    : stuck.length === 0
      ? ["ok", "What the kernel counts for the whole machine is raised when the platform starts."]
      : [
          "degraded",
          `Cannot be raised, so dynos could take from each other: ${stuck.join(", ")}. Raise them with sysctl.`,
        ];
  return finding("limit-machine", "limit: counters of the machine", judged);
}

const ENOUGH_DYNOS = 500;

function signals({ dynosOfRoot }: LimitFacts): Finding {
  const judged: Judged =
    dynosOfRoot >= ENOUGH_DYNOS
      ? ["ok", "Each dyno has its own share."]
      : [
          "degraded",
          `Root's own limits are met by ${dynosOfRoot} dynos that use their whole share: raise them (ulimit -i and -q; LimitSIGPENDING, LimitMSGQUEUE).`,
        ];
  return finding("limit-signals", "limit: pending signals, message queues", judged);
}
