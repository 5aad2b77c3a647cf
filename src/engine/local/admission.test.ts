import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { BUILD_SIZE, HEROKU_SIZES, MEMORY_OVERCOMMIT, useCatalogue } from "../../model/size.ts";
import { refusalOf } from "./admission.ts";

const usual = { sizes: HEROKU_SIZES, memoryOvercommit: MEMORY_OVERCOMMIT };
afterEach(() => useCatalogue(usual));

const ask = (takenMb: number, memoryMb = 4096) => refusalOf({ name: "web.1", size: BUILD_SIZE, takenMb, memoryMb });

test("admission: quotas up to the overcommit, and the refusal says what is free and what was asked", () => {
  assert.equal(ask(0), undefined);
  assert.equal(ask(4 * 4096 - 2048), undefined, "the last that fits");
  const text = ask(4 * 4096 - 2047) ?? assert.fail("it cannot fit");
  assert.match(text, /^No room: web\.1 asks for 2048 MB \(Build\), 2047 MB of the 16384 MB/);
  assert.match(text, /4096 MB, promised 4 times/);
  assert.match(ask(99_999) ?? "", / 0 MB of the/);
});

test("admission: the operator's overcommit decides", () => {
  useCatalogue({ ...usual, memoryOvercommit: 0.5 });
  assert.equal(ask(0), undefined);
  assert.match(ask(1) ?? "", /2047 MB of the 2048 MB/);
});
