import type { Bench } from "./bench.ts";
import { openPeers } from "./peers.ts";
import { makeTick, tickApp } from "./rig.ts";

/** The measured app and the peers. */
export async function openBench(rounds: number, wantsPeers: boolean): Promise<Bench & AsyncDisposable> {
  await using open = new AsyncDisposableStack();
  const tick = open.use(await makeTick());
  const app = open.use(await tickApp(tick.path));
  const peers = open.use(await openPeers(tick.path, wantsPeers));
  const opened = open.move();
  return { app, tick: tick.path, peers, rounds, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
