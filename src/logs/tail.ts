import type { Clock } from "../lib/clock.ts";
import { type LogFilter, matches, type StoredLine } from "./filter.ts";

/** Lines and characters that wait for a slow reader; what comes beyond is dropped and counted (spec 6.3, L11). */
const TAIL_LINES_MAX = 10_000;
const TAIL_TEXT_MAX = 4 * 1024 * 1024;

/** Lines on their way to one reader, who may be slower than they come. */
export class Tail {
  readonly #filter: LogFilter;
  readonly #clock: Clock;
  #lines: StoredLine[] = [];
  #text = 0;
  #dropped: { count: number; readonly since: number; lastId: number } | undefined;
  #isClosed = false;
  #wake: (() => void) | undefined;

  constructor(filter: LogFilter, clock: Clock) {
    this.#filter = filter;
    this.#clock = clock;
  }

  offer(line: StoredLine): void {
    if (this.#isClosed || !matches(this.#filter, line)) return;
    const isFull = this.#lines.length >= TAIL_LINES_MAX || this.#text >= TAIL_TEXT_MAX;
    if (isFull) {
      this.#dropped ??= { count: 0, since: this.#clock.now(), lastId: line.id };
      this.#dropped.count++;
      this.#dropped.lastId = line.id;
    } else {
      this.#lines.push(line);
      this.#text += line.text.length;
    }
    this.#wake?.();
  }

  /** All that waits, once something does; undefined after the end. */
  async take(signal: AbortSignal): Promise<readonly StoredLine[] | undefined> {
    while (this.#lines.length === 0 && !this.#isClosed && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const wake = () => resolve();
      this.#wake = wake;
      signal.addEventListener("abort", wake, { once: true });
      await promise;
      signal.removeEventListener("abort", wake);
      this.#wake = undefined;
    }
    if (signal.aborted || (this.#isClosed && this.#lines.length === 0)) return undefined;
    const taken = this.#dropped ? [...this.#lines, this.#overflow(this.#dropped)] : this.#lines;
    this.#lines = [];
    this.#text = 0;
    this.#dropped = undefined;
    return taken;
  }

  close(): void {
    this.#isClosed = true;
    this.#wake?.();
  }

  /** In the place of the lines that are missing; its id is the last one's, so that a reader who resumes goes on after them. */
  #overflow({ count, since, lastId }: { count: number; readonly since: number; lastId: number }): StoredLine {
    const text = `L11 (Tail buffer overflow) -> This tail session dropped ${count} messages since ${secondOf(since)}`;
    return { id: lastId, at: this.#clock.now(), source: "heroku", process: "logplex", text };
  }
}

/** `2013-04-17T19:04:46+00:00` */
export function secondOf(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19)}+00:00`;
}
