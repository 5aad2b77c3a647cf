import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import type { Pack } from "tar-stream";
import type { Engine } from "../../src/engine/engine.ts";

/** Gives the engine a slug with these files, and gives what a dyno needs to use it. */
export async function putTar(
  engine: Engine,
  pack: Pack,
): Promise<{ readonly slugDigest: string; readonly uidIndex: number }> {
  pack.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of pack) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  const digest = createHash("sha256").update(bytes).digest("hex");
  await engine.putSlug({ digest, uidIndex: 1 }, Readable.from([bytes]));
  return { slugDigest: digest, uidIndex: 1 };
}
