import { type Frame, type FrameKind, ProtocolError } from "../../buildkit/frames.ts";
import { type BuildRequest, type Exit, type Job, parseBuildRequest, parseExit } from "../../buildkit/messages.ts";
import { aborted } from "../lib/abort.ts";
import type { BuildDyno } from "./build-dyno.ts";

/** Answers the driver's question whether a push may be accepted. */
export interface Builder {
  /** Never rejects. */
  build(request: BuildRequest, channel: BuildChannel): Promise<boolean>;
  /** What the build says to the pusher. */
  text(bytes: Buffer): void;
}

export interface Conversation {
  readonly dyno: BuildDyno;
  readonly job: Job;
  /** Git's standard input; the archive. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Takes git's standard output. */
  readonly output: (bytes: Buffer) => Promise<void>;
  readonly builder: Builder | undefined;
}

/** The dyno went before its git had ended. */
export class DynoLost extends Error {}

/** One job of a build dyno, from the order to its exit: git's, for a run of git. Throws `ProtocolError` or `DynoLost`. */
export async function converse({ dyno, job, input, output, builder }: Conversation): Promise<Exit> {
  const channel = new BuildChannel(dyno);
  let judging: Promise<void> | undefined;
  await dyno.sendJson("job", job);
  const gitEnded = new AbortController();
  const feeding = feed(dyno, input, gitEnded.signal);
  try {
    for await (const frame of dyno.frames) {
      switch (frame.kind) {
        case "git":
          await output(frame.payload);
          break;
        case "text":
          builder?.text(frame.payload);
          break;
        case "build":
          if (builder === undefined || judging !== undefined) throw new ProtocolError("a build that nobody asked for");
          judging = judge(dyno, builder, requestOf(frame, job), channel);
          break;
        case "compiled":
        case "failed":
        case "slug":
        case "slugEnd":
          if (judging === undefined) throw new ProtocolError(`${frame.kind} without a build`);
          await channel.give(frame);
          break;
        case "exit":
          return parseExit(frame);
        case "job":
        case "input":
        case "inputEnd":
        case "go":
        case "say":
        case "send":
        case "verdict":
          throw new ProtocolError(`${frame.kind} from a build dyno`);
      }
    }
    throw new DynoLost("the build dyno is gone");
  } catch (error) {
    channel.fail(error);
    throw error;
  } finally {
    channel.fail(new DynoLost("git has ended"));
    gitEnded.abort();
    dyno.close(); // whatever still feeds or judges ends with it
    await Promise.all([feeding, judging]);
  }
}

/** A push has a commit, an archive none. */
function requestOf(frame: Frame, { service }: Job): BuildRequest {
  const request = parseBuildRequest(frame);
  const isArchive = service === "source" || service === "slug";
  if (isArchive !== (request.commit === null)) throw new ProtocolError("a build of another kind");
  return request;
}

/**
 * The client's words to git, until git has ended: a client that says nothing more, and stays, is answered all the same. One that breaks
 * off is noticed where it is answered.
 */
async function feed(dyno: BuildDyno, input: AsyncIterable<Uint8Array>, until: AbortSignal): Promise<void> {
  const chunks = input[Symbol.asyncIterator]();
  const over = aborted(until).then(() => undefined);
  try {
    for (;;) {
      const asked = chunks.next();
      asked.catch(() => {}); // nobody may be left to hear it
      const next = await Promise.race([asked, over]);
      if (next === undefined) break;
      if (next.done === true) return await dyno.send("inputEnd");
      await dyno.sendBytes("input", next.value);
    }
  } catch {
    dyno.close(); // half a push is no push; when git has ended this changes nothing
  }
  chunks.return?.().catch(() => {}); // when it has given what it was asked for
}

async function judge(dyno: BuildDyno, builder: Builder, request: BuildRequest, channel: BuildChannel): Promise<void> {
  const accepted = await builder.build(request, channel);
  channel.fail(new DynoLost("the verdict is given"));
  await dyno.sendJson("verdict", { accepted }).catch(() => {}); // it is gone: so is the push
}

/** The builder's side of the conversation: frames are handed over one at a time, so that the dyno waits for a slow disk. */
export class BuildChannel {
  readonly #dyno: BuildDyno;
  #given: { readonly frame: Frame; readonly taken: () => void } | undefined;
  #wanted: { readonly resolve: (frame: Frame) => void; readonly reject: (error: unknown) => void } | undefined;
  #failure: { readonly error: unknown } | undefined;
  readonly #failed = Promise.withResolvers<never>();

  constructor(dyno: BuildDyno) {
    this.#dyno = dyno;
    this.#failed.promise.catch(() => {}); // most builds wait for nothing else
  }

  /** Resolves when the builder has taken the frame, or takes no more. */
  give(frame: Frame): Promise<void> {
    if (this.#failure) return Promise.resolve(); // a build that was ended may still have said something
    const wanted = this.#wanted;
    if (wanted) {
      this.#wanted = undefined;
      wanted.resolve(frame);
      return Promise.resolve();
    }
    return new Promise((taken) => {
      this.#given = { frame, taken };
    });
  }

  /** The next frame of the build. Rejects once the channel has failed. */
  take(): Promise<Frame> {
    if (this.#failure) return Promise.reject(this.#failure.error);
    const given = this.#given;
    if (given) {
      this.#given = undefined;
      given.taken();
      return Promise.resolve(given.frame);
    }
    return new Promise((resolve, reject) => {
      this.#wanted = { resolve, reject };
    });
  }

  /** No frame is taken any more; the first reason counts. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#given?.taken();
    this.#given = undefined;
    this.#wanted?.reject(this.#failure.error);
    this.#wanted = undefined;
    this.#failed.reject(this.#failure.error);
  }

  /** What `work` gives; rejects once the channel has failed. The work itself goes on. */
  unlessFailed<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#failed.promise]);
  }

  /** Throws why the channel has failed, if it has. */
  throwIfFailed(): void {
    if (this.#failure) throw this.#failure.error;
  }

  send(kind: FrameKind, value?: unknown): Promise<void> {
    return value === undefined ? this.#dyno.send(kind) : this.#dyno.sendJson(kind, value);
  }

  /** To the pusher, who may be gone. */
  async say(text: string): Promise<void> {
    await this.#dyno.sendBytes("say", text).catch(() => {});
  }
}
