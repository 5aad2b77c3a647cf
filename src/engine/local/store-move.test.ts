import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { standingOf } from "./disk-mechanisms.ts";
import { clearMove, finishMove } from "./store-move.ts";

let host: string;
beforeEach(() => {
  host = mkdtempSync(join(tmpdir(), "store-move-"));
});
afterEach(() => rmSync(host, { recursive: true, force: true }));

function put(files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(host, path)), { recursive: true });
    if (text.startsWith("->")) symlinkSync(text.slice(2), join(host, path));
    else writeFileSync(join(host, path), text);
  }
}

/** As often as a host process may be started. */
async function finish(): Promise<void> {
  for (let times = 0; times < 3; times++) await finishMove(host);
}

const link = "->../store-images/own-1";
const oldBtrfs = { "store.img": "old" };
const oldImages = { "store/repo-1": link, "store-images/own-1.img": "old" };
const folder = (path: string) => void mkdirSync(join(host, path), { recursive: true });

test("a move that was whole is finished from wherever it was killed: to btrfs", async (t) => {
  const states: Readonly<Record<string, () => void>> = {
    "nothing done": () => {
      put({ ...oldImages, "store-moved/store.img": "new" });
      folder("store-moved/store");
    },
    "old half gone": () => {
      put({ "store/repo-1": link, "store-moved/store.img": "new" });
      folder("store-moved/store");
    },
    "old gone": () => {
      put({ "store-moved/store.img": "new" });
      folder("store");
      folder("store-moved/store");
    },
    "its folder in place": () => {
      put({ "store-moved/store.img": "new" });
      folder("store");
    },
    "all in place": () => {
      put({ "store.img": "new" });
      folder("store");
      folder("store-moved");
    },
  };
  for (const [state, make] of Object.entries(states)) {
    await t.test(state, async () => {
      for (const name of readdirSync(host)) rmSync(join(host, name), { recursive: true });
      make();
      await finish();
      assert.deepEqual(readdirSync(host).toSorted(), ["store", "store.img"]);
      assert.deepEqual(readdirSync(join(host, "store")), []);
      assert.equal(readFileSync(join(host, "store.img"), "utf8"), "new");
      assert.equal(standingOf({ host }), "btrfs");
    });
  }
});

test("a move that was whole is finished from wherever it was killed: to images", async (t) => {
  const images = { "store-moved/store-images/own-1.img": "new" };
  const names = { "store-moved/store/repo-1": link };
  const states: Readonly<Record<string, () => void>> = {
    "nothing done": () => {
      put({ ...oldBtrfs, ...images, ...names });
      folder("store");
    },
    "nothing done, unlimited before": () => put({ "store/repo-1/HEAD": "old", ...images, ...names }),
    "old gone": () => {
      put({ ...images, ...names });
      folder("store");
    },
    "no folder of the old": () => put({ ...images, ...names }),
    "its names in place": () => put({ ...images, "store/repo-1": link }),
    "all in place": () => {
      put({ "store/repo-1": link, "store-images/own-1.img": "new" });
      folder("store-moved");
    },
  };
  for (const [state, make] of Object.entries(states)) {
    await t.test(state, async () => {
      for (const name of readdirSync(host)) rmSync(join(host, name), { recursive: true });
      make();
      await finish();
      assert.deepEqual(readdirSync(host).toSorted(), ["store", "store-images"]);
      assert.equal(
        readFileSync(`${join(host, "store", readlinkSync(join(host, "store", "repo-1")))}.img`, "utf8"),
        "new",
      );
      assert.equal(standingOf({ host }), "image");
    });
  }
});

test("a move that was not whole leaves the old store as it was", async () => {
  put({ ...oldBtrfs, "store-moving/store-images/own-1.img": "half", "store-moving/store/repo-1": link });
  await finishMove(host);
  await clearMove(host);
  assert.deepEqual(readdirSync(host), ["store.img"]);
  assert.equal(readFileSync(join(host, "store.img"), "utf8"), "old");
  assert.equal(existsSync(join(host, "store-moving")), false);
  assert.equal(standingOf({ host }), "btrfs");
});
