import assert from "node:assert/strict";
import { link, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";
import { SimClock } from "../../lib/sim-clock.ts";
import { instanceOf } from "../../model/instance.ts";
import { copyOwn, SlugImages } from "./slug-images.ts";
import type { LimitedStore } from "./volume-store.ts";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "slug-images-"));
});
after(() => rm(folder, { recursive: true, force: true }));

test("a step that never ends is given up on, and those who waited for their turn get it", async () => {
  const clock = new SimClock();
  const asked: string[] = [];
  const store = {
    list: async () => [],
    create: (name: string) => {
      asked.push(name);
      return new Promise<never>(() => {});
    },
  } as unknown as LimitedStore; // all that is asked of it
  const instance = instanceOf(join(folder, "home"));
  const images = await SlugImages.open({ instance, store, clock, maker: { uid: me, gid: me }, uidStartOf: () => me });
  const slug = { digest: "ab".repeat(32), uidIndex: 1 };
  const tars = [1, 2, 3].map(() => new Readable({ read: () => {} }));
  const [one, two, three] = tars.map((tar) =>
    images.put(slug, tar).then(
      () => "made",
      (error: Error) => error.message,
    ),
  );
  await clock.advance(0);
  assert.equal(asked.length, 2);
  await clock.advance(5 * 60_000);
  const late = "The slug's image was not made within 5 minutes: this machine is too busy, or its disk hangs.";
  assert.deepEqual([await one, await two], [late, late]);
  assert.equal(asked.length, 3);
  await clock.advance(5 * 60_000);
  assert.equal(await three, late);
  assert.ok(tars.every((tar) => tar.destroyed));
  const gone = new Readable({ read: () => {} }).destroy();
  await assert.rejects(images.put(slug, gone), /broke off/);
  assert.equal(asked.length, 3, "nothing is begun for a sender that has left");
});

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
