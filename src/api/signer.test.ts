import assert from "node:assert/strict";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openSigner, Signer } from "./signer.ts";

test("what was sealed opens for its purpose only, and not after a change", () => {
  const signer = new Signer(Buffer.alloc(32, 1));
  const word = signer.seal("logs", { app: "a" });
  assert.match(word, /^[\w-]+\.[\w-]+$/);
  assert.deepEqual(signer.open("logs", word), { app: "a" });
  assert.equal(signer.open("builds", word), undefined);
  const forged = `${Buffer.from('{"app":"b"}').toString("base64url")}.${word.split(".")[1]}`;
  for (const other of [forged, "", ".", "a.b.c", `${word}x`, word.split(".")[0] ?? ""]) {
    assert.equal(signer.open("logs", other), undefined, other);
  }
  assert.equal(new Signer(Buffer.alloc(32, 2)).open("logs", word), undefined);
});

test("the key is made once, for the daemon's user alone, and found again", async () => {
  const folder = await mkdtemp(join(tmpdir(), "stator-signer-"));
  const word = (await openSigner(folder)).seal("logs", 1);
  assert.equal((await openSigner(folder)).open("logs", word), 1);
  assert.equal((await stat(join(folder, "url.key"))).mode & 0o777, 0o600);
  await rm(folder, { recursive: true });
});
