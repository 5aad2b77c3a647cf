import { request } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect, type TLSSocket } from "node:tls";
import { encodeFrame, type Frame, FrameReader } from "../../src/lib/frames.ts";
import { FRAME_BYTES_MAX } from "../../src/run/attach-frames.ts";
import type { World } from "./api-world.ts";
import { eventually } from "./eventually.ts";

/** The clients of attached dynos and of sessions inside running ones, by both protocols, against a test's API. */
export function tls(world: World): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    // No server name, as the official CLI does (platform-api 3.1.2).
    const socket = connect({ host: "127.0.0.1", port: world.api.tlsPort, ca: world.ca }, () => resolve(socket));
    socket.once("error", reject);
  });
}

export async function rendezvous(world: World, secret: string, waits = true) {
  const socket = await tls(world);
  const chunks: string[] = [];
  const ended = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.setEncoding("utf8").on("data", (chunk: string) => chunks.push(chunk));
  socket.on("error", () => {});
  socket.write(`${secret}\r\n`);
  const until = (text: string) => eventually(() => chunks.slice(1).join("").includes(text));
  if (waits) await eventually(() => chunks.length > 0);
  return { socket, chunks, ended, until, [Symbol.asyncDispose]: async () => void socket.destroy() };
}

/** All that frames need of a test's world. */
interface Api {
  readonly api: { readonly port: number };
}

export function upgrade(
  { api }: Api,
  secret: string,
  path = `/stator/attach/${secret}`,
  protocol = "stator-attach",
): Promise<{ readonly status: number; readonly socket?: Duplex }> {
  return new Promise((resolve, reject) => {
    const headers = { Connection: "Upgrade", Upgrade: protocol };
    const outgoing = request({ host: "127.0.0.1", port: api.port, path, headers, agent: false });
    outgoing.once("error", reject);
    outgoing.once("response", (incoming) => {
      incoming.resume();
      resolve({ status: incoming.statusCode ?? 0 });
    });
    outgoing.once("upgrade", (_, socket: Socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve({ status: 101, socket });
    });
    outgoing.end();
  });
}

export interface Attached {
  readonly out: string;
  readonly err: string;
  /** The types of all frames, each once, in their order. */
  readonly types: readonly number[];
  readonly status: number | null | undefined;
}

/** Sends input and its end, and reads to the end. */
export async function attached(world: Api, secret: string, input: string, ...frames: Buffer[]): Promise<Attached> {
  const { socket, status } = await upgrade(world, secret);
  if (socket === undefined) throw new Error(`no upgrade but ${status}`);
  for (const frame of frames) socket.write(frame);
  if (input !== "") socket.write(encodeFrame(0, Buffer.from(input)));
  socket.write(encodeFrame(2, Buffer.alloc(0)));
  const reader = new FrameReader(FRAME_BYTES_MAX);
  const got: Frame[] = [];
  for await (const chunk of socket) for (const { type, body } of reader.push(chunk as Buffer)) got.push({ type, body });
  const all = (wanted: number) =>
    Buffer.concat(got.flatMap(({ type, body }) => (type === wanted ? [body] : []))).toString();
  const exit = all(3);
  return {
    out: all(0),
    err: all(5),
    types: [...new Set(got.map(({ type }) => type))],
    status: exit === "" ? undefined : (JSON.parse(exit) as { readonly status: number | null }).status, // our own server's
  };
}
