import { existsSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import type { Bench } from "./bench.ts";
import { heldBy } from "./kernel.ts";
import { type BenchApp, dynosOf, msBetween, scale, throughRouter, ticksOf, until } from "./rig.ts";
import { median, type RowResult } from "./statistics.ts";

const DYNOS = 100;
/** Slow things are done this often at most. */
const ROUNDS_MAX = 5;
const PEERS_AT_ONCE = 8;
/** Until what is kept ready for starts is there again. */
const REST_MS = 15_000;

/**
 * From the request that scales web from 1 to 100, to an answer of each of them through the router. Each round begins with a platform
 * that has stood for a while; one more shows what it does straight after another, with nothing ready.
 */
export async function measureScale({ app, peers, rounds }: Bench): Promise<RowResult> {
  const [started, answering, theirs] = [[] as number[], [] as number[], [] as number[]];
  const docker = peers.present.find(({ name }) => name === "docker");
  for (let round = 0; round < Math.min(rounds, ROUNDS_MAX); round++) {
    await pause(REST_MS);
    const { began, answered, seen } = await scaleOnce(app);
    answering.push(msBetween(began, answered));
    const ticks = (await Promise.all([...seen].map((id) => ticksOf(id)))).map((each) => each?.[0] ?? 0n);
    const last = ticks.reduce((latest, tick) => (tick > latest ? tick : latest), 0n);
    started.push(msBetween(began, last));
    await away(app);
    if (docker !== undefined && round === 0) theirs.push(await docker.startMany(DYNOS, PEERS_AT_ONCE));
  }
  const again = await scaleOnce(app);
  await away(app);
  const ratio = theirs.length === 0 ? null : median(theirs) / median(started);
  const note = docker === undefined ? { note: peers.absence("docker") } : {};
  return {
    samples: [
      { who: `all ${DYNOS} processes started`, unit: "ms", values: started },
      { who: `all ${DYNOS} answering through the router`, unit: "ms", values: answering },
      {
        who: "the same straight after, with nothing ready",
        unit: "ms",
        values: [msBetween(again.began, again.answered)],
      },
      ...(docker ? [{ who: `${DYNOS} docker run -d, ${PEERS_AT_ONCE} at a time`, unit: "ms", values: theirs }] : []),
    ],
    verdicts: [
      { claim: "all answering, median", unit: "ms", value: median(answering), bound: { atMost: 3_000 } },
      { claim: "docker run -d over all started", unit: "times", value: ratio, bound: { atLeast: 8 }, ...note },
    ],
    notes: [`Before each round the platform stood for ${REST_MS / 1000} s, as it does before somebody scales.`],
  };
}

async function scaleOnce(app: BenchApp) {
  await scale(app.name, 1);
  await until(async () => (await throughRouter(app.name)).status === 200);
  await pause(2_000);
  const { began } = await scale(app.name, DYNOS);
  const seen = await answersOf(app);
  return { began, answered: process.hrtime.bigint(), seen };
}

/** Host names that answered: a dyno's is its id. Asks gently at first, since asking takes processors from starting. */
async function answersOf(app: BenchApp): Promise<ReadonlySet<string>> {
  const seen = new Set<string>();
  await until(async () => {
    const few = seen.size < DYNOS / 4;
    const asked = Array.from({ length: few ? 8 : 32 }, () => throughRouter(app.name));
    for (const { status, answer } of await Promise.all(asked)) if (status === 200) seen.add(answer.split(" ")[0] ?? "");
    return seen.size === DYNOS;
  }, 25);
  return seen;
}

/** From the request that scales web from 100 to 0, until the kernel holds nothing of any of them. */
export async function measureStop({ app, rounds }: Bench): Promise<RowResult> {
  const [ended, gone] = [[] as number[], [] as number[]];
  for (let round = 0; round < Math.min(rounds, ROUNDS_MAX); round++) {
    await scale(app.name, DYNOS);
    await answersOf(app);
    await pause(REST_MS);
    const held = (await Promise.all((await dynosOf(app.name)).map(({ id }) => heldBy(id)))).flat();
    const watchers = held.filter((path) => path.startsWith("/proc/"));
    const { began } = await scale(app.name, 0);
    await until(() => watchers.every((path) => !existsSync(path)), 20);
    ended.push(msBetween(began, process.hrtime.bigint()));
    await until(() => held.every((path) => !existsSync(path)), 20);
    gone.push(msBetween(began, process.hrtime.bigint()));
    await away(app);
  }
  return {
    samples: [
      { who: "their watchers have ended", unit: "ms", values: ended },
      { who: "no group, namespace, interface, volume of them left", unit: "ms", values: gone },
    ],
    verdicts: [{ claim: "nothing left, median", unit: "ms", value: median(gone), bound: { atMost: 2_000 } }],
    notes: ["Obedient processes: they end at SIGTERM at once."],
  };
}

async function away(app: BenchApp): Promise<void> {
  await scale(app.name, 0);
  await until(async () => (await dynosOf(app.name)).length === 0, 250);
  await pause(1_000);
}
