import { type BuildRequest, type Go, parseCompiled } from "../../buildkit/messages.ts";
import { PlatformError } from "../model/errors.ts";
import type { Slug, SlugUpload } from "../model/release.ts";
import type { BuildChannel, Builder } from "./conversation.ts";
import { LIMITS } from "./deployment.ts";
import { manifestOf, Refused, receiveSlug } from "./refused.ts";
import type { SlugFiles } from "./slugs.ts";

type Received = Pick<Slug, "digest" | "sizeBytes" | "manifest">;

/** Takes a slug that was built elsewhere, as a build dyno unpacked it. */
export class SlugReception implements Builder {
  readonly #slugs: SlugFiles;
  readonly #upload: SlugUpload;
  #said = "";
  #result: Received | undefined;
  #error: unknown;

  constructor(slugs: SlugFiles, upload: SlugUpload) {
    this.#slugs = slugs;
    this.#upload = upload;
  }

  /** What came. Throws `invalid_params` with the reason if nothing that can be used did. */
  result(): Received {
    if (this.#result) return this.#result;
    if (this.#error !== undefined && !(this.#error instanceof Refused)) throw this.#error;
    const lines = this.#error instanceof Refused && this.#error.lines.length > 0 ? this.#error.lines : this.#words();
    const why = lines.filter((line) => line !== "Push failed").join(" ");
    throw new PlatformError("invalid_params", `This slug cannot be used. ${why}`.trim());
  }

  #words(): readonly string[] {
    return [...this.#said.matchAll(/^ !\s+(.*)$/gm)].map((match) => match[1] ?? "");
  }

  text(bytes: Buffer): void {
    if (this.#said.length < 10_000) this.#said += bytes.toString("utf8");
  }

  async build(_request: BuildRequest, channel: BuildChannel): Promise<boolean> {
    try {
      const { stack, processTypes } = this.#upload;
      await channel.send("go", { stack, configVars: {}, buildpacks: [], limits: LIMITS } satisfies Go);
      const frame = await channel.take();
      if (frame.kind === "failed") throw new Refused(); // the driver has said why
      const manifest = manifestOf(parseCompiled(frame).appJson, Object.keys(processTypes));
      const { digest, sizeBytes } = await receiveSlug(this.#slugs, channel);
      this.#result = { digest, sizeBytes, manifest };
      return true;
    } catch (error) {
      this.#error = error;
      return false;
    }
  }
}
