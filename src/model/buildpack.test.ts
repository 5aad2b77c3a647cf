import assert from "node:assert/strict";
import { test } from "node:test";
import { parseBuildpack, parseBuildpacks } from "./buildpack.ts";

test("the platform's own buildpacks have one address, whatever they are called; others keep theirs", () => {
  const own = { url: "urn:buildpack:heroku/procfile", name: "heroku/procfile" };
  for (const name of [
    "heroku/procfile",
    "urn:buildpack:heroku/procfile",
    "https://buildpack-registry.s3.amazonaws.com/buildpacks/heroku/procfile.tgz",
    "https://codon-buildpacks.s3.amazonaws.com/buildpacks/heroku/procfile.tgz",
  ]) {
    assert.deepEqual(parseBuildpack(name), own);
  }
  assert.equal(parseBuildpack("https://github.com/a/b#c").url, "https://github.com/a/b#c");
  const registry = "https://buildpack-registry.s3.amazonaws.com/buildpacks/weibeld/run.tgz";
  assert.equal(parseBuildpack(registry).url, registry);
});

test("what cannot be fetched, is not here, or stands twice is refused in a sentence", () => {
  for (const bad of [
    "",
    "heroku/ruby",
    "http://x/y.tgz",
    "git@x:y.git",
    "ssh://x/y",
    "file:///etc",
    "https://",
    "https://x/a b",
  ]) {
    assert.throws(
      () => parseBuildpack(bad),
      /is not here: there are heroku\/nodejs and heroku\/procfile, and any/,
      bad,
    );
  }
  assert.throws(() => parseBuildpack(`https://x/${"a".repeat(2000)}`), /is not here/);
  assert.throws(() => parseBuildpacks(["heroku/nodejs", "urn:buildpack:heroku/nodejs"]), /stands in the list twice/);
  assert.throws(() => parseBuildpacks(Array.from({ length: 21 }, (_, n) => `https://x/${n}`)), /At most 20/);
});
