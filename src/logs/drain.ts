import { addAbortListener } from "../lib/abort.ts";
import type { Clock } from "../lib/clock.ts";
import { Nudge } from "../lib/nudge.ts";
import type { Random } from "../lib/random.ts";
import { DrainBuffer, type Loss } from "./drain-buffer.ts";
import { type Frame, lossLine } from "./drain-format.ts";
import { BadAnswer, type Sender } from "./drain-sender.ts";
import type { StoredLine } from "./filter.ts";

export interface DrainParts {
  /** The app's lines after that one, as they come, until the signal. */
  readonly lines: (afterId: number, signal: AbortSignal) => AsyncIterable<StoredLine>;
  /** The last line that was delivered; null: none, and all that is kept is new. */
  readonly position: number | null;
  readonly sender: Sender;
  readonly clock: Clock;
  readonly random: Random;
  /** Characters that may wait in memory for it, now. */
  readonly textMax: () => number;
  /** All lines up to this one need not be sent again. */
  readonly moved: (position: number) => void;
  /** It cannot deliver, for this reason; it goes on trying. */
  readonly failed: (error: unknown) => void;
}

/** Tries of one frame that is answered, and not well (spec 8.4: two extra ones). */
const TRIES = 3;
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;
const IDLE_MS = 3600 * 1000;

/**
 * One running drain. Lines are taken from the log as they come, into a buffer that drops the oldest, so that a receiver which
 * is slow or dead holds up nobody. At least once: a frame whose answer was lost is sent again, under the same id.
 */
export async function runDrain(parts: DrainParts, signal: AbortSignal): Promise<void> {
  const buffer = new DrainBuffer(parts.position, parts.textMax);
  const nudge = new Nudge();
  const done = new AbortController();
  using _listener = addAbortListener(signal, () => done.abort());
  const filling = fill(parts, buffer, nudge, done);
  try {
    let failures = 0;
    while (!done.signal.aborted) {
      const frame = nextFrame(buffer, parts);
      if (frame) failures = await deliver(frame, failures, buffer, parts, done.signal);
      else await nudge.wait(IDLE_MS, done.signal, parts.clock);
    }
  } finally {
    done.abort();
    await filling;
    parts.sender[Symbol.dispose]();
  }
}

/** Ends with the log. */
async function fill(parts: DrainParts, buffer: DrainBuffer, nudge: Nudge, done: AbortController): Promise<void> {
  try {
    for await (const line of parts.lines(parts.position ?? 0, done.signal)) {
      if (isTailLoss(line)) continue; // the next line's id tells what is missing
      buffer.push(line);
      nudge.ring();
    }
  } catch (error) {
    if (!done.signal.aborted) parts.failed(error);
  } finally {
    done.abort();
  }
}

/** The line that the hub gives readers which were too slow for it; its id is a dropped line's. */
function isTailLoss({ source, process, text }: StoredLine): boolean {
  return source === "heroku" && process === "logplex" && text.startsWith("L11 ");
}

interface DrainFrame extends Frame {
  /** Of its last line. */
  readonly position: number;
  /** What is lost when it is. */
  readonly loss: Loss;
}

function nextFrame(buffer: DrainBuffer, { clock, random }: DrainParts): DrainFrame | undefined {
  const batch = buffer.take();
  if (!batch) return undefined;
  const { lines, loss } = batch;
  const messages = loss ? [lossLine(loss.count, loss.since, clock.now()), ...lines] : lines;
  const since = loss?.since ?? lines[0]?.at ?? clock.now();
  return {
    id: random.uuid().replaceAll("-", ""),
    messages,
    position: lines.at(-1)?.id ?? 0,
    loss: { count: lines.length + (loss?.count ?? 0), since },
  };
}

/** Until it is taken, or given up; gives how many tries in a row have failed now. */
async function deliver(
  frame: DrainFrame,
  before: number,
  buffer: DrainBuffer,
  parts: DrainParts,
  signal: AbortSignal,
): Promise<number> {
  const { sender, clock, moved, failed } = parts;
  let failures = before;
  for (let tries = 1; !signal.aborted; tries++) {
    try {
      const answer = await sender.send(frame, signal);
      if (answer === "refused") buffer.lose(frame.loss);
      moved(frame.position);
      return 0;
    } catch (error) {
      if (signal.aborted) break;
      failed(error);
      failures++;
      const isGivenUp = tries >= TRIES && (error instanceof BadAnswer || buffer.isFull);
      await clock.sleep(backoffMs(failures, parts), signal).catch(() => {}); // the loop sees the signal
      if (!isGivenUp) continue;
      buffer.lose(frame.loss);
      moved(frame.position);
      break;
    }
  }
  return failures;
}

/** 1 s, 2 s, 4 s ... a minute, of which a random half is left out. */
function backoffMs(failures: number, { random }: DrainParts): number {
  const most = Math.min(BACKOFF_FIRST_MS * 2 ** Math.min(failures - 1, 20), BACKOFF_MAX_MS);
  return most / 2 + random.below(most / 2);
}
