import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { type Engine, EngineError } from "../engine/engine.ts";
import { systemClock } from "../lib/clock.ts";
import { ChecksumError } from "../model/checksum.ts";
import type { Slug } from "../model/release.ts";
import type { Store } from "../store/store.ts";
import { SlugFiles, slugImages } from "./slugs.ts";

const digestOf = (content: Uint8Array) => createHash("sha256").update(content).digest("hex");
const TREE = Buffer.from("not a tar, but bytes all the same: ".repeat(10_000));

/** A stored slug, and an engine that checks what it is given as the real one does. */
async function world() {
  const folder = mkdtempSync(join(tmpdir(), "stator-slugs-"));
  const files = await SlugFiles.open(folder);
  const receiver = files.receive();
  await receiver.write(TREE);
  const { digest } = await receiver.finish();
  const calls: string[] = [];
  let failure: Error | undefined;
  const engine = {
    hasSlug: async () => false,
    async putSlug(ref: { readonly digest: string }, tar: Readable) {
      calls.push(ref.digest);
      if (failure) throw failure;
      if (digestOf(await buffer(tar)) !== ref.digest) throw new EngineError("invalid", "the engine's own words");
    },
  } as Partial<Engine> as Engine; // all that is asked of it
  const store = { slugs: { byId: async () => ({ digest }) as Slug } } as unknown as Store; // likewise
  return {
    digest,
    calls,
    file: join(folder, `${digest}.tar.gz`),
    images: slugImages(store, engine, files, systemClock),
    failWith: (error: Error) => (failure = error),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

async function sumsOf(ensured: Promise<void>) {
  const error = await ensured.then(
    () => assert.fail("it was taken"),
    (error: unknown) => error,
  );
  assert.ok(error instanceof ChecksumError, String(error));
  return error;
}

test("spec 6.2: a slug's image is made of what was built", async () => {
  using slug = await world();
  await slug.images.ensure("slug", 1);
  assert.deepEqual(slug.calls, [slug.digest]);
});

test("spec 6.2: R17: other content is refused with both sums", async () => {
  using slug = await world();
  const other = Buffer.concat([TREE, Buffer.from("!")]);
  writeFileSync(slug.file, gzipSync(other));
  const { expected, actual, message } = await sumsOf(slug.images.ensure("slug", 1));
  assert.deepEqual([expected, actual], [slug.digest, digestOf(other)]);
  assert.equal(message, `Expected: SHA256:${expected} Actual: SHA256:${actual}`);
});

test("spec 6.2: R17: a file that was cut short, and one that is no gzip, are refused with both sums", async () => {
  using slug = await world();
  const whole = readFileSync(slug.file);
  for (const bad of [whole.subarray(0, whole.length / 2), Buffer.from("nothing of the kind")]) {
    writeFileSync(slug.file, bad);
    const { expected, actual } = await sumsOf(slug.images.ensure("slug", 1));
    assert.equal(expected, slug.digest);
    assert.match(actual, /^[0-9a-f]{64}$/);
    assert.notEqual(actual, expected);
  }
});

test("what fails for another reason is told as such, and a missing file is no checksum error", async () => {
  using slug = await world();
  slug.failWith(new EngineError("failed", "no space"));
  await assert.rejects(slug.images.ensure("slug", 1), /no space/);
  slug.failWith(new EngineError("unavailable", "the host is away"));
  await assert.rejects(slug.images.ensure("slug", 1), /the host is away/);
  rmSync(slug.file);
  slug.failWith(new EngineError("failed", "no space"));
  await assert.rejects(slug.images.ensure("slug", 1), /ENOENT/);
});
