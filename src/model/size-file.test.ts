import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { HEROKU_SIZES, MEMORY_OVERCOMMIT, sizeNamed, sizeOffered, useCatalogue } from "./size.ts";
import { parseSizes } from "./size-file.ts";

afterEach(() => useCatalogue({ sizes: HEROKU_SIZES, memoryOvercommit: MEMORY_OVERCOMMIT }));

test("spec 2.1: Heroku's sizes with its limits, in any case, legacy names too", () => {
  assert.deepEqual(
    ["standard-1X", "STANDARD-2X", "performance-m", "eco"].map((name) => sizeOffered(name)?.memoryMb),
    [512, 1024, 2560, 512],
  );
  assert.deepEqual(
    ["Free", "hobby", "1x", "2X", "PX"].map((name) => sizeOffered(name)?.name),
    ["Eco", "Basic", "Standard-1X", "Standard-2X", "Performance-L"],
  );
  assert.equal(sizeOffered("build"), undefined, "not for apps");
  assert.equal(sizeOffered("constructor"), undefined);
  assert.ok(HEROKU_SIZES.every((size) => size.memoryCeilingMb === 2 * size.memoryMb && size.swapMb === 0));
});

test("an operator's size takes what it does not say from Standard-1X; its ceiling is twice the quota", () => {
  const { sizes, memoryOvercommit } = parseSizes(
    '{ "sizes": { "Small": { "memory_mb": 200, "network_in_mbit": 8 } } }',
  );
  useCatalogue({ sizes, memoryOvercommit });
  const small = sizeNamed("small") ?? assert.fail("not there");
  assert.deepEqual([small.name, small.memoryMb, small.memoryCeilingMb, small.pidsMax], ["Small", 200, 400, 256]);
  assert.deepEqual(small.network, { inMbit: 8, outMbit: 250 });
  assert.equal(sizes.length, HEROKU_SIZES.length + 1);
  assert.equal(memoryOvercommit, MEMORY_OVERCOMMIT);
});

test("a size of Heroku's can be changed in part, also to a ceiling that equals the quota", () => {
  const text = '{ "memory_overcommit": 1.5, "sizes": { "basic": { "memory_ceiling_mb": 512 } } }';
  const { sizes, memoryOvercommit } = parseSizes(text);
  const [basic] = sizes.filter(({ name }) => name === "Basic");
  assert.deepEqual([basic?.memoryMb, basic?.memoryCeilingMb, basic?.cpuShares], [512, 512, 256]);
  assert.equal(memoryOvercommit, 1.5);
  assert.deepEqual(parseSizes("{}").sizes, HEROKU_SIZES);
});

const bad: readonly (readonly [content: unknown, complaint: RegExp])[] = [
  [{ sizes: { Small: { memory_mb: 1 } } }, /^sizes\/Small\/memory_mb: must be >= 32/],
  [{ sizes: { Small: { memory_mb: "256" } } }, /^sizes\/Small\/memory_mb: must be integer/],
  [{ sizes: { Small: {} } }, /^sizes\/Small\/memory_mb: a new size must say it/],
  [{ sizes: { Small: { memory_mb: 256, memory_ceiling_mb: 255 } } }, /^sizes\/Small\/memory_ceiling_mb: 255 is less/],
  [{ sizes: { Small: { memory: 256 } } }, /^sizes\/Small.*memory/],
  [{ sizes: { "../x": { memory_mb: 256 } } }, /^sizes\/\.\.\/x: a name has/],
  [{ sizes: { build: { memory_mb: 256 } } }, /^sizes\/build: the size of builds/],
  [{ memory_overcommit: 0 }, /^memory_overcommit: must be >= 0\.1/],
  [{ size: {} }, /size/],
  [[], /must be object/],
];
for (const [content, complaint] of bad) {
  test(`refused, naming the field: ${JSON.stringify(content)}`, () => {
    assert.throws(() => parseSizes(JSON.stringify(content)), { message: complaint });
  });
}

test("what is not JSON is refused as such", () => {
  assert.throws(() => parseSizes("{"), /not JSON/);
});
