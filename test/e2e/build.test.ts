import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import {
  api,
  commit,
  deployed,
  eventually,
  git,
  logsOf,
  pidOf,
  push,
  pushOk,
  stator,
  statorOk,
  temporaryApp,
  temporaryRepository,
  throughRouter,
  token,
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

test("git's service in its build dyno: hostile pushes are answered, move no ref, and the daemon lives on", async () => {
  await using app = await temporaryApp("hostile");
  const daemon = await pidOf("daemon");
  const line = (text: string) => `${(text.length + 4).toString(16).padStart(4, "0")}${text}`;
  const update = (ref: string) =>
    `${line(`${"0".repeat(40)} ${"1".repeat(40)} ${ref}\0report-status side-band-64k`)}0000PACK\0\0\0\x02\0\0\0\x01`;
  const push = async (body: string | Uint8Array<ArrayBuffer>, headers: Readonly<Record<string, string>> = {}) => {
    const response = await fetch(`${api}/${app.name}.git/git-receive-pack`, {
      method: "POST",
      headers: {
        Authorization: `Bearer ${token()}`,
        "Content-Type": "application/x-git-receive-pack-request",
        ...headers,
      },
      body: typeof body === "string" ? Buffer.from(body, "latin1") : body,
    });
    assert.equal(response.status, 200);
    return response.text().catch(() => ""); // cut off: git says so
  };
  for (const body of [
    "zzzz",
    update("refs/heads/../../hooks/x"),
    update("refs/heads/$(id)"),
    update("--upload-pack=x"),
  ])
    assert.doesNotMatch(await push(body), /ok refs|Released/);
  await push(gzipSync(Buffer.alloc(64 * 1024 ** 2)), { "Content-Encoding": "gzip" });
  await push(Buffer.concat([gzipSync("zzzz".repeat(1000)).subarray(0, 30), Buffer.alloc(1_000_000, 0xff)]), {
    "Content-Encoding": "gzip",
  });
  const { stdout, code } = await git("/", ["ls-remote", `${api}/${app.name}.git`]);
  assert.deepEqual([code, stdout], [0, ""]);
  assert.equal(await pidOf("daemon"), daemon);
  assert.deepEqual(JSON.parse(await statorOk(["builds", "-a", app.name, "--json"])), []);
});
