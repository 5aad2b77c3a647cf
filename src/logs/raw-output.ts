import type { Engine } from "../engine/engine.ts";
import type { Logger } from "../lib/logger.ts";
import type { Nudge } from "../lib/nudge.ts";
import { RawFile } from "./raw-file.ts";
import { RawParser } from "./raw-record.ts";

const LOOK_MS = 1_000;
const BUFFER_BYTES = 64 * 1024;
const NEWLINE = Buffer.from("\n");

export interface RawOutputParts {
  readonly dynoId: string;
  readonly rawFolder: string;
  readonly engine: Pick<Engine, "trimLog">;
  readonly logger: Logger;
  /** Rung when the raw log may have grown, or the dyno has ended. */
  readonly nudge: Nudge;
  readonly isEnded: () => boolean;
}

/** What a dyno wrote, byte for byte, as it comes; a reader that is slow finds it waiting in the files. */
export async function* rawOutput(parts: RawOutputParts, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const { dynoId, rawFolder, nudge, isEnded } = parts;
  const parser = new RawParser();
  const buffer = Buffer.alloc(BUFFER_BYTES);
  let trimmed = 1;
  await using raw = new RawFile(rawFolder, dynoId, { segment: 1, offset: 0 });
  while (!signal.aborted) {
    const read = await raw.read(buffer, isEnded);
    if (read.kind === "end") return;
    if (read.kind === "bytes") {
      const pieces: Uint8Array[] = [];
      const taken = parser.parse(read.bytes, read.isLast, ({ isPartial, contentStart, contentEnd }) => {
        pieces.push(read.bytes.subarray(contentStart, contentEnd));
        if (!isPartial) pieces.push(NEWLINE);
      });
      raw.advance(taken);
      if (pieces.length > 0) yield Buffer.concat(pieces);
    } else if (read.kind === "idle") {
      await nudge.wait(LOOK_MS, signal);
    }
    if (raw.segment > trimmed) {
      trimmed = raw.segment;
      await trim(parts, trimmed);
    }
  }
}

async function trim({ dynoId, engine, logger }: RawOutputParts, segment: number): Promise<void> {
  try {
    await engine.trimLog(dynoId, segment);
  } catch (error) {
    logger.warn("logs.trim_failed", { dynoId, segment, error }); // the next segment's trim takes these too
  }
}
