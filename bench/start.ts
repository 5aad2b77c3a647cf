import { setTimeout as pause } from "node:timers/promises";
import type { DynoExitJson } from "../src/cli/api.ts";
import { BareRuntime } from "./bare.ts";
import type { Bench } from "./bench.ts";
import { type BenchApp, call, msBetween, scale, throughRouter, ticksIn, ticksOf, until } from "./rig.ts";
import { median, percentile, type RowResult, type Verdict } from "./statistics.ts";

/** Between two starts, so that one does not pay for cleaning up after the other. */
const REST_MS = 300;

/**
 * Starts of one dyno, of the bare runtime and of the peers, one after the other in turns: what the machine does meanwhile hits
 * all of them alike.
 */
export async function measureStart({ app, peers, rounds }: Bench): Promise<RowResult> {
  const [ours, bare] = [[] as number[], [] as number[]];
  const theirs = new Map(peers.present.map((peer) => [peer.name, [] as number[]]));
  const returns = new Map(peers.present.map((peer) => [peer.name, [] as number[]]));
  await using floor = await BareRuntime.open(app);
  await startOnce(app); // the first of all warms up the pools
  for (let round = 0; round < rounds; round++) {
    const all = [
      async () => void ours.push(await startOnce(app)),
      async () => void bare.push(await floor.start()),
      ...peers.present.map((peer) => async () => {
        const { first, returned } = await peer.start();
        theirs.get(peer.name)?.push(first);
        returns.get(peer.name)?.push(returned);
      }),
    ];
    // Nobody is always the one who comes after a peer's cleaning up, or who finds the runtime in the caches.
    for (const start of round % 2 === 0 ? all : all.toReversed()) {
      await start();
      await pause(REST_MS);
    }
  }
  const p50 = median(ours);
  const ratio = (name: string, atLeast: number): Verdict => {
    const values = theirs.get(name);
    const claim = `${name} run over a start`;
    if (values === undefined)
      return { claim, unit: "times", value: null, bound: { atLeast }, note: peers.absence(name) };
    return { claim, unit: "times", value: median(values) / p50, bound: { atLeast } };
  };
  return {
    samples: [
      { who: "Stator: request's first byte to the program", unit: "ms", values: ours },
      { who: "crun run of an equal bundle", unit: "ms", values: bare },
      ...[...theirs].map(([name, values]) => ({ who: `${name} run`, unit: "ms", values })),
      ...[...returns].map(([name, values]) => ({ who: `${name} run, until it has returned`, unit: "ms", values })),
    ],
    verdicts: [
      { claim: "p50 over bare crun run", unit: "times", value: p50 / median(bare), bound: { atMost: 1.6 } },
      { claim: "p99 over p50", unit: "times", value: percentile(ours, 0.99) / p50, bound: { atMost: 3 } },
      ratio("docker", 9),
      ratio("podman", 1),
    ],
    notes: ["Both ends are the same for all: the decision, and the program's first instruction."],
  };
}

async function startOnce(app: BenchApp): Promise<number> {
  const { began, json } = await call<{ readonly id: string }>("POST", `/apps/${app.name}/dynos`, {
    command: "./tick stay",
  });
  await pause(100); // looking would take time from what is looked at
  await until(async () => (await ticksOf(json.id)) !== undefined, 20);
  const [tick = 0n] = (await ticksOf(json.id)) ?? [];
  await call("POST", `/apps/${app.name}/dynos/${json.id}/actions/stop`);
  return msBetween(began, tick);
}

/** From the request that scales web to 1, to the answer of a request that was sent right behind it. */
export async function measureFirst200({ app, rounds }: Bench): Promise<RowResult> {
  const [starts, answers, beyond, binds] = [[] as number[], [] as number[], [] as number[], [] as number[]];
  for (let round = 0; round <= rounds; round++) {
    const { began } = await scale(app.name, 1);
    let answer = await throughRouter(app.name);
    while (answer.status !== 200) {
      await pause(2); // the scaling was not seen by the router yet
      answer = await throughRouter(app.name);
    }
    const answered = process.hrtime.bigint();
    const [tick = 0n, bound = 0n] = ticksIn(`tick ${answer.answer.split(" ").slice(1).join(" ")}`) ?? [];
    await scale(app.name, 0);
    await until(async () => (await call<readonly unknown[]>("GET", `/apps/${app.name}/dynos`)).json.length === 0, 100);
    await pause(REST_MS);
    if (round === 0) continue; // it warms up the pools
    starts.push(msBetween(began, tick));
    answers.push(msBetween(began, answered));
    binds.push(msBetween(tick, bound));
    beyond.push(msBetween(bound, answered));
  }
  return {
    samples: [
      { who: "Stator: request's first byte to the program", unit: "ms", values: starts },
      { who: "the server's own bind", unit: "ms", values: binds },
      { who: "from listening to the answer through the router", unit: "ms", values: beyond },
      { who: "request's first byte to the first 200", unit: "ms", values: answers },
    ],
    verdicts: [{ claim: "beyond start and bind, p50", unit: "ms", value: median(beyond), bound: { atMost: 30 } }],
    notes: [],
  };
}

/** A trivial command, from the call to its exit status in an answer of the API. */
export async function measureOneOff({ app, rounds }: Bench): Promise<RowResult> {
  const [starts, ends] = [[] as number[], [] as number[]];
  for (let round = 0; round <= rounds; round++) {
    const start = await startOnce(app);
    await pause(REST_MS);
    const end = await oneOff(app);
    await pause(REST_MS);
    if (round === 0) continue;
    starts.push(start);
    ends.push(end);
  }
  return {
    samples: [
      { who: "Stator: a start, in turns", unit: "ms", values: starts },
      { who: "Stator: call to exit status", unit: "ms", values: ends },
    ],
    verdicts: [
      {
        claim: "one-off over a start, p50",
        unit: "times",
        value: median(ends) / median(starts),
        bound: { atMost: 1.5 },
      },
    ],
    notes: ["The exit status is waited for: GET .../exit?wait=60."],
  };
}

async function oneOff(app: BenchApp): Promise<number> {
  const path = `/apps/${app.name}/dynos`;
  const { began, json } = await call<{ readonly id: string }>("POST", path, { command: "./tick now" });
  for (;;) {
    const { answered, json: exit } = await call<DynoExitJson>("GET", `${path}/${json.id}/exit?wait=60`);
    if (exit.exit_status !== null) return msBetween(began, answered);
    if (exit.ended_at !== null) throw new Error("nobody saw the one-off end");
  }
}
