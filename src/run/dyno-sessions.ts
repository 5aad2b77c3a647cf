import { PassThrough, Readable } from "node:stream";
import { type ByteStream, type Engine, EngineError, type ExecRequest } from "../engine/engine.ts";
import { addAbortListener } from "../lib/abort.ts";
import { type FramedProcess, processOver } from "../lib/process-frames.ts";
import { PlatformError } from "../model/errors.ts";
import type { Store } from "../store/store.ts";
import { connectArguments, readArguments } from "./inside.ts";
import type { OpenSessions } from "./open-sessions.ts";
import { RECORDED_NOTICE, type Recording, type Recordings } from "./recordings.ts";
import type { DynoFile, DynoProcess, Endpoint, SessionRequest, Sessions } from "./sessions.ts";

export interface SessionOptions {
  readonly engine: Pick<Engine, "exec">;
  readonly store: Pick<Store, "dynos">;
  readonly recordings: Pick<Recordings, "begin">;
  readonly openSessions: Pick<OpenSessions, "add">;
}

/** A path may be so long on Linux. */
const PATH_BYTES_MAX = 4096;
const HOST_MAX = 253;
const REASON_MAX = 300;
const LINE_FEED = 10;

/** `Sessions` over an engine. All end when it is disposed of. */
export class DynoSessions implements Sessions {
  readonly #options: SessionOptions;
  readonly #open = new Set<FramedProcess>();

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  async open(dynoId: string, request: SessionRequest, signal: AbortSignal): Promise<DynoProcess> {
    const { command, env, terminal } = request;
    const recording = await this.#recordingOf(dynoId, request);
    try {
      const opened = await this.#exec(dynoId, { command, setting: "dyno", env, terminal }, signal);
      return recording === undefined ? opened : recorded(opened, recording, terminal !== null);
    } catch (error) {
      await recording?.end(null);
      throw error;
    }
  }

  /** Of an attended session of an app whose owner wants them recorded. Throws where that cannot be begun. */
  async #recordingOf(dynoId: string, { attended, command, terminal }: SessionRequest): Promise<Recording | undefined> {
    const dyno = attended === null ? undefined : await this.#options.store.dynos.byId(dynoId);
    if (attended === null || dyno === undefined) return undefined;
    const { userEmail } = attended;
    const text = [command].flat().join(" ");
    return this.#options.recordings.begin({ appId: dyno.appId, dyno: dyno.name, command: text, userEmail, terminal });
  }

  async connect(dynoId: string, { host, port }: Endpoint, signal: AbortSignal): Promise<ByteStream> {
    const isHost = /^[A-Za-z0-9._:-]+$/.test(host) && !host.startsWith("-") && host.length <= HOST_MAX;
    const isPort = Number.isSafeInteger(port) && port >= 1 && port <= 65_535;
    if (!isHost || !isPort) throw new PlatformError("invalid_params", "That is no host and port to connect to.");
    const helper = await this.#bare(dynoId, connectArguments(host, port), signal);
    const first = await this.#head(helper, 1, signal);
    if (first === undefined) {
      const why = await reason(helper);
      throw new PlatformError("invalid_params", `The dyno could not connect to ${host} on port ${port}: ${why}.`);
    }
    helper.stderr.resume();
    return { readable: helper.stdout, writable: helper.stdin, close: () => helper.close() };
  }

  async readFile(dynoId: string, path: string, signal: AbortSignal): Promise<DynoFile> {
    if (path === "" || path.includes("\0") || Buffer.byteLength(path) > PATH_BYTES_MAX)
      throw new PlatformError("invalid_params", "That is no path of a file.");
    const helper = await this.#bare(dynoId, readArguments(path), signal);
    helper.stdin.end();
    const line = await this.#head(helper, "line", signal);
    if (line === undefined) throw new PlatformError("invalid_params", `${path}: ${await reason(helper)}.`);
    const [bytes = 0, mode = 0, seconds = 0] = line.toString("latin1").split(" ").map(Number);
    return { bytes, mode, modifiedAt: seconds * 1000, content: contentOf(helper) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.#open) each.close();
    await Promise.all([...this.#open].map(({ exited }) => exited));
  }

  #bare(dynoId: string, command: readonly string[], signal: AbortSignal): Promise<FramedProcess> {
    return this.#exec(dynoId, { command, setting: "bare", env: {}, terminal: null }, signal);
  }

  async #exec(dynoId: string, request: ExecRequest, signal: AbortSignal): Promise<FramedProcess> {
    try {
      const stream = await this.#options.engine.exec(dynoId, request, signal);
      const opened = processOver(stream, { isTerminal: request.terminal !== null });
      this.#open.add(opened);
      void opened.exited.then(() => this.#open.delete(opened));
      this.#options.openSessions.add(dynoId, opened.exited);
      return opened;
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof EngineError ? (refusalOf(error) ?? error) : error;
    }
  }

  /** The first bytes of what it writes, or its first line without the end; undefined if it ended before. */
  async #head(helper: FramedProcess, wanted: 1 | "line", signal: AbortSignal): Promise<Buffer | undefined> {
    using _given = addAbortListener(signal, () => helper.close());
    let head: Buffer = Buffer.alloc(0);
    for await (const chunk of helper.stdout.iterator({ destroyOnReturn: false })) {
      head = Buffer.concat([head, chunk as Buffer]); // no encoding is set
      const end = wanted === 1 ? 0 : head.indexOf(LINE_FEED);
      if (end < 0) continue;
      const rest = head.subarray(end + 1);
      if (rest.length > 0) helper.stdout.unshift(rest);
      return head.subarray(0, wanted === 1 ? 1 : end);
    }
    signal.throwIfAborted();
    return undefined;
  }
}

