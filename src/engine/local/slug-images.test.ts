import assert from "node:assert/strict";
import { link, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { copyOwn } from "./slug-images.ts";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "slug-images-"));
});
after(() => rm(folder, { recursive: true, force: true }));

const me = process.getuid?.() ?? 0;

test("decision 17: what the helper made is copied; a link, a second name, a folder or another's file is not", async () => {
  const [made, secret] = [join(folder, "image.erofs"), join(folder, "secret")];
  await writeFile(made, "image");
  await writeFile(secret, "root's own");
  await copyOwn(made, join(folder, "copy"), me);
  assert.equal(await readFile(join(folder, "copy"), "utf8"), "image");
  await assert.rejects(copyOwn(made, join(folder, "copy"), me), { code: "EEXIST" });
  await assert.rejects(copyOwn(made, join(folder, "other"), me + 1), /not what mkfs\.erofs makes/);
  await assert.rejects(copyOwn(folder, join(folder, "other"), me), /not what mkfs\.erofs makes/);
  await symlink(secret, join(folder, "link"));
  await assert.rejects(copyOwn(join(folder, "link"), join(folder, "other"), me), { code: "ELOOP" });
  await link(secret, join(folder, "hard"));
  await assert.rejects(copyOwn(join(folder, "hard"), join(folder, "other"), me), /not what mkfs\.erofs makes/);
});
