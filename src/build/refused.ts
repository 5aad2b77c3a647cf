import { ProtocolError } from "../../buildkit/frames.ts";
import type { EngineError } from "../engine/engine.ts";
import { type AppManifest, ManifestError, NO_MANIFEST, parseAppManifest } from "../model/app-manifest.ts";
import { refuseUnknownTypes } from "../model/manifest-health.ts";
import type { BuildChannel } from "./conversation.ts";
import { BadProcfile } from "./process-types.ts";
import { SLUG_BYTES_MAX, type SlugFiles, SlugTooLarge, type StoredSlug } from "./slugs.ts";

/** Ends the build with words for the pusher. */
export class Refused extends Error {
  readonly lines: readonly string[];
  constructor(...lines: readonly string[]) {
    super(lines.join(" "));
    this.lines = lines;
  }
}

/** Takes the tree that the build dyno has ready. Throws `Refused`. */
export async function receiveSlug(slugs: SlugFiles, channel: BuildChannel): Promise<StoredSlug> {
  const receiver = slugs.receive();
  try {
    await channel.send("send");
    for (;;) {
      const frame = await channel.take();
      if (frame.kind === "slugEnd") return await receiver.finish();
      if (frame.kind === "failed") throw new Refused();
      if (frame.kind !== "slug") throw new ProtocolError(`${frame.kind} inside a slug`);
      await receiver.write(frame.payload);
    }
  } catch (error) {
    await receiver.abandon();
    throw error instanceof SlugTooLarge ? tooLarge(error) : error;
  }
}

export function refusing<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw error instanceof BadProcfile ? new Refused(error.message, "Push failed") : error;
  }
}

export function manifestOf(appJson: string | null, types: readonly string[]): AppManifest {
  try {
    const manifest = appJson === null ? NO_MANIFEST : parseAppManifest(appJson);
    refuseUnknownTypes(manifest.checks, types);
    return manifest;
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    throw new Refused(`app.json: ${error.message}`, "Push failed");
  }
}

export function noImage({ id, message }: EngineError): Refused {
  if (id === "invalid") return new Refused(message, "Push failed");
  return new Refused(
    `No image could be made of the slug: ${message}`,
    "Push again; if it goes wrong again, the platform's operator finds the reason in its log.",
    "Push failed",
  );
}

function tooLarge({ compressed }: SlugTooLarge): Refused {
  const max = megabytes(SLUG_BYTES_MAX);
  return compressed
    ? new Refused(`Compiled slug size: more than ${max} is too large (max is ${max}).`, "Push failed")
    : new Refused("The result of the build unpacks to more than 4 GB.", "Push failed");
}

/** `43.4M` */
export function megabytes(bytes: number): string {
  const value = bytes / 1024 / 1024;
  if (value < 1) return `${Math.max(1, Math.round(bytes / 1024))}K`;
  return `${value >= 100 ? Math.round(value) : Math.round(value * 10) / 10}M`;
}
