import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { SimEngine } from "../src/engine/sim/sim-engine.ts";
import { systemClock } from "../src/lib/clock.ts";
import { openStore } from "../src/store/sqlite.ts";
import { fillApps, superviseAlone } from "./many-apps.ts";
import { median, type RowResult } from "./statistics.ts";

const APPS = 10_000;
const FEW = 10;
const ROUNDS = 9;
/** Longer than a pass takes, and than a change takes to be done. */
const WINDOW_MS = 700;
/** What the process may use in a window when nothing happens. */
const QUIET_MS = 70;

/**
 * The supervisor over a real database on disk and an engine in memory, each app with one web dyno that is up. Counted is the
 * processor time of the whole process, less what it uses in as long a time when nothing happens.
 */
export async function measurePlan(): Promise<RowResult> {
  const many = await measureWith(APPS);
  const few = await measureWith(FEW);
  const ratio = median(many.changed) / median(few.changed);
  return {
    samples: [
      { who: `a pass over ${APPS} apps, nothing to do`, unit: "ms", values: many.passes },
      { who: `one of ${APPS} apps scaled from 1 to 2, until it is up`, unit: "ms", values: many.changed },
      { who: `one of ${FEW} apps, the same`, unit: "ms", values: few.changed },
    ],
    verdicts: [
      { claim: "nothing to do, processor time", unit: "ms", value: median(many.passes), bound: { atMost: 50 } },
      { claim: `one changed, over the same with ${FEW} apps`, unit: "times", value: ratio, bound: { atMost: 2 } },
    ],
    notes: ["Processor time of the whole process; the database is a file, the engine is in memory."],
  };
}

async function measureWith(count: number): Promise<{ readonly passes: number[]; readonly changed: number[] }> {
  const folder = mkdtempSync(join(tmpdir(), "stator-bench-"));
  const path = join(folder, "stator.db");
  try {
    await using store = await openStore({ path, key: [randomBytes(32)], clock: systemClock });
    const engine = new HintedEngine({ clock: systemClock });
    const appId = await fillApps(store, path, engine, { apps: count, releases: 1, dynos: ["web.1"] });
    await using _supervisor = await superviseAlone(store, engine);
    await untilQuiet();
    const [passes, changed] = [[] as number[], [] as number[]];
    for (let round = 0; round < ROUNDS; round++) {
      passes.push(await extraCpu(async () => engine.hint()));
      const change = (quantity: number) => store.formation.change(appId, [{ type: "web", quantity }]);
      changed.push(await extraCpu(() => change(2)));
      const dynos = await store.dynos.list(appId);
      if (dynos.filter(({ state }) => state === "up").length !== 2)
        throw new Error("the second dyno is not up in time");
      await change(1);
      await pause(WINDOW_MS);
    }
    return { passes, changed };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** An engine of which somebody says that anything may have changed: what the host process's return does. */
class HintedEngine extends SimEngine {
  readonly #listeners = new Set<(dynoId: string | undefined) => void>();

  override watch(listener: (dynoId: string | undefined) => void): Disposable {
    this.#listeners.add(listener);
    return super.watch(listener);
  }

  hint(): void {
    for (const listener of this.#listeners) listener(undefined);
  }
}

async function untilQuiet(): Promise<void> {
  for (let quiet = 0; quiet < 2; quiet = (await cpuIn(async () => {})) < QUIET_MS ? quiet + 1 : 0);
}

async function extraCpu(act: () => Promise<unknown>): Promise<number> {
  const idle = await cpuIn(async () => {});
  return Math.max(0, (await cpuIn(act)) - idle);
}

/** Milliseconds of processor time in one window that begins with the act. */
async function cpuIn(act: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await act();
  await pause(WINDOW_MS);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
