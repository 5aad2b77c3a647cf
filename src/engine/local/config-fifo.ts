import { closeSync, constants, existsSync, linkSync, openSync, renameSync, writeFileSync, writeSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { run } from "../../lib/command.ts";
import { codeOf } from "../../lib/error-code.ts";

const CONFIG = "config.json";
const FIFO = "config.fifo";
const FAILURES_MAX = 3;
const LOOK_MS = 1;
/** A runtime that was started is at its FIFO by then. */
const LOOKS_MAX = 50;
const never = new AbortController().signal;

/** FIFOs that stand ready, made by a program that takes as long as what they save. None does before they are opened. */
export class ConfigFifos {
  readonly #folder: string;
  #free: string[] = [];
  /** Of bundles whose runtime waits at one, or will. */
  readonly #taken = new Map<string, ConfigFifo>();
  #failures = 0;
  #isClosed = false;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async open(count: number): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const names = Array.from({ length: count }, (_, index) => String(index));
    await run("mkfifo", ["--mode=600", "--", ...names.map((name) => join(this.#folder, name))]);
    this.#free = names;
  }

  /** From now on none is ready. */
  close(): void {
    this.#isClosed = true;
    this.#free = [];
  }

  /** How the runtime got on that waited at one. */
  worked(): void {
    this.#failures = 0;
  }

  /** Another program than the one with which it was tried may not wait: after some in a row none does any more. True then. */
  failed(): boolean {
    this.#failures++;
    if (this.#isClosed || this.#failures < FAILURES_MAX) return false;
    this.close();
    return true;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get hasFree(): boolean {
    return this.#free.length > 0;
  }

  /** Puts one in the place of the bundle's configuration. undefined: none is ready. */
  take(bundle: string): ConfigFifo | undefined {
    const name = this.#free.at(-1);
    if (name === undefined) return undefined;
    linkSync(join(this.#folder, name), join(bundle, FIFO));
    linkSync(join(this.#folder, name), join(bundle, CONFIG));
    this.#free.pop();
    const taken = new ConfigFifo(bundle, () => {
      this.#taken.delete(bundle);
      if (!this.#isClosed) this.#free.push(name);
    });
    this.#taken.set(bundle, taken);
    return taken;
  }

  /** Ends a runtime that waits in the bundle, whoever began it. Repeatable. */
  async end(bundle: string): Promise<void> {
    const taken = this.#taken.get(bundle);
    if (taken === undefined) await endWaiting(bundle);
    else await taken.end();
  }
}

/**
 * A bundle's configuration that is not there yet: the runtime comes up, opens it, and waits until somebody writes. It reads it a second
 * time for its own records, so by then the file itself lies where the FIFO was.
 */
export class ConfigFifo {
  readonly #bundle: string;
  readonly #giveBack: () => void;

  constructor(bundle: string, giveBack: () => void) {
    this.#bundle = bundle;
    this.#giveBack = giveBack;
  }

  /**
   * Resolves once the runtime has the text, or `made` is settled: then it came later than the file, or has failed. Throws once `late` is aborted.
   */
  async hand(text: string, made: Promise<unknown>, clock: Clock, late: AbortSignal = never): Promise<void> {
    let isOver = false;
    const over = () => void (isOver = true);
    made.then(over, over);
    putInPlace(this.#bundle, text);
    for (;;) {
      const pipe = openWaiting(this.#bundle);
      if (pipe !== undefined) {
        await writeAll(pipe, Buffer.from(text), clock, late).finally(() => closeSync(pipe));
        break;
      }
      await clock.sleep(LOOK_MS, late);
      if (isOver) break;
    }
    await this.#free();
  }

  /** What the runtime reads is nothing, so it ends. Repeatable, and does nothing once it was given its configuration. */
  async end(): Promise<void> {
    await endWaiting(this.#bundle);
    await this.#free();
  }

  async #free(): Promise<void> {
    const path = join(this.#bundle, FIFO);
    if (!existsSync(path)) return;
    await rm(path);
    this.#giveBack();
  }
}

/** Ends a runtime that waits for its configuration in this folder, or will, whoever began it. Repeatable. */
export async function endWaiting(bundle: string, clock: Clock = systemClock): Promise<void> {
  if (!existsSync(join(bundle, FIFO))) return;
  putInPlace(bundle, "");
  for (let looks = 0; looks < LOOKS_MAX; looks++) {
    const pipe = openWaiting(bundle);
    if (pipe !== undefined) return closeSync(pipe);
    await clock.sleep(LOOK_MS, never);
  }
}

function putInPlace(bundle: string, text: string): void {
  const path = join(bundle, CONFIG);
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** The end to write to; undefined: nobody waits at the other one. */
function openWaiting(bundle: string): number | undefined {
  try {
    return openSync(join(bundle, FIFO), constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === "ENXIO") return undefined;
    throw error;
  }
}

/** At once, as far as the pipe takes it; a reader who has gone says by himself why. */
async function writeAll(pipe: number, bytes: Buffer, clock: Clock, late: AbortSignal): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(pipe, bytes, at);
    } catch (error) {
      const code = codeOf(error);
      if (code === "EPIPE") return;
      if (code !== "EAGAIN") throw error;
      await clock.sleep(LOOK_MS, late);
    }
  }
}
