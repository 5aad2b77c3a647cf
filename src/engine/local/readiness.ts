import { connect } from "node:net";
import type { Clock } from "../../lib/clock.ts";

/** Small programs listen within a few milliseconds; a try costs a fifth of one. */
const FIRST_WAIT_MS = 2;
const WAIT_MS_MAX = 250;
const CONNECT_MS_MAX = 1000;

/** Resolves with true once something accepts a connection there; with false when aborted first. */
export async function accepts(address: string, port: number, clock: Clock, signal: AbortSignal): Promise<boolean> {
  for (let wait = FIRST_WAIT_MS; !signal.aborted; wait = Math.min(WAIT_MS_MAX, wait * 1.15)) {
    if (await connects(address, port)) return true;
    await clock.sleep(wait, signal).catch(() => {}); // aborted: the loop sees it
  }
  return false;
}

function connects(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const done = (accepted: boolean) => {
      socket.destroy();
      resolve(accepted);
    };
    socket.setTimeout(CONNECT_MS_MAX, () => done(false));
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });
}
