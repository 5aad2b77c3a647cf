import { PassThrough, type Readable, Transform } from "node:stream";
import { addAbortListener } from "../../lib/abort.ts";
import { encodeFrame, FrameReader } from "../../lib/frames.ts";
import type { ByteStream, ExecRequest } from "../engine.ts";

/** What a simulated process is given; it ends with the status that it gives. null: its stream breaks off, and nobody sees its end. */
export interface SimProcessParts {
  readonly request: ExecRequest;
  readonly stdin: Readable;
  readonly stdout: (text: string | Uint8Array) => void;
  readonly stderr: (text: string) => void;
  /** `resize 40 100`, `signal INT`, in the order in which they came. */
  readonly told: readonly string[];
  /** Aborted when it is hung up, or its dyno ends. */
  readonly gone: AbortSignal;
}

export type SimProcess = (parts: SimProcessParts) => Promise<number | null>;

/** The other end of `lib/process-frames.ts`, with a process that is a function. */
export function simProcess(program: SimProcess, request: ExecRequest, life: AbortSignal): ByteStream {
  const out = new PassThrough();
  const stdin = new PassThrough();
  const told: string[] = [];
  const gone = new AbortController();
  const reader = new FrameReader(64 * 1024);
  const credit = (bytes: number) => {
    const body = Buffer.alloc(4);
    body.writeUInt32BE(bytes);
    if (out.writable) out.write(encodeFrame(6, body));
  };
  const take = (type: number, body: Buffer): void => {
    if (type === 0) stdin.write(body, () => credit(body.length));
    if (type === 1) told.push(`resize ${body.readUInt16BE(0)} ${body.readUInt16BE(2)}`);
    if (type === 2) stdin.end();
    if (type === 4) told.push(`signal ${body.toString()}`);
  };
  const input = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      for (const { type, body } of reader.push(chunk)) take(type, body);
      done();
    },
  });
  const close = () => {
    gone.abort();
    stdin.destroy();
    out.destroy();
  };
  const listening = addAbortListener(life, () => gone.abort());
  const parts = {
    request,
    stdin,
    told,
    gone: gone.signal,
    stdout: (text: string | Uint8Array) => void (out.writable && out.write(encodeFrame(0, Buffer.from(text)))),
    stderr: (text: string) => void (out.writable && out.write(encodeFrame(5, Buffer.from(text)))),
  };
  program(parts)
    .catch(() => 137) // it was hung up
    .then((status) => {
      listening[Symbol.dispose]();
      if (out.writable) out.end(status === null ? undefined : encodeFrame(3, Buffer.of(status)));
    })
    .catch(() => {});
  return { readable: out, writable: input.resume(), close };
}
