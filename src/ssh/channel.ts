import type { Readable, Writable } from "node:stream";
import type { Stage } from "./stage.ts";

/**
 * Carries what `from` gives to the client's channel, as fast as the client takes it. Ends with either side and never rejects: a source
 * that breaks has ended.
 */
export async function sendAll(
  from: Readable,
  channel: Writable,
  { gone, drained }: Pick<Stage, "gone" | "drained">,
): Promise<void> {
  from.on("error", () => {}); // also one that comes after its reading ended
  const closed = new AbortController();
  const close = () => closed.abort();
  channel.once("close", close);
  const over = AbortSignal.any([gone, closed.signal]);
  over.addEventListener("abort", () => from.destroy(), { once: true });
  try {
    for await (const chunk of from) {
      if (over.aborted) return;
      // The window that the client gave may be wider than what it reads: the socket is waited for too.
      await written(channel, chunk as Buffer, over); // no encoding is set
      await drained();
    }
  } catch {
    // it broke off, or was destroyed above
  } finally {
    channel.off("close", close);
  }
}

/** A channel that is closed meanwhile never says that it has written. */
function written(channel: Writable, chunk: Buffer, over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (over.aborted) return resolve();
    const done = () => {
      over.removeEventListener("abort", done);
      resolve();
    };
    over.addEventListener("abort", done, { once: true });
    channel.write(chunk, done);
  });
}
