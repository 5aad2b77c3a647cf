import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { withFileLock } from "./file-lock.ts";

const folder = mkdtempSync(join(tmpdir(), "file-lock-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("one at a time is inside, in whatever order, and all get in", async () => {
  const path = join(folder, "one");
  let inside = 0;
  let most = 0;
  const work = Array.from({ length: 5 }, () =>
    withFileLock(path, 20_000, async () => {
      most = Math.max(most, ++inside);
      await new Promise((resolve) => setImmediate(resolve));
      inside--;
    }),
  );
  await Promise.all(work);
  assert.equal(most, 1);
});

test("a failure inside gives the lock back and is the caller's", async () => {
  const path = join(folder, "two");
  await assert.rejects(
    withFileLock(path, 5000, async () => {
      throw new Error("mine");
    }),
    /mine/,
  );
  assert.equal(await withFileLock(path, 5000, async () => "in"), "in");
});

test("who waits too long is told so", async () => {
  const path = join(folder, "three");
  await withFileLock(path, 5000, async () => {
    await assert.rejects(
      withFileLock(path, 1, async () => "in"),
      /stayed locked/,
    );
  });
});
