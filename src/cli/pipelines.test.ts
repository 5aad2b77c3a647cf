import assert from "node:assert/strict";
import { test } from "node:test";
import { changed, type InstallationJson, indexOf } from "./buildpacks.ts";
import { Input, UsageError } from "./command.ts";
import { placeOf } from "./commands/buildpacks-remove.ts";
import { wordsOf } from "./commands/pipelines-diff.ts";
import { format } from "./commands/pipelines-info.ts";
import { targetsOf } from "./commands/pipelines-promote.ts";
import { format as formatRelease } from "./commands/releases-info.ts";
import { downstream, guess, type PipelineApp } from "./pipelines.ts";

const list = (...urls: readonly string[]): readonly InstallationJson[] =>
  urls.map((url, ordinal) => ({ ordinal, buildpack: { url, name: url } }));

test("buildpacks: added at the end or at a place, set in the first's place or another's, never twice", () => {
  const two = list("urn:buildpack:heroku/nodejs", "https://b");
  assert.deepEqual(changed(two, "https://c", undefined, "add"), ["heroku/nodejs", "https://b", "https://c"]);
  assert.deepEqual(changed(two, "https://c", 1, "add"), ["https://c", "heroku/nodejs", "https://b"]);
  assert.deepEqual(changed(two, "https://c", 9, "add"), ["heroku/nodejs", "https://b", "https://c"]);
  assert.deepEqual(changed(two, "https://c", undefined, "set"), ["https://c", "https://b"]);
  assert.deepEqual(changed(two, "https://c", 2, "set"), ["heroku/nodejs", "https://c"]);
  assert.deepEqual(changed([], "https://c", undefined, "set"), ["https://c"]);
  assert.throws(() => changed(two, "heroku/nodejs", undefined, "add"), /already set/);
  assert.throws(() => indexOf(new Input([], new Map([["index", "0"]]))), UsageError);
});

test("buildpacks: removed by place or by name", () => {
  const names = ["heroku/nodejs", "https://b"];
  assert.equal(placeOf("shop", names, 2, undefined), 1);
  assert.equal(placeOf("shop", names, undefined, "https://b"), 1);
  assert.throws(() => placeOf("shop", names, 3, undefined), /between 1 and 2/);
  assert.throws(() => placeOf("shop", ["a"], 3, undefined), /Only valid value is 1/);
  assert.throws(() => placeOf("shop", names, undefined, "x"), /Buildpack not found/);
  assert.throws(() => placeOf("shop", [], 1, undefined), /No buildpacks were found/);
});

function inStage(name: string, stage: string): PipelineApp {
  const pipelineCoupling = { id: name, stage, app: { id: name, name }, pipeline: { id: "p", name: "shop" } };
  return { id: name, name, owner: { id: "o", email: "me@example.com" }, pipelineCoupling } as PipelineApp; // all that is read
}

test("pipelines: stage and name are guessed of an app's name", () => {
  assert.deepEqual(guess("shop-staging"), { name: "shop", stage: "staging" });
  assert.deepEqual(guess("shop-qa"), { name: "shop", stage: "development" });
  assert.deepEqual(guess("shop"), { name: "shop", stage: "production" });
});

test("pipelines: a promotion goes to the next stage, or to the apps that are named", () => {
  const apps = [
    inStage("dev", "development"),
    inStage("stage", "staging"),
    inStage("one", "production"),
    inStage("two", "production"),
  ];
  const of = (name: string, to?: string) => {
    const coupling = apps.find((app) => app.name === name)?.pipelineCoupling ?? assert.fail();
    return targetsOf(name, coupling, apps, to).map((app) => app.name);
  };
  assert.deepEqual(of("dev"), ["stage"]);
  assert.deepEqual(of("stage"), ["one", "two"]);
  assert.deepEqual(of("dev", "two,"), ["two"]);
  assert.throws(() => of("one"), /Cannot promote one from 'production' stage/);
  assert.throws(() => of("dev", "three"), /Cannot find app three/);
  assert.throws(() => of("dev", "dev"), /from an app to itself/);
  assert.throws(() => downstream("dev", "development", apps.slice(0, 1), "diff"), /no downstream apps in staging/);
});

test("releases:info", () => {
  const release = {
    id: "r",
    version: 7,
    description: "Deploy 01234567",
    status: "failed",
    current: false,
    created_at: "2026-01-02T03:04:05Z",
    eligible_for_rollback: false,
    slug: null,
    user: { email: "me@example.com" },
  };
  assert.deepEqual(formatRelease(release), [
    "=== Release v7",
    "",
    "By:                     me@example.com",
    "Change:                 Deploy 01234567 (release command failed)",
    "Eligible for Rollback?: No",
    "When:                   2026-01-02T03:04:05Z",
  ]);
});

test("pipelines:info and pipelines:diff", () => {
  const pipeline = { id: "p", name: "shop", owner: { id: "o", type: "user" } };
  assert.deepEqual(format(pipeline, [inStage("shop-staging", "staging")]), [
    "=== shop",
    "",
    "owner: me@example.com",
    "",
    "  app name       stage",
    " ────────────────────────",
    "  shop-staging   staging",
    "",
  ]);
  assert.match(wordsOf("a", "1", "b", "1"), /a is up to date with b/);
  assert.match(wordsOf("a", "1", "b", undefined), /was not compared/);
  assert.match(wordsOf("a", "1", "b", "2"), /git log --oneline 2\.\.1/);
});
