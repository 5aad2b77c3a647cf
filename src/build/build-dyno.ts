import type { Readable } from "node:stream";
import { type Frame, type FrameKind, FrameWriter, readFrames } from "../../buildkit/frames.ts";
import { type ByteStream, type DynoSpec, type Engine, EngineError } from "../engine/engine.ts";
import { aborted } from "../lib/abort.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Random } from "../lib/random.ts";
import type { DynoLogs } from "../logs/dyno-logs.ts";
import type { App } from "../model/app.ts";
import { BASE_ENVIRONMENT } from "../model/boot.ts";
import { BUILD_SIZE } from "../model/size.ts";
import { type BuildSettings, networkEnvironment } from "./settings.ts";

/** Build dynos at once, over all apps; each may use a builder's share of the machine. */
export const BUILD_DYNOS_MAX = 8;
/** From the order to the driver's first word. */
const CONNECT_MS = 60_000;
/** How long one waits for room while others have it, whose end makes some: most are an answer of git's, and gone in a second. */
const ROOM_MS = 60_000;
const ROOM_LOOK_MS = 500;
const TOOLCHAIN = "/opt/stator/toolchain/node_modules";
const COMMAND = `exec ${TOOLCHAIN}/node-linux-${process.arch}/bin/node /opt/stator/buildkit/driver.ts`;

/** Every place for a build dyno is taken. */
export class Busy extends Error {}

export interface BuildDynosOptions {
  readonly engine: Engine;
  readonly settings: () => Promise<BuildSettings>;
  readonly dynoLogs: DynoLogs | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Starts build dynos and ends them: what runs git and builds, limited like any dyno, never beside the database. */
export class BuildDynos {
  readonly #options: BuildDynosOptions;
  readonly #active = new Set<string>();
  /** Those of them that were started. */
  readonly #started = new Set<string>();
  #counter = 0;

  constructor(options: BuildDynosOptions) {
    this.#options = options;
  }

  /** Ids of the dynos that somebody works with; all other build dynos are remains. */
  get active(): ReadonlySet<string> {
    return this.#active;
  }

