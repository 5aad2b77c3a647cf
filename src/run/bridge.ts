import type { Writable } from "node:stream";
import { EngineError } from "../engine/engine.ts";
import { addAbortListener } from "../lib/abort.ts";
import type { DynoRecord } from "../model/dyno.ts";
import type { Store } from "../store/store.ts";
import type { RunOptions } from "./one-off.ts";
import { RECORDED_NOTICE, type Recording } from "./recordings.ts";
import { slept, Traffic } from "./traffic.ts";

/** The far end of an attached dyno, by whichever protocol it came. */
export interface AttachedClient {
  /** What comes from it, in order, until it has gone. Without a terminal an end of input is told as `end`. */
  events(hasTerminal: boolean): AsyncIterable<ClientEvent>;
  /** Resolves once more may be written; rejects once it has gone. */
  write(chunk: Uint8Array): Promise<void>;
  /** As `write`, for what is no standard output, where the protocol tells them apart. */
  writeError?(chunk: Uint8Array): Promise<void>;
  /** What it asked for is there, though nothing may come of it for a while; where the protocol can say so. */
  begun?(): Promise<void>;
  /** The dyno has ended, and all its output was written: tells the status where the protocol can, and closes. */
  finish(status: number | null): Promise<void>;
  close(): void;
  /** Aborted once the connection is no more. */
  readonly gone: AbortSignal;
}

export type ClientEvent =
  | { readonly kind: "input"; readonly data: Uint8Array }
  | { readonly kind: "resize"; readonly rows: number; readonly columns: number }
  | { readonly kind: "end" };

/** Output that has not come this long after the dyno's end does not exist. */
const LATE_OUTPUT_MS = 10_000;
const INPUT_RETRY_MS = 100;
const END_OF_TRANSMISSION = Uint8Array.of(4);
/** In place of the status of a command that may have read a part of its input alone. */
const FAILED = 255;
const INPUT_LOST =
  "The command's standard input ended too early: what runs the dynos was started anew. What it read may not be whole.";

/** Whether the dyno's standard input, being a pipe, ended before the client ended it. */
interface InputFate {
  isLost: boolean;
}

interface Join extends RunOptions {
  readonly dynoId: string;
  readonly client: AttachedClient;
  readonly until: AbortSignal;
}

/**
 * Lets the dyno start, and carries its output to the client and the client's input to it, until the dyno has ended and all is
 * given, or the client has gone; then the dyno is noted as disconnected (SIGHUP and the rest are the supervisor's).
 */
export async function bridge(join: Join): Promise<void> {
  const { client, until, logger, dynoId } = join;
  const over = new AbortController();
  const end = () => over.abort();
  using _gone = addAbortListener(client.gone, end);
  using _until = addAbortListener(until, end);
  const side: Promise<void>[] = [];
  const input: InputFate = { isLost: false };
  let recording: Recording | undefined;
  try {
    recording = await recordingOf(join);
    const dyno = await admit(join);
    if (dyno === undefined) return;
    const life = new Life(join.clock);
    side.push(life.endWhenIdle(over), carryInput(join, dyno, life, over.signal, input, recording));
    if (await carryOutput(join, life, over.signal, recording)) {
      const status = await join.supervision.exited(dynoId, over.signal);
      await recording?.end(status);
      const words = Buffer.from(`${INPUT_LOST}\r\n`);
      if (input.isLost) await (client.writeError === undefined ? client.write(words) : client.writeError(words));
      await client.finish(input.isLost ? FAILED : status);
    }
  } catch (error) {
    if (!over.signal.aborted) logger.error("run.attach_failed", { dynoId, error });
  } finally {
    const isLost = !until.aborted; // the daemon's own end is noted at its next start
    over.abort();
    client.close();
    await Promise.all(side);
    await recording?.end(null);
    if (isLost) await disconnect(join);
  }
}

/** Of an app whose owner wants that: what is shown is on disk before. The client is told where that is no part of the output. */
async function recordingOf({ store, recordings, dynoId, client }: Join): Promise<Recording | undefined> {
  const dyno = await store.dynos.byId(dynoId);
  if (!dyno?.oneOff) return undefined;
  const { appId, name, command, oneOff } = dyno;
  const { userEmail, terminal } = oneOff;
  const recording = await recordings.begin({ appId, dyno: name, command, userEmail, terminal });
  if (recording === undefined) return undefined;
  const notice = Buffer.from(`${RECORDED_NOTICE}\r\n`);
  if (terminal !== null) await client.write(notice);
  else await client.writeError?.(notice);
  return recording;
}

/** The client is there: the dyno may start. undefined: it has ended meanwhile. */
async function admit({ store, supervision, dynoId }: Join): Promise<DynoRecord | undefined> {
  const known = await store.dynos.byId(dynoId);
  const ahead = known && (await supervision.prepare(known.appId, known.releaseId));
  const dyno = await store.transaction(async (inside) => {
    const waiting = await inside.dynos.byId(dynoId);
    if (waiting === undefined || waiting.oneOff === null || waiting.exit !== null) return undefined;
    ahead?.begin(waiting);
    await inside.dynos.update(dynoId, { oneOff: { ...waiting.oneOff, awaiting: false } });
    return waiting;
  });
  if (dyno) supervision.nudge(dyno.appId);
  return dyno;
}