/** The same process, of which everything is on disk before it is shown. What cannot be recorded is not shown, and ends it. */
function recorded(opened: FramedProcess, recording: Recording, hasTerminal: boolean): DynoProcess {
  const fail = (): void => opened.close();
  async function* kept(from: Readable, first: string | null): AsyncGenerator<Uint8Array> {
    const keep = recording.output();
    if (first !== null) yield Buffer.from(first);
    for await (const chunk of from) {
      await keep(chunk as Buffer); // no encoding is set
      yield chunk as Buffer;
    }
  }
  const shown = (from: Readable, first: string | null): Readable => {
    const stream = Readable.from(kept(from, first), { objectMode: false });
    return stream.on("error", fail).on("close", () => from.destroy());
  };
  const notice = `${RECORDED_NOTICE}\r\n`;
  const stdout = shown(opened.stdout, hasTerminal ? notice : null);
  const stderr = shown(opened.stderr, hasTerminal ? null : notice);
  const closed = [stdout, stderr].map((each) => new Promise<void>((resolve) => each.once("close", resolve)));
  return {
    ...opened,
    stdout,
    stderr,
    exited: Promise.all([opened.exited, ...closed]).then(async ([status]) => {
      await recording.end(status);
      return status;
    }),
    resize: (window) => {
      recording.resize(window).catch(fail);
      opened.resize(window);
    },
  };
}

/** What the caller can do something about, in the API's words. */
function refusalOf({ id, message }: EngineError): PlatformError | undefined {
  if (id === "not_found")
    return new PlatformError("not_found", "That dyno does not run (any more).", { resource: "dyno" });
  if (id === "invalid") return new PlatformError("invalid_params", message);
  if (id === "unavailable")
    return new PlatformError("service_unavailable", "What runs the dynos is restarting; please try again.");
  return undefined;
}

async function reason({ stderr }: FramedProcess): Promise<string> {
  let text = "";
  for await (const chunk of stderr) text = `${text}${String(chunk)}`.slice(0, REASON_MAX);
  const printable = text.replaceAll(/[^\x20-\x7e]+/g, " ").trim();
  return printable === "" ? "the dyno has ended" : printable;
}

/** Fails where the helper did not come to its end. */
function contentOf(helper: FramedProcess): Readable {
  helper.stderr.resume();
  const content = new PassThrough();
  helper.stdout.pipe(content, { end: false });
  content.once("close", () => helper.close());
  helper.stdout.once("end", () => {
    void helper.exited.then((status) => {
      if (status === 0) content.end();
      else content.destroy(new Error("the file was not read to its end"));
    });
  });
  return content;
}
