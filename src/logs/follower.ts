import type { Engine } from "../engine/engine.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { Nudge } from "../lib/nudge.ts";
import type { AppLog } from "./app-log.ts";
import { BEGINNING, type Cursor, startOf } from "./cursor.ts";
import { LineJoiner } from "./line-joiner.ts";
import { RawFile, type RawRead } from "./raw-file.ts";
import { RawParser } from "./raw-record.ts";
import type { Turns } from "./turns.ts";

export interface FollowerParts {
  readonly dynoId: string;
  readonly name: string;
  readonly log: AppLog;
  readonly rawFolder: string;
  readonly engine: Pick<Engine, "trimLog">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Buffers to read into: one for each that may read at a time. */
  readonly turns: Turns<Buffer>;
}

const RETRY_MS = 1_000;
/** The longest that a timer takes: whoever owns the follower tells it when to look. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Carries one dyno's lines from its raw log into the app's log, each once and in order, whenever it is killed. */
export class Follower implements AsyncDisposable {
  readonly #parts: FollowerParts;
  readonly #nudge = new Nudge();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #isEnded = false;
  #trimmed = 1;
  #trimming: Promise<void> | undefined;

  constructor(parts: FollowerParts) {
    this.#parts = parts;
    this.#running = this.#run();
  }

  /** The raw log may have grown. */
  nudge(): void {
    this.#nudge.ring();
  }

  /** The dyno has ended: resolves once all that it wrote is in the app's log. */
  async ended(): Promise<void> {
    this.#isEnded = true;
    this.#nudge.ring();
    await this.#running;
    await this.#parts.log.flushed();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#trimming;
  }

  /** Never rejects: what fails is reported and done again from what the app's log says. */
  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        return await this.#carry(signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#parts.logger.error("logs.carry_failed", { dynoId: this.#parts.dynoId, error });
        await this.#nudge.wait(RETRY_MS, signal);
      }
    }
  }

  /** Until the dyno's end. */
  async #carry(signal: AbortSignal): Promise<void> {
    const { dynoId, name, log, rawFolder } = this.#parts;
    const cursor = (await log.cursor(dynoId)) ?? BEGINNING;
    const joiner = new LineJoiner(cursor, (line) => log.carry(dynoId, name, line));
    const parser = new RawParser();
    await using raw = new RawFile(rawFolder, dynoId, startOf(cursor));
    while (!signal.aborted) {
      const kind = await this.#turn(raw, parser, joiner);
      if (kind === "end") return;
      this.#trim(joiner.cursor);
      if (kind === "idle") await this.#nudge.wait(TIMER_MS_MAX, signal);
      else await log.room();
    }
  }

  /** Reads once, so much as a buffer holds; then others have their turn. */
  async #turn(raw: RawFile, parser: RawParser, joiner: LineJoiner): Promise<RawRead["kind"]> {
    const { dynoId, name, log, clock, turns } = this.#parts;
    using turn = await turns.take();
    const read = await raw.read(turn.thing, () => this.#isEnded);
    if (read.kind === "bytes") {
      const { bytes, place, isLast } = read;
      raw.advance(parser.parse(bytes, isLast, (record) => joiner.take(record, bytes, place)));
    } else if (read.kind === "dropped") {
      const lost = joiner.drop(read.segment, read.lines, clock.now());
      if (lost > 0) log.tellDropped(dynoId, name, lost, joiner.cursor);
    } else if (read.kind === "end") {
      joiner.finish(clock.now());
    }
    return read.kind;
  }

  /** Lets the host delete the segments that are in the app's log whole. */
  #trim(cursor: Cursor): void {
    const { segment } = startOf(cursor);
    if (segment <= this.#trimmed || this.#trimming) return;
    const { dynoId, engine, log, logger, clock } = this.#parts;
    const trim = async () => {
      try {
        await log.flushed();
        if (this.#stop.signal.aborted) return;
        await engine.trimLog(dynoId, segment);
        this.#trimmed = segment;
      } catch (error) {
        logger.warn("logs.trim_failed", { dynoId, segment, error });
        await clock.sleep(RETRY_MS, this.#stop.signal).catch(() => {}); // closed
      } finally {
        this.#trimming = undefined;
      }
    };
    this.#trimming = trim();
  }
}
