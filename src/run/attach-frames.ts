import type { Duplex } from "node:stream";
import type { Clock } from "../lib/clock.ts";
import { encodeFrame, FrameReader } from "../lib/frames.ts";
import type { AttachedClient, ClientEvent } from "./bridge.ts";
import { cells } from "./call-environment.ts";
import { SocketSide } from "./socket-client.ts";

/**
 * The protocol of our own command line (`Upgrade: stator-attach`): each frame is one byte of type, four of length (big
 * endian), and so many bytes. It carries what rendezvous cannot: the terminal's size, an end of input, the exit status; standard error
 * apart (sessions inside running dynos), and that a connection is there.
 */
const TO_SERVER = { input: 0, resize: 1, endOfInput: 2 } as const;
const TO_CLIENT = { output: 0, exit: 3, error: 5, begun: 6 } as const;
/** More in one frame is a broken client. */
export const FRAME_BYTES_MAX = 1024 * 1024;

export function frameClient(socket: Duplex, clock: Clock): AttachedClient {
  const side = new SocketSide(socket, clock);
  return {
    gone: side.gone,
    close: () => side.close(),
    write: (chunk) => side.write(encodeFrame(TO_CLIENT.output, chunk)),
    writeError: (chunk) => side.write(encodeFrame(TO_CLIENT.error, chunk)),
    begun: () => side.write(encodeFrame(TO_CLIENT.begun, new Uint8Array())),
    async finish(status) {
      await side.write(encodeFrame(TO_CLIENT.exit, Buffer.from(JSON.stringify({ status }))));
      await side.end();
    },
    events: () => events(side),
  };
}

async function* events(side: SocketSide): AsyncGenerator<ClientEvent> {
  const reader = new FrameReader(FRAME_BYTES_MAX);
  for await (const chunk of side.chunks()) {
    for (const { type, body } of reader.push(chunk)) {
      const event = eventOf(type, body);
      if (event) yield event;
    }
  }
}

/** undefined: a type that a later client may have. */
function eventOf(type: number, body: Buffer): ClientEvent | undefined {
  if (type === TO_SERVER.input) return { kind: "input", data: body };
  if (type === TO_SERVER.endOfInput) return { kind: "end" };
  if (type !== TO_SERVER.resize) return undefined;
  const { rows, columns } = JSON.parse(body.toString("utf8")) as {
    readonly rows?: unknown;
    readonly columns?: unknown;
  };
  return { kind: "resize", rows: cells(rows, 24), columns: cells(columns, 80) };
}
