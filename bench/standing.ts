import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type OwnProcess, processesOf } from "../src/cli/install/processes.ts";
import type { Bench } from "./bench.ts";
import { cpuOf, dynoIds, memoryNow, networksFull, ownKernelKib, processesNow, pssOf } from "./kernel.ts";
import { type BenchApp, call, dynosOf, instance, msBetween, scale, tickApp, until } from "./rig.ts";
import { median, type RowResult, type Verdict } from "./statistics.ts";

const APPS = 5;
const DYNOS_EACH = 100;
const DYNOS = APPS * DYNOS_EACH;
const IDLE_MS = 20_000;
/** Until what the start threw away is collected. */
const SETTLE_MS = 30_000;
/** So long no namespace was added to those that are kept ready: there are as many as there will be. */
const FULL_MS = 8_000;

/** 500 dynos that do nothing: what each costs beside the user's own processes, and what the platform does meanwhile. */
export async function measureDensity({ tick }: Bench): Promise<RowResult> {
  await settle();
  const before = memoryNow();
  await using standing = await stand(tick);
  await settle();
  const { own, inits, users } = processesNow();
  const { busy, byRole } = await idling(own);
  const after = memoryNow(); // last: it drops caches, which the platform would have to fill again
  const each = (kib: number) => kib / standing.count / 1024;
  const platform = after.ownKib - before.ownKib;
  const theirs = users.map(ownKernelKib).reduce((sum, kib) => sum + kib, 0);
  const kernel = after.kernelKib - before.kernelKib - theirs;
  const ours = own.filter(({ role }) => role === "daemon" || role === "host").map(({ pid }) => pssOf(pid) / 1024);
  const both = ours.reduce((sum, mib) => sum + mib, 0);
  const conmons = own.filter(({ role }) => role === "conmon").map(({ pid }) => pssOf(pid));
  return {
    samples: [
      { who: "a dyno's watcher (conmon), PSS", unit: "KiB", values: [median(conmons)] },
      { who: "a dyno's init (tini), PSS", unit: "KiB", values: [median(inits.map(pssOf))] },
      { who: "kernel memory for each dyno", unit: "MiB", values: [each(kernel)] },
      {
        who: "stacks and page tables of the user's own process, not in it",
        unit: "KiB",
        values: [theirs / standing.count],
      },
    ],
    verdicts: [
      allStand(standing.count),
      { claim: "a further dyno, PSS", unit: "MiB", value: each(platform), bound: { atMost: 0.5 } },
      { claim: "with the kernel's memory", unit: "MiB", value: each(platform + kernel), bound: { atMost: 1.2 } },
      { claim: "daemon and host process together, PSS", unit: "MiB", value: both, bound: { atMost: 250 } },
      { claim: "idle platform, of one core", unit: "%", value: busy * 100, bound: { atMost: 2 } },
    ],
    notes: [
      `${standing.count} dynos of ${APPS} apps stood. Kernel memory is the machine's whole difference, without caches: others' work counts too.`,
      `Of the idle platform: ${byRole}.`,
    ],
  };
}

/** Their share of a core while nothing is asked of them, and whose it is. */
async function idling(own: readonly OwnProcess[]): Promise<{ readonly busy: number; readonly byRole: string }> {
  const before = own.map(({ pid }) => cpuOf(pid));
  const since = performance.now();
  await pause(IDLE_MS);
  const shares = own.map(({ pid }, at) => (cpuOf(pid) - (before[at] ?? 0)) / (performance.now() - since));
  const sums = new Map<string, number>();
  for (const [at, { role }] of own.entries()) sums.set(role, (sums.get(role) ?? 0) + (shares[at] ?? 0));
  const byRole = [...sums].map(([role, share]) => `${role} ${(share * 100).toFixed(2)} %`).join(", ");
  return { busy: shares.reduce((sum, share) => sum + share, 0), byRole };
}

/** What is kept ready for dynos to come weighs as much before as it does after: each namespace a quarter of a megabyte. */
async function settle(): Promise<void> {
  await pause(SETTLE_MS);
  await networksFull(FULL_MS);
}

/** Both processes of ours killed at one instant with 500 dynos standing, until the API answers. */
export async function measureAdopt({ tick, rounds }: Bench): Promise<RowResult> {
  await using standing = await stand(tick);
  const answers: number[] = [];
  let restarted = 0;
  for (let round = 0; round < Math.min(rounds, 5); round++) {
    const before = startsNow();
    const began = process.hrtime.bigint();
    for (const { role, pid } of processesOf(instance))
      if (role === "daemon" || role === "host") process.kill(pid, "SIGKILL");
    await until(
      () =>
        call("GET", "/apps").then(
          () => true,
          () => false,
        ),
      20,
    );
    answers.push(msBetween(began, process.hrtime.bigint()));
    await pause(5_000); // whatever would be restarted is by now
    const after = startsNow();
    restarted += [...before].filter(([id, start]) => after.get(id) !== start).length;
    restarted += [...after.keys()].filter((id) => !before.has(id)).length;
  }
  return {
    samples: [{ who: "both killed, until the API answers", unit: "ms", values: answers }],
    verdicts: [
      allStand(standing.count),
      { claim: "API answering, median", unit: "ms", value: median(answers), bound: { atMost: 2_000 } },
      { claim: "dynos restarted", unit: "dynos", value: restarted, bound: { atMost: 0 } },
    ],
    notes: [
      `${standing.count} dynos stood. SIGKILL to both; what keeps them running on this machine started them again.`,
    ],
  };
}

/** Each dyno with the process that it is. */
function startsNow(): ReadonlyMap<string, string> {
  const folder = instance.paths.bundles;
  return new Map(
    dynoIds().flatMap((id): [string, string][] => {
      if (!existsSync(join(folder, id, "started.json"))) return []; // it stands by for a dyno to come
      const pid = existsSync(join(folder, id, "pid")) ? readFileSync(join(folder, id, "pid"), "utf8").trim() : "none";
      return [[id, existsSync(`/proc/${pid}`) ? pid : "gone"]];
    }),
  );
}

interface Standing extends AsyncDisposable {
  readonly apps: readonly BenchApp[];
  readonly count: number;
}

/** As many dynos as the rows ask for, or as the machine takes, each waiting for requests that do not come. */
async function stand(tick: string): Promise<Standing> {
  await using stack = new AsyncDisposableStack();
  const apps: BenchApp[] = [];
  let count = 0;
  // All of them first: a machine full of dynos has no room for a build.
  for (let index = 0; index < APPS; index++) apps.push(stack.use(await tickApp(tick)));
  for (const app of apps) {
    await scale(app.name, DYNOS_EACH);
    count += await standingOf(app);
  }
  const opened = stack.move();
  return { apps, count, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** How many dynos of the app are up, once all are or no more come up for a while. */
async function standingOf(app: BenchApp): Promise<number> {
  let up = 0;
  for (let since = performance.now(); performance.now() - since < PATIENCE_MS && up < DYNOS_EACH; await pause(500)) {
    const now = (await dynosOf(app.name)).filter(({ state }) => state === "up").length;
    if (now > up) since = performance.now();
    up = Math.max(up, now);
  }
  return up;
}

const PATIENCE_MS = 20_000;

function allStand(count: number): Verdict {
  return { claim: "dynos standing", unit: "dynos", value: count, bound: { atLeast: DYNOS } };
}
