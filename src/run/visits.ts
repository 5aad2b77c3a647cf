import type { Readable, Writable } from "node:stream";
import { addAbortListener } from "../lib/abort.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { PlatformError } from "../model/errors.ts";
import type { AttachedClient } from "./bridge.ts";
import { Secrets } from "./secrets.ts";
import { type Endpoint, type SessionRequest, type Sessions, UNSEEN } from "./sessions.ts";
import { Traffic } from "./traffic.ts";

/** What a client may do inside one running dyno, once. */
export type Visit = { readonly dynoId: string } & (
  | { readonly kind: "process"; readonly request: SessionRequest }
  | { readonly kind: "connection"; readonly to: Endpoint }
  | { readonly kind: "file"; readonly path: string }
);

export interface VisitOptions {
  readonly sessions: Sessions;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What the status of a session is that could not begin, or whose end nobody saw. */
const FAILED = 255;

/** Sessions of people (and their programs) inside running dynos, from the call that allows one to its end. */
export class Visits implements AsyncDisposable {
  readonly #options: VisitOptions;
  readonly #secrets: Secrets<Visit>;
  readonly #closing = new AbortController();
  readonly #joined = new Set<Promise<void>>();

  constructor(options: VisitOptions) {
    this.#options = options;
    this.#secrets = new Secrets(options.clock);
  }

  /** The secret that joins one client, once. */
  issue(visit: Visit): string {
    return this.#secrets.issue(visit);
  }

  /** undefined: unknown, used or too old. */
  redeem(secret: string): Visit | undefined {
    return this.#secrets.redeem(secret);
  }

  /** Carries it out for the client until either ends. Never rejects. */
  async join(visit: Visit, client: AttachedClient): Promise<void> {
    const over = new AbortController();
    using _gone = addAbortListener(client.gone, () => over.abort());
    using _closing = addAbortListener(this.#closing.signal, () => over.abort());
    const work = this.#carry(visit, client, over).catch((error: unknown) => this.#fail(error, visit, client, over));
    this.#joined.add(work);
    await work.finally(() => this.#joined.delete(work));
    over.abort();
    client.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#joined);
  }

  async #carry(visit: Visit, client: AttachedClient, over: AbortController): Promise<void> {
    const { sessions, clock } = this.#options;
    const { signal } = over;
    const life = new Traffic(clock);
    switch (visit.kind) {
      case "process": {
        const opened = await sessions.open(visit.dynoId, visit.request, signal);
        using _over = addAbortListener(signal, () => opened.close());
        const hasTerminal = visit.request.terminal !== null;
        const input = this.#input(client, hasTerminal, opened.stdin, life, (window) => opened.resize(window));
        const idle = life.endWhenIdle(over);
        await Promise.all([
          written(opened.stdout, (chunk) => client.write(chunk), life),
          written(opened.stderr, (chunk) => writeError(client, chunk), life),
        ]);
        const status = await opened.exited;
        if (status === null && !signal.aborted) await writeError(client, Buffer.from(`${UNSEEN}\r\n`));
        if (!signal.aborted) await client.finish(status ?? FAILED);
        over.abort();
        await Promise.all([input, idle]);
        return;
      }
      case "connection": {
        const connection = await sessions.connect(visit.dynoId, visit.to, signal);
        using _over = addAbortListener(signal, () => connection.close());
        const input = this.#input(client, false, connection.writable, life, () => {});
        const idle = life.endWhenIdle(over);
        await client.begun?.();
        await written(connection.readable, (chunk) => client.write(chunk), life);
        if (!signal.aborted) await client.finish(0);
        over.abort();
        await Promise.all([input, idle]);
        return;
      }
      case "file": {
        const { content } = await sessions.readFile(visit.dynoId, visit.path, signal);
        using _over = addAbortListener(signal, () => content.destroy());
        const input = this.#input(client, false, undefined, life, () => {});
        await written(content, (chunk) => client.write(chunk), life);
        if (!signal.aborted) await client.finish(0);
        over.abort();
        await input;
        return;
      }
    }
  }

  /** Says what the client can be told, in its own output. */
  async #fail(error: unknown, visit: Visit, client: AttachedClient, { signal }: AbortController): Promise<void> {
    if (signal.aborted) return;
    const isTheirs = error instanceof PlatformError;
    if (!isTheirs) this.#options.logger.error("visit.failed", { dynoId: visit.dynoId, error });
    const words = isTheirs
      ? error.message
      : "The session broke off by a fault of the platform; its log has the details.";
    try {
      await writeError(client, Buffer.from(`${words}\r\n`));
      await client.finish(FAILED);
    } catch {
      // it has gone meanwhile
    }
  }

  /** What comes from the client, until it has gone. */
  async #input(
    client: AttachedClient,
    hasTerminal: boolean,
    input: Writable | undefined,
    life: Traffic,
    resize: (window: { readonly rows: number; readonly columns: number }) => void,
  ): Promise<void> {
    input?.on("error", () => {}); // it reads no more: what follows goes nowhere
    try {
      for await (const event of client.events(hasTerminal)) {
        life.mark();
        if (event.kind === "resize") resize(event);
        else if (event.kind === "end") input?.end();
        else if (input?.writable === true && !input.write(event.data)) await drained(input, client.gone);
      }
    } catch (error) {
      this.#options.logger.warn("visit.bad_client", { error }); // it broke its protocol: as if it had gone
      client.close();
    }
  }
}

const writeError = (client: AttachedClient, chunk: Uint8Array): Promise<void> =>
  client.writeError === undefined ? client.write(chunk) : client.writeError(chunk);

/** All of it, as fast as it is taken. */
async function written(from: Readable, write: (chunk: Uint8Array) => Promise<void>, life: Traffic): Promise<void> {
  for await (const chunk of from) {
    life.mark();
    await write(chunk as Buffer); // no encoding is set
  }
}

/** Resolves once more may be written, or nothing will be read any more. */
function drained(input: Writable, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const listener = addAbortListener(gone, done);
    const events = ["drain", "close", "error"] as const;
    for (const event of events) input.once(event, done);
    function done(): void {
      listener[Symbol.dispose]();
      for (const event of events) input.off(event, done);
      resolve();
    }
  });
}
