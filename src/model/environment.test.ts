import assert from "node:assert/strict";
import { test } from "node:test";
import { environmentOf, portOf } from "./environment.ts";

const input = {
  dyno: { id: "1f0c3c4e-0000-4000-a000-000000000001", name: "web.1" },
  app: { id: "app-id", name: "hello", defaultDomain: "hello.localhost" },
  release: { version: 12, createdAt: Date.UTC(2015, 3, 2, 18, 0, 42, 123) },
  slugCommit: "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c",
  config: {},
  port: 23_456,
};

test("spec 4.4: what every dyno has", () => {
  const env = environmentOf(input);
  assert.equal(env["DYNO"], "web.1");
  assert.equal(env["HOME"], "/app");
  assert.equal(env["PATH"], "/usr/local/bin:/usr/bin:/bin");
  assert.equal(env["PORT"], "23456");
  assert.equal(env["HEROKU_APP_ID"], "app-id");
  assert.equal(env["HEROKU_APP_NAME"], "hello");
  assert.equal(env["HEROKU_APP_DEFAULT_DOMAIN_NAME"], "hello.localhost");
  assert.equal(env["HEROKU_DYNO_ID"], input.dyno.id);
  assert.equal(env["HEROKU_RELEASE_VERSION"], "v12");
  assert.equal(env["HEROKU_RELEASE_CREATED_AT"], "2015-04-02T18:00:42Z");
  assert.equal(env["HEROKU_SLUG_COMMIT"], "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c");
  assert.equal(env["HEROKU_SLUG_DESCRIPTION"], "Deploy 0f1e2d3c");
  assert.equal(env["HEROKU_BUILD_COMMIT"], env["HEROKU_SLUG_COMMIT"]);
  assert.equal(env["HEROKU_BUILD_DESCRIPTION"], "Deploy 0f1e2d3c");
});

test("a slug without a commit, and a release without a slug, have the same names", () => {
  const env = environmentOf({ ...input, slugCommit: null });
  assert.deepEqual(
    ["SLUG_COMMIT", "SLUG_DESCRIPTION", "BUILD_COMMIT", "BUILD_DESCRIPTION"].map((name) => env[`HEROKU_${name}`]),
    ["", "Deploy", "", "Deploy"],
  );
});

test("spec 3.1: config vars over the defaults, the platform's facts over config vars, the call's over all", () => {
  const config = { LANG: "de_DE.UTF-8", PORT: "80", DYNO: "root.1", TERM: "dumb" };
  const env = environmentOf({ ...input, config, call: { TERM: "xterm", COLUMNS: "80" } });
  assert.equal(env["LANG"], "de_DE.UTF-8");
  assert.equal(env["PORT"], "23456");
  assert.equal(env["DYNO"], "web.1");
  assert.equal(env["TERM"], "xterm");
  assert.equal(env["COLUMNS"], "80");
});

test("spec 3.2: each start has a port of its own, five digits", () => {
  const ports = Array.from({ length: 1000 }, (_, index) => portOf(`dyno-${index}`, [80, 443]));
  assert.ok(ports.every((port) => port >= 10_000 && port <= 59_999));
  assert.ok(new Set(ports).size > 900);
  assert.equal(portOf("dyno-1", [80, 443]), ports[1]);
});

test("no dyno is given a port of the router, which inside a dyno leads to the router", () => {
  const free = portOf("dyno-1", []);
  assert.equal(portOf("dyno-1", [free]), free + 1);
  assert.equal(portOf("dyno-1", [free + 1, free]), free + 2);
  const all = Array.from({ length: 50_000 }, (_, index) => 10_000 + index);
  const butFirst = all.filter((port) => port !== 10_000);
  assert.equal(portOf("dyno-1", butFirst), 10_000, "round the end");
});