  /** Removes build dynos that an earlier daemon left. */
  async removeRemains(): Promise<void> {
    const all = await this.#options.engine.list();
    const remains = all.filter((dyno) => dyno.kind === "build" && !this.#active.has(dyno.id));
    await Promise.all(remains.map((dyno) => this.#options.engine.remove(dyno.id)));
  }

  /** Starts one and waits for its driver. Throws `Busy`, an `EngineError`, or the signal's reason; then nothing is left. */
  async start(app: App, signal: AbortSignal): Promise<BuildDyno> {
    const { engine, settings, random, logger } = this.#options;
    if (this.#active.size >= BUILD_DYNOS_MAX) throw new Busy(`${BUILD_DYNOS_MAX} builds and git requests run already`);
    const id = random.uuid();
    this.#active.add(id);
    const remove = async (): Promise<void> => {
      await engine.remove(id).catch((error: unknown) => logger.error("build-dyno.not-removed", { dyno: id, error }));
      this.#options.dynoLogs?.forget(id);
      this.#active.delete(id);
      this.#started.delete(id);
    };
    try {
      const spec: DynoSpec = {
        id,
        appId: app.id,
        uidIndex: app.uidIndex,
        kind: "build",
        name: `build.${(this.#counter++ % 9999) + 1}`,
        releaseId: null,
        stack: "debian-12-build",
        slugDigest: null,
        command: COMMAND,
        env: { ...BASE_ENVIRONMENT, ...networkEnvironment(await settings()) },
        size: BUILD_SIZE.name,
        port: null,
        terminal: null,
        stdin: false,
        isolation: "container", // docs/decisions/0018
        io: true,
      };
      await this.#startWhenRoom(spec, signal);
      return new BuildDyno(id, await this.#connect(id, signal), engine, remove);
    } catch (error) {
      await this.#tellLastWords(id);
      await remove();
      throw error;
    }
  }

  async #startWhenRoom(spec: DynoSpec, signal: AbortSignal): Promise<void> {
    const { engine, clock } = this.#options;
    for (const deadline = clock.now() + ROOM_MS; ; await clock.sleep(ROOM_LOOK_MS, signal)) {
      try {
        await engine.start(spec);
        this.#started.add(spec.id);
        return;
      } catch (error) {
        const isFull = error instanceof EngineError && error.id === "no_capacity";
        if (!isFull || this.#started.size === 0 || clock.now() >= deadline) throw error;
      }
    }
  }

  async #connect(id: string, signal: AbortSignal): Promise<ByteStream> {
    const { engine, clock } = this.#options;
    const done = new AbortController();
    const either = AbortSignal.any([signal, done.signal]);
    const late = clock.sleep(CONNECT_MS, either).then(
      () => {
        throw new Error(`build dyno ${id}: its driver did not connect in ${CONNECT_MS / 1000} s`);
      },
      () => new Promise<never>(() => {}), // somebody else has told
    );
    const stopped = aborted(signal).then(() => {
      throw signal.reason;
    });
    try {
      return await Promise.race([engine.io(id, either), late, stopped, this.#died(id, either)]);
    } finally {
      done.abort();
    }
  }

  /** Rejects once the dyno has ended. */
  async #died(id: string, signal: AbortSignal): Promise<never> {
    const { engine, clock } = this.#options;
    for (;;) {
      await clock.sleep(500, signal).catch(() => {}); // looking once too often does no harm
      if (signal.aborted) return new Promise<never>(() => {});
      const dyno = (await engine.list()).find((each) => each.id === id);
      if (dyno?.state.kind === "ended")
        throw new Error(`build dyno ${id} ended with status ${dyno.state.status} before it connected`);
    }
  }

  /** What the driver wrote before it failed: for operators, who can do something about it. */
  async #tellLastWords(id: string): Promise<void> {
    const { dynoLogs, clock, logger } = this.#options;
    if (!dynoLogs) return;
    const enough = new AbortController();
    void clock.sleep(500, enough.signal).then(
      () => enough.abort(),
      () => {},
    );
    const pieces: Uint8Array[] = [];
    try {
      for await (const piece of dynoLogs.output(id, enough.signal)) pieces.push(piece);
    } catch {
      // no more of it: what came is told
    }
    enough.abort();
    logger.warn("build-dyno.failed", { dyno: id, output: Buffer.concat(pieces).subarray(-2000).toString("utf8") });
  }
}

/** One build dyno and the connection with its driver. What comes from it is a stranger's. */
export class BuildDyno implements AsyncDisposable {
  readonly id: string;
  readonly frames: AsyncGenerator<Frame, void>;
  readonly #stream: ByteStream;
  readonly #writer: FrameWriter;
  readonly #engine: Engine;
  readonly #remove: () => Promise<void>;

  constructor(id: string, stream: ByteStream, engine: Engine, remove: () => Promise<void>) {
    this.id = id;
    this.#stream = stream;
    this.#engine = engine;
    this.#remove = remove;
    this.#writer = new FrameWriter(stream.writable);
    stream.writable.on("error", () => {}); // the reading side tells
    this.frames = readFrames(stream.readable as Readable & AsyncIterable<Uint8Array>); // no encoding is set: Buffers
  }

  send(kind: FrameKind, payload?: Uint8Array): Promise<void> {
    return this.#writer.send(kind, payload);
  }

  sendBytes(kind: FrameKind, bytes: Uint8Array | string): Promise<void> {
    return this.#writer.sendBytes(kind, bytes);
  }

  sendJson(kind: FrameKind, value: unknown): Promise<void> {
    return this.#writer.sendJson(kind, value);
  }

  /** Ends the connection at once; the driver dies of it. */
  close(): void {
    this.#stream.close();
  }

  async ranOutOfMemory(): Promise<boolean> {
    const dyno = (await this.#engine.list()).find((each) => each.id === this.id);
    return dyno?.state.kind === "ended" && dyno.state.outOfMemory;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.#remove();
  }
}
