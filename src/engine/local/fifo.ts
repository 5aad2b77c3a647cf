import { constants } from "node:fs";
import { open } from "node:fs/promises";

/** Writes to a FIFO if somebody reads it; without a reader it would block a thread for ever, so then it throws. */
export async function writeFifo(path: string, text: string): Promise<void> {
  await using fifo = await open(path, constants.O_WRONLY | constants.O_NONBLOCK);
  await fifo.write(text);
}
