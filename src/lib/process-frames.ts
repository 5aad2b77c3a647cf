import { Readable, Writable } from "node:stream";
import { encodeFrame, type Frame, FrameReader } from "./frames.ts";

/**
 * A process at the other end of a byte stream. To it: 0 input, 1 resize (rows and columns, two bytes each), 2 end of input,
 * 4 signal (its name). From it: 0 standard output, 5 standard error, 6 credit (four bytes: so much more input is taken),
 * 3 exit (one byte, its status). The end of the stream before that: nobody knows how it ended.
 *
 * Input goes on credit, 256 KiB to begin with, so that what follows it (a resize, a signal, the end of the stream) is
 * never stuck behind input that the process does not read.
 */
const TO = { input: 0, resize: 1, endOfInput: 2, signal: 4 } as const;
const FROM = { stdout: 0, exit: 3, stderr: 5, credit: 6 } as const;
const CREDIT_BYTES = 256 * 1024;
const INPUT_BYTES_MAX = 32 * 1024;
const END_OF_TRANSMISSION = Uint8Array.of(4);
const FRAME_BYTES_MAX = 64 * 1024;

export interface FramedProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Never rejects. null: the stream ended without saying it. */
  readonly exited: Promise<number | null>;
  resize(window: { readonly rows: number; readonly columns: number }): void;
  signal(name: string): void;
  close(): void;
}

export interface Ends {
  readonly readable: Readable;
  readonly writable: Writable;
  close(): void;
}

/** `isTerminal`: an end of input is typed. */
export function processOver(ends: Ends, { isTerminal = false }: { readonly isTerminal?: boolean } = {}): FramedProcess {
  const { readable, writable } = ends;
  const exit = Promise.withResolvers<number | null>();
  const reader = new FrameReader(FRAME_BYTES_MAX);
  const resume = () => void readable.resume();
  const outputs = { [FROM.stdout]: new Readable({ read: resume }), [FROM.stderr]: new Readable({ read: resume }) };
  const credit = new Credit();
  let isOver = false;
  const finish = (status: number | null): void => {
    if (isOver) return;
    isOver = true;
    exit.resolve(status);
    credit.wake();
    for (const output of Object.values(outputs)) if (!output.destroyed) output.push(null);
    ends.close();
  };
  const send = (type: number, body: Uint8Array): void => {
    if (!isOver && writable.writable) writable.write(encodeFrame(type, body));
  };
  const act = ({ type, body }: Frame): void => {
    if (type === FROM.stdout || type === FROM.stderr) {
      const output = outputs[type];
      if (!output.destroyed && !output.push(body)) readable.pause();
    } else if (type === FROM.credit && body.length === 4) credit.add(body.readUInt32BE(0));
    else if (type === FROM.exit) finish(body.length === 1 ? body.readUInt8(0) : null);
  };
  function take(chunk: Buffer): void {
    try {
      for (const frame of reader.push(chunk)) if (!isOver) act(frame);
    } catch {
      finish(null); // a broken peer
    }
  }
  for (const event of ["end", "close", "error"]) readable.on(event, () => finish(null));
  writable.on("error", () => {}); // told by the other side's end
  for (const output of Object.values(outputs)) output.on("close", resume); // nobody wants the rest: it must not hold up the other
  readable.on("data", take).resume(); // it may stand still

  const stdin = new Writable({
    write(chunk: Buffer, _encoding, done) {
      const more = (at: number): void => {
        if (at === chunk.length || isOver) return done(); // once it has ended it goes nowhere
        credit.take(Math.min(INPUT_BYTES_MAX, chunk.length - at), (bytes) => {
          send(TO.input, chunk.subarray(at, at + bytes));
          more(at + bytes);
        });
      };
      more(0);
    },
    final(done) {
      if (isTerminal) send(TO.input, END_OF_TRANSMISSION);
      else send(TO.endOfInput, new Uint8Array());
      done();
    },
  });
  return {
    stdin,
    stdout: outputs[FROM.stdout],
    stderr: outputs[FROM.stderr],
    exited: exit.promise,
    resize({ rows, columns }) {
      const body = Buffer.alloc(4);
      body.writeUInt16BE(rows, 0);
      body.writeUInt16BE(columns, 2);
      send(TO.resize, body);
    },
    signal: (name) => send(TO.signal, Buffer.from(name)),
    close: () => ends.close(),
  };
}

/** How much may be sent. One caller at a time. */
class Credit {
  #bytes = CREDIT_BYTES;
  #waiting: (() => void) | undefined;

  add(bytes: number): void {
    this.#bytes += bytes;
    this.wake();
  }

  /** Whoever waits is let go, with nothing if there is nothing. */
  wake(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }

  /** Calls with up to `wanted`, once there is some. */
  take(wanted: number, given: (bytes: number) => void): void {
    const give = (): void => {
      const bytes = Math.min(wanted, this.#bytes);
      this.#bytes -= bytes;
      given(bytes);
    };
    if (this.#bytes > 0) give();
    else this.#waiting = give;
  }
}
