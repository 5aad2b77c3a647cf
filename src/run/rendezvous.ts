import type { Duplex } from "node:stream";
import type { Clock } from "../lib/clock.ts";
import type { AttachedClient, ClientEvent } from "./bridge.ts";
import { MarkerKeeper } from "./exit-marker.ts";
import { SocketSide } from "./socket-client.ts";

/** No further byte this long after a 0x04: it was the end of the input, and not a byte of it. */
const HOLD_MS = 200;
const END_OF_TRANSMISSION = 4;

/**
 * The client of the official CLI: raw bytes both ways (platform-api 3.1). Its first chunk is thrown away by that client,
 * whatever it holds, so it is written alone and before anything else can be.
 */
export async function rendezvousClient(socket: Duplex, clock: Clock): Promise<AttachedClient> {
  const side = new SocketSide(socket, clock);
  const keeper = new MarkerKeeper();
  await new Promise<void>((resolve) => socket.write("rendezvous\r\n", () => resolve()));
  return {
    gone: side.gone,
    close: () => side.close(),
    async write(chunk) {
      for (const part of keeper.push(chunk)) await side.write(part);
    },
    async finish() {
      for (const part of keeper.rest()) await side.write(part);
      await side.end();
    },
    events: (hasTerminal) => (hasTerminal ? keys(side) : piped(side, clock)),
  };
}

async function* keys(side: SocketSide): AsyncGenerator<ClientEvent> {
  for await (const data of side.chunks()) yield { kind: "input", data };
}

/**
 * Without a terminal that client ends its input with a byte 0x04 (3.1.6). Data may hold that byte too, so one at the end
 * of a chunk is held back until it is clear which it was.
 */
async function* piped(side: SocketSide, clock: Clock): AsyncGenerator<ClientEvent> {
  const chunks = side.chunks();
  let isHolding = false;
  for (;;) {
    const coming = chunks.next();
    const next = isHolding ? await within(coming, clock) : await coming;
    if (next === "late") {
      yield { kind: "end" };
      for (let more = await coming; more.done !== true; more = await chunks.next()); // nothing after the end is input
      return;
    }
    if (next.done === true) return;
    const data: Buffer = isHolding ? Buffer.concat([Buffer.of(END_OF_TRANSMISSION), next.value]) : next.value;
    isHolding = data.at(-1) === END_OF_TRANSMISSION;
    const sure = isHolding ? data.subarray(0, -1) : data;
    if (sure.length > 0) yield { kind: "input", data: sure };
  }
}

async function within<T>(promise: Promise<T>, clock: Clock): Promise<T | "late"> {
  const done = new AbortController();
  const late = clock.sleep(HOLD_MS, done.signal).then(
    () => "late" as const,
    () => "late" as const,
  );
  const first = await Promise.race([promise, late]);
  done.abort();
  return first;
}
