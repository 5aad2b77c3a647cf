import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PlatformError } from "../model/errors.ts";
import { type Page, paginate, paginateText } from "./pagination.ts";

const FIELDS = ["version", "id"];
const releases = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ version: index + 1, id: `id-${String(index + 1).padStart(4, "0")}` }));
const versions = (page: { readonly items: readonly { readonly version: number }[] }) =>
  page.items.map(({ version }) => version);

test("platform-api 1.5: without a Range the first 200, in ascending order of the default field", () => {
  const page = paginate(releases(201).toReversed(), undefined, FIELDS);
  assert.equal(page.status, 206);
  assert.deepEqual([page.items.length, page.items[0]?.version, page.items.at(-1)?.version], [200, 1, 200]);
  assert.equal(page.headers["Next-Range"], "version ]200..; max=200");
  assert.equal(page.headers["Accept-Ranges"], "version, id");
});

test("platform-api 1.5: the last page has no Next-Range and is 200, also when it is just full", () => {
  for (const [count, max] of [
    [3, 3],
    [3, 10],
    [0, 5],
  ]) {
    const page = paginate(releases(count ?? 0), `version ..; max=${max}`, FIELDS);
    assert.equal(page.status, 200);
    assert.equal(page.headers["Next-Range"], undefined);
  }
});

test("platform-api 1.5: every form seen on the wire is understood", () => {
  const all = releases(20);
  assert.deepEqual(versions(paginate(all, "version ..; max=2, order=desc", FIELDS)), [20, 19]);
  assert.deepEqual(versions(paginate(all, "version ..; order=desc,max=1", FIELDS)), [20]);
  assert.equal(paginate(all, "version ..; order=desc", FIELDS).items[0]?.version, 20);
  assert.deepEqual(versions(paginate(all, "..; max=1", FIELDS)), [1]);
  assert.deepEqual(versions(paginate(all, "id ]id-0018..; max=1000;", FIELDS)), [19, 20]);
  assert.deepEqual(versions(paginate(all, "version 3..5", FIELDS)), [3, 4, 5]);
  assert.deepEqual(versions(paginate(all, "version ]3..5[", FIELDS)), [4]);
  assert.equal(paginate(all, "", FIELDS).items.length, 20);
});

test("platform-api 1.5: a bad range is refused", () => {
  for (const range of [
    "version",
    "nope ..",
    "version ..; max=0",
    "version ..; max=1001",
    "version ..; max=x",
    "id ..; order=up",
    "id a b..",
    "id a[..",
    "id %..",
    "ordinal ..",
    `id ${"a".repeat(3000)}..`,
  ]) {
    assert.throws(
      () => paginate(releases(3), range, FIELDS),
      (error: unknown) => error instanceof PlatformError && error.id === "requested_range_not_satisfiable",
      range,
    );
  }
});

test("following Next-Range gives each item once, in order, and ends", () => {
  const cases = fc.record({
    count: fc.nat(60),
    max: fc.integer({ min: 1, max: 20 }),
    order: fc.constantFrom("asc", "desc"),
    field: fc.constantFrom(...FIELDS),
  });
  fc.assert(
    fc.property(cases, ({ count, max, order, field }) => {
      const all = releases(count);
      const seen: number[] = [];
      let range: string | undefined = `${field} ..; max=${max}, order=${order}`;
      for (let pages = 0; range !== undefined; pages++) {
        assert.ok(pages <= count, "it ends");
        const page: Page<(typeof all)[number]> = paginate(all, range, FIELDS);
        seen.push(...versions(page));
        range = page.headers["Next-Range"];
        assert.equal(page.status, range === undefined ? 200 : 206);
      }
      const inOrder = all.map(({ version }) => version);
      assert.deepEqual(seen, order === "asc" ? inOrder : inOrder.toReversed());
    }),
  );
});

test("where many have the same value, each comes once all the same; names of any letters can be a bound", () => {
  const item = fc.record({
    created_at: fc.constantFrom("2026-11-27T12:00:00Z", "2026-11-27T12:00:01Z"),
    name: fc.oneof(
      fc.constantFrom("a", "", ".", "a..", "..a", "a~b", "]a", "a[", "50%", "Ü; max=1", "😀"),
      fc.string(),
    ),
    id: fc.uuid(),
  });
  const cases = fc.record({
    all: fc.uniqueArray(item, { selector: ({ id }) => id, maxLength: 12 }),
    max: fc.integer({ min: 1, max: 5 }),
    order: fc.constantFrom("asc", "desc"),
    field: fc.constantFrom("created_at", "name", "id"),
  });
  fc.assert(
    fc.property(cases, ({ all, max, order, field }) => {
      const seen: string[] = [];
      let range: string | undefined = `${field} ..; max=${max}, order=${order}`;
      for (let pages = 0; range !== undefined; pages++) {
        assert.ok(pages <= all.length, "it ends");
        assert.match(range, /^[ -~]*$/);
        const page: Page<(typeof all)[number]> = paginate(all, range, ["id", "created_at", "name"]);
        assert.ok(page.items.length <= max);
        seen.push(...page.items.map(({ id }) => id));
        range = page.headers["Next-Range"];
      }
      assert.deepEqual(seen.toSorted(), all.map(({ id }) => id).toSorted());
    }),
  );
});

test("platform-api 1.3: `id ..`, which a client sends with everything, is any list's own order where it has no ids", () => {
  const all = [{ ordinal: 1 }, { ordinal: 0 }];
  const page = paginate(all, "id ..; max=1000", ["ordinal"]);
  assert.deepEqual([page.items, page.headers["Accept-Ranges"]], [[{ ordinal: 0 }, { ordinal: 1 }], "ordinal"]);
  assert.throws(() => paginate(all, "id ]a..", ["ordinal"]), PlatformError);
});

test("a list that the store pages is the same as one that lies in memory", async () => {
  const name = fc.stringMatching(/^[a-d]{1,3}$/);
  const names = fc.uniqueArray(name, { maxLength: 20 });
  const bound = fc.option(name, { nil: "" });
  const range = fc
    .record({
      field: fc.constantFrom("name", "id"),
      low: bound,
      high: bound,
      open: fc.constantFrom("", "]"),
      end: fc.constantFrom("", "["),
      max: fc.integer({ min: 1, max: 8 }),
      order: fc.constantFrom("asc", "desc"),
    })
    .map(({ field, low, high, open, end, max, order }) => {
      return `${field} ${low && open}${low}..${high}${high && end}; max=${max}, order=${order}`;
    });
  await fc.assert(
    fc.asyncProperty(names, range, async (chosen, header) => {
      const all = chosen.map((each) => ({ name: each, id: `${each.slice(-1)}${each}` }));
      const paged = await paginateText(header, ["name", "id"], async ({ field, low, high, order, limit }) =>
        all
          .filter((item) => !low || item[field] > low.text || (item[field] === low.text && !low.isExclusive))
          .filter((item) => !high || item[field] < high.text || (item[field] === high.text && !high.isExclusive))
          .sort((one, other) => (one[field] < other[field] ? -1 : 1) * (order === "asc" ? 1 : -1))
          .slice(0, limit),
      );
      assert.deepEqual(paged, paginate(all, header, ["name", "id"]));
    }),
  );
});
