import type { Duplex } from "node:stream";

/** Bytes both ways, until both have ended; one that breaks breaks the other. */
export function join(one: Duplex, other: Duplex): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on("error", () => to.destroy());
    from.once("close", () => {
      if (!from.readableEnded) to.destroy(); // else it is ended, with what is still on its way
    });
    from.pipe(to);
  }
}
