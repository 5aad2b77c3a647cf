import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  api,
  commit,
  deployed,
  eventually,
  git,
  logsOf,
  push,
  pushOk,
  stator,
  statorOk,
  temporaryApp,
  temporaryRepository,
  throughRouter,
  waitLog,
} from "./harness.ts";

/** Builds with the real engine, registry and git: what `src/build/builds.test.ts` cannot show. */

test("a Node.js app: the Node of engines.node, npm ci, the build script with config vars, pruned, WEB_CONCURRENCY", async () => {
  await using app = await temporaryApp("node");
  assert.equal((await stator(["config:set", "GREETING=at build time", "-a", app.name])).code, 0);
  using repository = await temporaryRepository("test/apps/node-build");
  const said = await pushOk(repository.folder, app.name);
  assert.match(said, /remote: -----> Node\.js app detected/);
  assert.match(said, /remote:\s+Installed node 24\.\d+\.\d+ and npm \d+/);
  assert.match(said, /remote:\s+Default types for buildpack -> web/);
  assert.match(said, /remote: Verifying deploy\.\.\. done\./);
  const answer = JSON.parse((await throughRouter(app.name)).body);
  assert.match(answer.node, /^v24\./);
  assert.deepEqual(
    { ...answer, node: "" },
    { node: "", ms: 172_800_000, dev: "pruned", built: "at build time", env: "production", concurrency: "1" },
  );
});

test("examples/hello, examples/python and examples/misbehave are deployed by a push and answer", async () => {
  for (const [folder, words] of [
    ["examples/hello", /Hello from Stator![\s\S]*web\.1, process \d+, up for/],
    ["examples/python", /Hello from Python![\s\S]*web\.1, process \d+/],
    ["examples/misbehave", /web\.1 did \//],
  ] as const) {
    await using app = await deployed("example", folder);
    assert.match((await throughRouter(app.name)).body, words, folder);
  }
});

test("a build that fills its disk, and one that takes all memory, are told clearly; what ran keeps running", async () => {
  await using app = await deployed("greedy", { Procfile: "web: python3 -m http.server $PORT\n" });
  for (const [build, words] of [
    ["fallocate -l 20G /tmp/big", /remote: {2}!\s+The build filled its disk/],
    ["head -c 4000000000 /dev/zero | tail", /remote: {2}!\s+The build used all of its memory/],
    ["exit 3", /remote: {2}!\s+Push rejected, failed to compile Node\.js app\./],
  ] as const) {
    using repository = await temporaryRepository({
      "package.json": JSON.stringify({ engines: { node: "26.x" }, scripts: { build } }),
    });
    const { code, stderr } = await push(repository.folder, app.name, "+HEAD:refs/heads/main");
    assert.notEqual(code, 0, stderr);
    assert.match(stderr, words);
    assert.equal((await throughRouter(app.name)).status, 200);
  }
  assert.match(await logsOf(app.name), /app\[api\]: Build failed -- check your build output: http/);
});

test("a pushed file is there, an unpushed one is not, and a clone gives the repository back", async () => {
  await using app = await temporaryApp("files");
  using repository = await temporaryRepository({ Procfile: "web: python3 -m http.server $PORT\n", "a.txt": "first\n" });
  await pushOk(repository.folder, app.name);
  assert.equal((await throughRouter(app.name, { path: "/a.txt" })).body, "first\n");
  assert.equal((await throughRouter(app.name, { path: "/.git/config" })).status, 404);
  writeFileSync(join(repository.folder, "a.txt"), "second\n");
  await commit(repository.folder, "second");
  await pushOk(repository.folder, app.name);
  await eventually(
    "the new release answers",
    async () => (await throughRouter(app.name, { path: "/a.txt" })).body === "second\n",
  );
  const topic = await push(repository.folder, app.name, "HEAD:refs/heads/topic");
  assert.match(topic.stderr, /Stored topic, not deployed/);
  const { stdout } = await git(repository.folder, ["ls-remote", `${api}/${app.name}.git`]);
  assert.match(stdout, /refs\/heads\/main\n[0-9a-f]+\trefs\/heads\/topic/);
});

test("spec 3.2: a first release whose port is never bound within the app's boot timeout fails the push with R10", async () => {
  await using app = await temporaryApp("deaf");
  await statorOk(["runtime:set", "boot-timeout=3", "-a", app.name]); // the 60 s of one that says nothing: limits.test.ts
  using repository = await temporaryRepository({ Procfile: "web: echo not listening; sleep 600\n" });
  const { code, stderr } = await push(repository.folder, app.name);
  assert.notEqual(code, 0);
  assert.match(stderr, /did not bind to \$PORT within 3 seconds \(R10\)/);
  assert.match(stderr, /not listening/);
  await waitLog(app.name, /Error R10 \(Boot timeout\)/);
});
