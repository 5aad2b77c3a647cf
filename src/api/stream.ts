import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FastifyReply } from "fastify";
import type { Clock } from "../lib/clock.ts";

export interface StreamOptions {
  readonly type: string;
  readonly body: AsyncIterable<string | Uint8Array>;
  /** Written now and then, between two chunks of the body, so that nobody takes silence for the end. */
  readonly keepAlive?: { readonly text: string; readonly everyMs: number; readonly clock: Clock };
}

/**
 * Answers with a stream, its headers at once: a client that waits for the first line must know that it is being served. A
 * stream that fails breaks the connection, so that half an answer is not taken for a whole one.
 */
export async function sendStream(reply: FastifyReply, { type, body, keepAlive }: StreamOptions): Promise<void> {
  const { raw } = reply;
  reply.hijack();
  for (const [name, value] of Object.entries(reply.getHeaders())) raw.setHeader(name, value ?? "");
  raw.writeHead(200, { "Content-Type": type, "Cache-Control": "no-store" });
  raw.flushHeaders();
  if (reply.request.method === "HEAD") {
    raw.end();
    return;
  }
  const done = new AbortController();
  const alive = keepAlive === undefined ? Promise.resolve() : keepSaying(raw, keepAlive, done.signal);
  // Fails when the client has left, or the source has.
  await pipeline(Readable.from(body, { objectMode: false }), raw).catch(() => raw.destroy());
  done.abort();
  await alive;
}

async function keepSaying(
  raw: FastifyReply["raw"],
  { text, everyMs, clock }: NonNullable<StreamOptions["keepAlive"]>,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const isOver = await clock.sleep(everyMs, signal).then(
      () => false,
      () => true,
    );
    if (isOver) return;
    if (!raw.writableNeedDrain) raw.write(text);
  }
}
