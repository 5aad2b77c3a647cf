import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { HyperSchema } from "../src/api/hyper-schema.ts";
import { openWorld } from "./support/api-world.ts";
import { extensionRows, routeOf } from "./support/extensions.ts";
import { PUBLISHED } from "./support/published-schema.ts";

test("docs/api.md has a row for each route of ours, with what it takes and answers, and names no other", async () => {
  await using world = await openWorld();
  const schema = (await world.call("GET", "/schema", { token: null })).json as HyperSchema;
  const text = readFileSync(join(import.meta.dirname, "..", "docs", "api.md"), "utf8");
  const missing = extensionRows(schema).filter((row) => !text.includes(row));
  assert.deepEqual(missing, [], "write these rows into docs/api.md");
  const routes = new Set(Object.values(schema.definitions).flatMap(({ links }) => links.map(routeOf)));
  const named = [...text.matchAll(/^\| `((?:GET|POST|PUT|PATCH|DELETE) [^`]+)` \|/gm)].map(([, route = ""]) => route);
  assert.deepEqual(
    named.filter((route) => !routes.has(route)),
    [],
    "not a route any more",
  );
});

test("docs/compatibility.md says how each resource of Heroku's stands", () => {
  const text = readFileSync(join(import.meta.dirname, "..", "docs", "compatibility.md"), "utf8");
  const [, table = ""] = /\n## Resources\n([\s\S]*?)\n## /.exec(text) ?? [];
  const named = new Set([...table.matchAll(/^\| ([a-z, -]+) \|/gm)].flatMap(([, names = ""]) => names.split(", ")));
  assert.deepEqual(
    Object.keys(PUBLISHED).filter((name) => !named.has(name)),
    [],
  );
});