/** Does nothing if the dyno has ended, which is the usual way. */
async function disconnect({ supervision, logger, dynoId }: Join): Promise<void> {
  try {
    await supervision.disconnect(dynoId);
  } catch (error) {
    logger.error("run.disconnect_failed", { dynoId, error });
  }
}

/** When bytes last went either way, and whether output is being waited for. */
class Life extends Traffic {
  waitsForOutput = true;

  /** Aborts `late` once the dyno's last output should have come long ago. */
  async endWhenLate(exited: Promise<unknown>, late: AbortController): Promise<void> {
    await exited.catch(() => {}); // aborted with the rest
    do {
      this.mark();
      const before = this.lastAt;
      if (!(await slept(this.clock, LATE_OUTPUT_MS, late.signal))) return;
      if (this.waitsForOutput && this.lastAt === before) late.abort();
    } while (!late.signal.aborted);
  }
}

/** True once all was written; false if the client went first. */
async function carryOutput(
  { output, supervision, dynoId, client }: Join,
  life: Life,
  over: AbortSignal,
  recording: Recording | undefined,
): Promise<boolean> {
  const late = new AbortController();
  using _over = addAbortListener(over, () => late.abort());
  const watch = life.endWhenLate(supervision.exited(dynoId, late.signal), late);
  const keep = recording?.output();
  try {
    for await (const chunk of output(dynoId, late.signal)) {
      life.waitsForOutput = false;
      life.mark();
      await keep?.(chunk);
      await client.write(chunk);
      life.mark();
      life.waitsForOutput = true;
    }
  } catch (error) {
    if (!late.signal.aborted) throw error;
  }
  late.abort();
  await watch;
  return !over.aborted;
}

async function carryInput(
  join: Join,
  dyno: DynoRecord,
  life: Life,
  over: AbortSignal,
  fate: InputFate,
  recording: Recording | undefined,
): Promise<void> {
  const { client, engine, logger, dynoId } = join;
  const hasTerminal = dyno.oneOff?.terminal !== null;
  let input: Writable | undefined;
  let isBroken = false;
  const opened = async (): Promise<Writable | undefined> => {
    isBroken = false;
    const made = await openInput(join, dyno, over);
    return made?.on("error", (error) => {
      // Else the dyno closed it, or has ended: what follows goes nowhere.
      if (error instanceof EngineError && error.id === "unavailable") isBroken = true;
      if (isBroken && !hasTerminal) fate.isLost = true;
    });
  };
  try {
    input = await opened();
    for await (const event of client.events(hasTerminal)) {
      if (over.aborted) continue; // read on until it closes
      life.mark();
      if (isBroken && hasTerminal) input = await opened(); // a terminal outlives whoever writes to it
      if (event.kind === "resize") await recording?.resize(event);
      if (event.kind === "resize")
        await engine.resize(dynoId, event.rows, event.columns).catch(() => {}); // it has ended
      else if (event.kind === "input") await written(input, event.data, over);
      else if (hasTerminal) await written(input, END_OF_TRANSMISSION, over);
      else input?.end();
    }
  } catch (error) {
    if (!over.aborted) logger.warn("run.bad_client", { dynoId, error }); // it broke its protocol: as if it had gone
    client.close();
  } finally {
    input?.destroy();
  }
}

/** Standard input of the dyno, once it runs; undefined if it ended before. */
async function openInput({ store, engine, clock, dynoId }: Join, dyno: DynoRecord, over: AbortSignal) {
  using changes = new Changes(store, dyno.appId);
  for (;;) {
    const changed = changes.next(over);
    const now = await store.dynos.byId(dynoId);
    if (now === undefined || now.exit !== null || over.aborted) return undefined;
    if (now.state === "starting") {
      await changed;
      continue;
    }
    try {
      return await engine.input(dynoId);
    } catch {
      if (!(await slept(clock, INPUT_RETRY_MS, over))) return undefined; // it ends, or the host process restarts
    }
  }
}

/** Changes of one app in the store, one after the other, none missed between two waits. */
class Changes implements Disposable {
  readonly #subscription: Disposable;
  #wake: () => void = () => {};

  constructor(store: Store, appId: string) {
    this.#subscription = store.onChange((changed) => {
      if (changed === appId) this.#wake();
    });
  }

  /** Resolves at the next change after this call, or on abort. */
  next(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const listener = addAbortListener(signal, resolve);
      this.#wake = () => {
        listener[Symbol.dispose]();
        resolve();
      };
    });
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    this.#wake();
  }
}

/** Resolves once more may be written, or nothing will be read any more. */
function written(input: Writable | undefined, data: Uint8Array, over: AbortSignal): Promise<void> {
  if (input === undefined || !input.writable || over.aborted) return Promise.resolve();
  if (input.write(data)) return Promise.resolve();
  return new Promise((resolve) => {
    const listener = addAbortListener(over, done);
    const events = ["drain", "close", "error"] as const;
    for (const event of events) input.once(event, done);
    function done(): void {
      listener[Symbol.dispose]();
      for (const event of events) input?.off(event, done);
      resolve();
    }
  });
}
