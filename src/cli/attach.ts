import type { Duplex, Writable } from "node:stream";
import type { ReadStream } from "node:tty";
import { type Client, errorOf, requester, textOf, UnreachableError } from "./client.ts";
import { encodeFrame, FRAME, FrameReader } from "./frames.ts";
import { note } from "./output.ts";

/** The connection broke before the end, which nobody saw. */
class LostError extends UnreachableError {
  override readonly status = 255;
}

/**
 * Joins this terminal (or pipe) with a one-off dyno that waits for its client, or with a session inside a running one, and gives the exit
 * status of its command. `secret` is the path of the dyno's `attach_url`. Throws `LostError` when the connection breaks before the end.
 */
export async function attach(
  client: Client,
  secret: string,
  terminal: boolean,
  { output = process.stdout, takesInput = true, lost = LOST }: Ends = {},
): Promise<number> {
  const socket = await upgrade(client, `/stator/attach/${secret}`);
  const restore = !takesInput ? () => {} : terminal ? passTerminal(socket) : passPipe(socket);
  try {
    return await readToEnd(socket, output, lost);
  } finally {
    restore();
    socket.destroy();
  }
}

export interface Ends {
  /** Default: standard output. */
  readonly output?: Writable;
  /** Default: standard input is passed on. */
  readonly takesInput?: boolean;
  /** What is said where the connection breaks. */
  readonly lost?: string;
}

const LOST = "The connection to the dyno was lost; look at its end with `stator logs`.";
/** Of a session inside a running dyno. */
export const SESSION_LOST = "The connection to the platform was lost, and the session has ended with it.";

/** The secret in `rendezvous://host:port/SECRET`. Throws if there is none. */
export function secretOf(attachUrl: string | null): string {
  const match = /^[a-z]+:\/\/[^/]+\/([^/?#]+)/.exec(attachUrl ?? "");
  if (match?.[1] === undefined) throw new Error(`the platform gave no attach_url but ${attachUrl}`);
  return match[1];
}

/** The socket of an attached dyno; frames go over it. */
export function upgrade(client: Client, path: string): Promise<Duplex> {
  const url = new URL(path, client.platform.url);
  return new Promise((resolve, reject) => {
    const outgoing = requester(url)(
      url,
      client.requestOptions(url, "GET", { headers: { Connection: "Upgrade", Upgrade: "stator-attach" } }),
    );
    outgoing.once("upgrade", (_response, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    outgoing.once("response", (response) => {
      textOf(response).then((text) => reject(errorOf(response.statusCode ?? 0, text)), reject);
    });
    outgoing.once("error", (error) => reject(client.unreachable(error)));
    outgoing.end();
  });
}

/** Writes output as it comes until the exit frame; waits with reading while what it goes to is full. */
function readToEnd(socket: Duplex, output: Writable, lost: string): Promise<number> {
  const frames = new FrameReader();
  return new Promise((resolve, reject) => {
    socket.on("data", (chunk: Buffer) => {
      try {
        for (const { type, body } of frames.push(chunk)) {
          if (type === FRAME.exit) return resolve(statusOf(body));
          const to = type === FRAME.data ? output : type === FRAME.error ? process.stderr : undefined;
          if (to?.write(body) === false) {
            socket.pause();
            to.once("drain", () => socket.resume());
          }
        }
      } catch (error) {
        reject(error as Error);
      }
    });
    socket.on("error", () => {}); // told by the close
    socket.once("close", () => reject(new LostError(lost)));
  });
}

function statusOf(body: Buffer): number {
  const { status } = JSON.parse(body.toString("utf8")) as { readonly status: unknown };
  return typeof status === "number" ? status : 1;
}

/** Standard input as it comes, and its end. */
function passPipe(socket: Duplex): () => void {
  const { stdin } = process;
  const pass = (chunk: Buffer) => {
    if (socket.write(encodeFrame(FRAME.data, chunk))) return;
    stdin.pause();
    socket.once("drain", () => stdin.resume());
  };
  const end = () => socket.write(encodeFrame(FRAME.endOfInput));
  stdin.on("data", pass).once("end", end);
  return () => {
    stdin.off("data", pass).off("end", end);
    stdin.destroy();
  };
}

const FORCE_KEYS = 4;
const FORCE_WITHIN_MS = 1000;

/** Keys as they are pressed, Ctrl-C too, and the terminal's size; four Ctrl-C within a second disconnect. */
function passTerminal(socket: Duplex): () => void {
  const stdin: ReadStream = process.stdin;
  const presses: number[] = [];
  const pass = (chunk: Buffer) => {
    // Pressed quickly they may come together.
    if (chunk.every((byte) => byte === 3)) {
      const now = Date.now();
      presses.push(...Array.from(chunk, () => now));
      if (now - (presses.at(-FORCE_KEYS) ?? now) < FORCE_WITHIN_MS && presses.length >= FORCE_KEYS) {
        note("forcing dyno disconnect");
        socket.destroy();
        return;
      }
    }
    socket.write(encodeFrame(FRAME.data, chunk));
  };
  const resize = () => {
    const { rows, columns } = process.stdout;
    socket.write(encodeFrame(FRAME.resize, JSON.stringify({ rows, columns })));
  };
  stdin.setRawMode(true);
  stdin.on("data", pass);
  process.stdout.on("resize", resize);
  return () => {
    stdin.off("data", pass);
    process.stdout.off("resize", resize);
    stdin.setRawMode(false);
    stdin.destroy();
  };
}
