import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { extract } from "tar-stream";
import { FrameWriter } from "../../buildkit/frames.ts";
import { Checkout, openWorld, type World } from "../../test/support/build-world.ts";
import { EngineError } from "../engine/engine.ts";
import { SimClock } from "../lib/sim-clock.ts";

const APP = {
  Procfile: "web: python3 app.py\nworker: python3 worker.py\n",
  "app.py": "print('hello')\n",
  "lib/a.py": "a = 1\n",
};
/** Stands in for npm: says so, and hangs for longer than any test. */
const HANGING_NPM = "process.stderr.write('npm hangs\\n'); setTimeout(() => {}, 600_000);";

async function newestBuild(world: World) {
  return (await world.store.builds.list(world.app.id))[0];
}

async function refs(world: World, checkout: Checkout): Promise<string> {
  return (await checkout.git("ls-remote", world.url)).stdout;
}

async function eventually(what: string, probe: () => Promise<boolean>): Promise<void> {
  const until = performance.now() + 20_000;
  while (!(await probe())) {
    assert.ok(performance.now() < until, `not within 20 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function hangingBuild(
  world: World,
): Promise<{ readonly checkout: Checkout; readonly push: ReturnType<Checkout["startGit"]> }> {
  world.engine.npm = join(world.folder, "npm.cjs");
  writeFileSync(world.engine.npm, HANGING_NPM);
  const checkout = await Checkout.create(world, { "package.json": "{}" });
  const push = checkout.startGit("push", world.url, "main");
  await eventually("the build runs", async () => {
    const build = await newestBuild(world);
    const stream = build && (await world.builds.outputStream(build.id));
    if (!stream) return false;
    for await (const chunk of stream) if (String(chunk).includes("Installing binaries")) return true;
    return false;
  });
  return { checkout, push };
}

test("spec 9.1: a push to main builds, releases, waits for the rollout, and moves the branch", async () => {
  await using world = await openWorld();
  const checkout = await Checkout.create(world, APP);
  const { code, stderr } = await checkout.git("push", world.url, "main");
  assert.equal(code, 0, stderr);
  const remote = [...stderr.matchAll(/^remote: ?(.*?)\s*$/gm)].map((match) => match[1]);
  assert.deepEqual(
    remote.filter((line) => line !== "").map((line) => line?.replace(/Done: .*/, "Done:")),
    [
      "Compressing source files... done.",
      "Building source:",
      "-----> Building on the debian-12 stack",
      "-----> Determining which buildpack to use for this app",
      "-----> Procfile app detected",
      "       Nothing to install: the stack runs what the Procfile says.",
      "-----> Build succeeded!",
      "-----> Discovering process types",
      "       Procfile declares types     -> web, worker",
      "-----> Compressing...",
      "       Done:",
      "-----> Launching...",
      "       Released v3",
      "       http://hello.localhost:8080/ deployed to Stator",
      "Verifying deploy... done.",
    ],
  );
  const head = (await checkout.git("rev-parse", "HEAD")).stdout.trim();
  assert.match(await refs(world, checkout), new RegExp(`${head}\trefs/heads/main`));
  const release = await world.store.releases.byVersion(world.app.id, 3);
  assert.equal(release?.description, `Deploy ${head.slice(0, 8)}`);
  const slug = await world.store.slugs.byId(release?.slugId ?? "");
  assert.deepEqual(slug?.processTypes, { web: "python3 app.py", worker: "python3 worker.py" });
  assert.equal(slug?.commit, head);
  assert.deepEqual(await namesOf(world, slug?.digest ?? ""), ["./", "./Procfile", "./app.py", "./lib/", "./lib/a.py"]);
  assert.deepEqual(
    world.log.map((line) => `${line.source}[${line.process}]: ${line.text}`),
    [
      "app[api]: Build started by user me@example.com",
      "app[api]: Build succeeded",
      `app[api]: Deploy ${head.slice(0, 8)} by user me@example.com`,
      "app[api]: Release v3 created by user me@example.com",
    ],
  );
  const size = async () => (await world.store.apps.facts(world.app.id))?.repoBytes ?? 0;
  const first = await size();
  assert.ok(first >= 1024 && first < 1024 * 1024, `the repository has ${first} bytes`);
  await eventually("no build dyno is left", async () => (await world.engine.list()).length === 0);
  assert.equal(world.builds.activeBuildDynos().size, 0);
  assert.equal((await checkout.git("push", world.url, "main")).stderr.trim(), "Everything up-to-date");
});

test("a push while the host process is away is refused in a sentence; the next one is built", async () => {
  await using world = await openWorld();
  const checkout = await Checkout.create(world, APP);
  const away = test.mock.method(world.engine, "start", () =>
    Promise.reject(new EngineError("unavailable", "the host process does not answer")),
  );
  const { code, stderr } = await checkout.git("push", world.url, "main");
  assert.notEqual(code, 0);
  assert.match(stderr, /remote error: The part of the platform that runs builds does not answer; it may be starting/);
  away.mock.restore();
  assert.equal((await checkout.git("push", world.url, "main")).code, 0);
});

test("git for which there is no room waits for another build's end, and is refused at once where none runs", async () => {
  await using world = await openWorld();
  const checkout = await Checkout.create(world, APP);
  const full = () => Promise.reject(new EngineError("no_capacity", "No room"));
  const room = test.mock.method(world.engine, "start", full);
  const refused = await checkout.git("push", world.url, "main");
  assert.match(refused.stderr, /remote error: This machine has no room for a build now; try again in a moment/);
  room.mock.restore();
  const { push } = await hangingBuild(world);
  const refusals = test.mock.method(world.engine, "start", full);
  const waiting = checkout.git("ls-remote", world.url);
  await eventually("it was asked for again", async () => refusals.mock.callCount() >= 2);
  refusals.mock.restore();
  assert.equal((await waiting).code, 0);
  process.kill(-(push.child.pid ?? 0), "SIGKILL");
  await push.result;
});

async function namesOf(world: World, digest: string): Promise<readonly string[]> {
  const tar = world.engine.slugs.get(`${digest} ${world.app.uidIndex}`);
  const source = extract();
  source.end(tar);
  const names: string[] = [];
  for await (const entry of source) {
    names.push(entry.header.name);
    assert.equal(entry.header.mtime.getTime(), 0);
    assert.equal(entry.header.uid, 0);
    entry.resume();
  }
  return names.map((name) => (name.endsWith("/") || !["./", "./lib"].includes(name) ? name : `${name}/`));
}

test("a build's output can be read while it runs and again afterwards", async () => {
  await using world = await openWorld();
  const waiting = Promise.withResolvers<{ status: "succeeded"; failure: null }>();
  world.outcome = waiting.promise;
  const checkout = await Checkout.create(world, APP);
  const push = checkout.git("push", world.url, "main");
  await eventually("a release", async () => (await world.store.releases.byVersion(world.app.id, 3)) !== undefined);
  const build = await newestBuild(world);
  assert.equal(build?.status, "succeeded");
  const stream = await world.builds.outputStream(build.id);
  assert.ok(stream);
  const live = text(stream);
  waiting.resolve({ status: "succeeded", failure: null });
  assert.equal((await push).code, 0);
  assert.match(await live, /^Compressing source files.*Verifying deploy\.\.\. done\.\n$/s);
  const again = await world.builds.outputStream(build.id);
  assert.equal(again && (await text(again)), await live);
  assert.equal(await world.builds.outputStream("../../etc/passwd"), undefined);
});

test("the same files give the same slug, whoever built them and when", async () => {
  await using world = await openWorld();
  const first = await Checkout.create(world, APP);
  assert.equal((await first.git("push", world.url, "main")).code, 0);
  const second = await Checkout.create(world, APP);
  await second.commit({});
  assert.equal((await second.git("push", "--force", world.url, "main")).code, 0);
  const [a, b] = await Promise.all([3, 4].map((version) => world.store.releases.byVersion(world.app.id, version)));
  const [x, y] = await Promise.all([a, b].map((release) => world.store.slugs.byId(release?.slugId ?? "")));
  assert.ok(x && y && x.id !== y.id);
  assert.equal(x.digest, y.digest);
});

for (const [title, files, words] of [
  ["neither a Procfile nor a known language", { "notes.txt": "x" }, /remote: {2}!.*no Procfile, and no language/],
  ["a Procfile without a valid line", { Procfile: "# nothing\nweb:\n" }, /remote: {2}!.*Procfile has no valid line/],
  [
    "an app.json with a cron line that is none",
    { ...APP, "app.json": '{"cron": [{"command": "true", "schedule": "often"}]}' },
    /remote: {2}!.*app\.json: cron\[0\]\.schedule "often" has one field/,
  ],
  [
    "an app.json larger than it may be",
    { ...APP, "app.json": JSON.stringify({ description: "x".repeat(65_536) }) },
    /remote: {2}!.*The app\.json is larger than 64 kB/,
  ],
  [
    "a package.json that is no JSON",
    { "package.json": "{" },
    /package\.json is not valid JSON[\s\S]*failed to compile Node\.js app/,
  ],
] as const) {
  test(`a push with ${title} is refused, and the branch stays`, async () => {
    await using world = await openWorld();
    const checkout = await Checkout.create(world, files);
    const { code, stderr } = await checkout.git("push", world.url, "main");
    assert.notEqual(code, 0);
    assert.match(stderr, words);
    assert.match(stderr, /Push failed/);
    assert.match(stderr, /\[remote rejected\] main -> main \(pre-receive hook declined\)/);
    assert.equal(await refs(world, checkout), "");
    assert.equal(await world.store.releases.byVersion(world.app.id, 3), undefined);
    assert.equal((await newestBuild(world))?.status, "failed");
    assert.match(world.log.at(-1)?.text ?? "", /^Build failed -- check your build output: http/);
  });
}

test("a rollout that fails fails the push, with the reason and the end of the app's log", async () => {
  await using world = await openWorld();
  const checkout = await Checkout.create(world, APP);
  world.log.push({ at: 0, source: "app", process: "web.1", text: "giving up" });
  world.outcome = Promise.resolve({ status: "failed", failure: "web.1 exited with status 7" });
  const { code, stderr } = await checkout.git("push", world.url, "main");
  assert.notEqual(code, 0);
  assert.match(stderr, /Verifying deploy\.\.\. failed\./);
  assert.match(stderr, /Release v3 failed: web\.1 exited with status 7\./);
  assert.match(stderr, /app\[web\.1\]: giving up/);
  assert.equal(await refs(world, checkout), "");
});

test("spec 5.3: a push shows what its release command says, and waits for the rollout after it", async () => {
  await using world = await openWorld();
  world.commandSays = "migrating\nmigrated\n";
  const checkout = await Checkout.create(world, { Procfile: "web: true\nrelease: ./migrate\n" });
  const { code, stderr } = await checkout.git("push", world.url, "main");
  assert.equal(code, 0, stderr);
  const remote = [...stderr.matchAll(/^remote: ?(.*?)\s*$/gm)].map((match) => match[1]).filter((line) => line !== "");
  assert.deepEqual(remote.slice(remote.indexOf("-----> Launching...")), [
    "-----> Launching...",
    " !     Release command declared: this new release will not be available until the command succeeds.",
    "       Released v3",
    "       http://hello.localhost:8080/ deployed to Stator",
    "Running release command...",
    "migrating",
    "migrated",
    "Waiting for release.... done.",
    "Verifying deploy... done.",
  ]);
  assert.ok(world.log.some(({ text }) => text === "Running release v3 commands by user me@example.com"));
  assert.ok(!world.log.some(({ text }) => text.startsWith("Release v3 created")));
});

test("spec 5.3: a daemon that stops does not wait for a release command", async () => {
  await using world = await openWorld();
  const says = new PassThrough();
  says.write("migrating\n");
  world.commandSays = says;
  world.endCommand = (_releaseId, signal) =>
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
  const checkout = await Checkout.create(world, { Procfile: "web: true\nrelease: ./migrate\n" });
  const push = checkout.startGit("push", world.url, "main");
  await eventually("the command runs", async () => says.readableFlowing !== null || says.readableLength === 0);
  await world.restart();
  assert.notEqual((await push.result).code, 0);
  assert.equal((await world.store.releases.byVersion(world.app.id, 3))?.status, "pending", "its release goes on");
});

test("spec 5.3: a release command that fails fails the push with its reason, and the branch does not move", async () => {
  await using world = await openWorld();
  world.commandSays = "no database\n";
  const why = "its release command (release.12) exited with status 3";
  world.endCommand = (releaseId) => world.store.releases.setStatus(releaseId, "failed", why);
  const checkout = await Checkout.create(world, { Procfile: "web: true\nrelease: ./migrate\n" });
  const { code, stderr } = await checkout.git("push", world.url, "main");
  assert.equal(code, 1);
  assert.match(stderr, /no database/);
  assert.match(stderr, /Waiting for release\.\.\.\. failed\./);
  assert.match(stderr, /Release v3 failed: its release command \(release\.12\) exited with status 3\./);
  assert.doesNotMatch(stderr, /Verifying deploy/);
  assert.equal(await refs(world, checkout), "");
});

test("a rollout without room for old and new says so in the push, for each old dyno that goes first", async () => {
  await using world = await openWorld();
  const checkout = await Checkout.create(world, APP);
  world.noRoom = ["web.2", "web.1"];
  const { code, stderr } = await checkout.git("push", world.url, "main");
  assert.equal(code, 0, stderr);
  const remote = [...stderr.matchAll(/^remote: ?(.*?)\s*$/gm)].map((match) => match[1]);
  const at = remote.indexOf("Verifying deploy...");
  assert.deepEqual(remote.slice(at + 1, at + 4), [
    "       No room for old and new side by side: web.2 was stopped first",
    "       No room for old and new side by side: web.1 was stopped first",
    "done.",
  ]);
});

test("spec 3.7: with preboot the push says when requests move, but for a first deploy", async () => {
  await using world = await openWorld();
  const checkout = await Checkout.create(world, APP);
  await world.store.apps.update(world.app.id, { rollout: "preboot", bootTimeoutSeconds: 30, prebootDelaySeconds: 100 });
  assert.doesNotMatch((await checkout.git("push", world.url, "main")).stderr, /Preboot/);
  await world.store.formation.sync(world.app.id, ["web"]);
  await checkout.git("commit", "--allow-empty", "-qm", "again");
  const { stderr } = await checkout.git("push", world.url, "main");
  assert.match(stderr, /Preboot: requests move to the new web dynos in 130 s/);
});

test("the push shows the last 20 lines of the app's log, and what becomes of what ran before", async () => {
  await using world = await openWorld();
  const checkout = await Checkout.create(world, APP);
  for (let n = 1; n <= 30; n++) world.log.push({ at: 0, source: "app", process: "web.1", text: `line ${n}` });
  await world.store.apps.update(world.app.id, { rollout: "stop-start" });
  world.outcome = Promise.resolve({ status: "failed", failure: "web.1 exited with status 7" });
  const { stderr } = await checkout.git("push", world.url, "main");
  assert.match(stderr, /What ran before is started again\. The last lines of the app's log:/);
  const lines = [...stderr.matchAll(/^remote: {10}(\S.*?)\s*$/gm)].map((match) => match[1]);
  assert.equal(lines.length, 20);
  assert.ok(
    lines.some((line) => line?.endsWith("app[web.1]: line 30")) && !lines.some((line) => line?.endsWith(" line 10")),
  );
});

test("other branches and tags are stored and not built; a clone gets what was deployed", async () => {
  await using world = await openWorld();
  const checkout = await Checkout.create(world, APP);
  await checkout.git("tag", "v1");
  const other = await checkout.git("push", world.url, "main:refs/heads/topic;rm -rf", "v1");
  assert.equal(other.code, 128, "git itself refuses such a name");
  const stored = await checkout.git("push", world.url, "main:topic", "v1");
  assert.equal(stored.code, 0, stored.stderr);
  assert.match(stored.stderr, /Stored topic, not deployed: only pushes to main or master are/);
  assert.equal(await world.store.releases.byVersion(world.app.id, 3), undefined);
  assert.equal((await checkout.git("push", world.url, "main:master")).code, 0);
  const cloned = await checkout.git("-c", "protocol.version=2", "clone", "-q", world.url, "copy");
  assert.equal(cloned.code, 0, cloned.stderr);
  assert.equal((await checkout.git("-C", "copy", "symbolic-ref", "HEAD")).stdout.trim(), "refs/heads/master");
  assert.equal((await checkout.git("push", world.url, ":topic")).code, 0);
  const deleted = await checkout.git("push", world.url, ":master");
  assert.match(deleted.stderr, /master cannot be deleted: the app is deployed from it/);
  assert.notEqual(deleted.code, 0);
});

test("main and another branch in one push: main is built, both move or none", async () => {
  await using world = await openWorld();
  const checkout = await Checkout.create(world, APP);
  world.outcome = Promise.resolve({ status: "failed", failure: "no" });
  assert.notEqual((await checkout.git("push", world.url, "main", "main:topic")).code, 0);
  assert.equal(await refs(world, checkout), "");
  world.outcome = Promise.resolve({ status: "succeeded", failure: null });
  assert.equal((await checkout.git("push", world.url, "main", "main:topic")).code, 0);
  assert.match(await refs(world, checkout), /refs\/heads\/main\n.*refs\/heads\/topic/);
  assert.equal((await world.store.builds.list(world.app.id)).length, 2);
});

test("spec 9.2: files that .slugignore names are gone before the build; submodules are told", async () => {
  await using world = await openWorld();
  const checkout = await Checkout.create(world, {
    ...APP,
    ".slugignore": "*.md\n/docs\n!kept.md\n",
    "README.md": "x",
    "docs/a.txt": "x",
  });
  await checkout.git("update-index", "--add", "--cacheinfo", `160000,${"1".repeat(40)},vendor/lib`);
  await checkout.git("commit", "-q", "-m", "submodule");
  const { code, stderr } = await checkout.git("push", world.url, "HEAD:main");
  assert.equal(code, 0, stderr);
  assert.match(stderr, /Left out 2 files that \.slugignore names/);
  assert.match(stderr, /Submodule vendor\/lib was not fetched/);
  const release = await world.store.releases.byVersion(world.app.id, 3);
  const slug = await world.store.slugs.byId(release?.slugId ?? "");
  const names = await namesOf(world, slug?.digest ?? "");
  assert.ok(names.includes("./app.py") && !names.some((name) => /README|docs/.test(name)), names.join(" "));
});

test("spec 5.4: what app.json asks of the platform goes with the slug; the rest of it means nothing", async () => {
  await using world = await openWorld();
  const appJson = { name: "x", formation: { web: 7 }, cron: [{ command: "worker", schedule: "@daily" }] };
  const checkout = await Checkout.create(world, { ...APP, "app.json": JSON.stringify(appJson) });
  const { code, stderr } = await checkout.git("push", world.url, "main");
  assert.equal(code, 0, stderr);
  const release = await world.store.releases.byVersion(world.app.id, 3);
  const slug = await world.store.slugs.byId(release?.slugId ?? "");
  assert.deepEqual(
    slug?.manifest.schedules.map(({ name, cron }) => [name, cron]),
    [["worker", "@daily"]],
  );
});

test("a second push of an app that is being built is told so", async () => {
  await using world = await openWorld();
  const waiting = Promise.withResolvers<{ status: "succeeded"; failure: null }>();
  world.outcome = waiting.promise;
  const checkout = await Checkout.create(world, APP);
  const first = checkout.git("push", world.url, "main");
  await eventually("a release", async () => (await world.store.releases.byVersion(world.app.id, 3)) !== undefined);
  const second = await checkout.git("push", world.url, "main");
  assert.notEqual(second.code, 0);
  assert.match(second.stderr, /remote error: Another push to hello is being built/);
  waiting.resolve({ status: "succeeded", failure: null });
  assert.equal((await first).code, 0);
});

test("a pusher who leaves ends the build; nothing is left, and the next push works", async () => {
  await using world = await openWorld();
  const { checkout, push } = await hangingBuild(world);
  process.kill(-(push.child.pid ?? 0), "SIGKILL");
  await push.result;
  await eventually("the build has failed", async () => (await newestBuild(world))?.status === "failed");
  await eventually("no dyno is left", async () => (await world.engine.list()).length === 0);
  assert.equal(world.builds.activeBuildDynos().size, 0);
  await checkout.git("rm", "-q", "package.json");
  await checkout.commit(APP);
  const again = await checkout.git("push", world.url, "main");
  assert.equal(again.code, 0, again.stderr);
});

test("an app that is destroyed in the middle of its build ends it, and the pusher is told", async () => {
  await using world = await openWorld();
  const { push } = await hangingBuild(world);
  await world.store.apps.remove(world.app.id);
  world.builds.appDestroyed("another");
  assert.equal((await world.engine.list()).length, 1);
  world.builds.appDestroyed(world.app.id);
  const { code, stderr } = await push.result;
  assert.notEqual(code, 0);
  assert.match(stderr, /hello was destroyed\.\s/);
  assert.doesNotMatch(stderr, /went wrong inside the platform/);
  await eventually("no dyno is left", async () => (await world.engine.list()).length === 0);
  assert.equal(world.builds.activeBuildDynos().size, 0);
});

test("a daemon that goes in the middle of a build leaves nothing half done, and the next push works", async () => {
  await using world = await openWorld();
  const { checkout, push } = await hangingBuild(world);
  await world.restart();
  assert.notEqual((await push.result).code, 0);
  assert.equal((await newestBuild(world))?.status, "failed");
  assert.deepEqual(await world.engine.list(), []);
  assert.equal(await refs(world, checkout), "");
  await checkout.git("rm", "-q", "package.json");
  await checkout.commit(APP);
  assert.equal((await checkout.git("push", world.url, "main")).code, 0);
});

test("spec 9.2: a build that takes longer than 15 minutes is ended, and says so", async () => {
  const clock = new SimClock();
  await using world = await openWorld({ clock });
  const { checkout, push } = await hangingBuild(world);
  await clock.advance(15 * 60_000);
  const { code, stderr } = await push.result;
  assert.notEqual(code, 0);
  assert.match(stderr, /The build took longer than 15 minutes/);
  assert.match(stderr, /pre-receive hook declined/);
  assert.equal((await newestBuild(world))?.status, "failed");
  assert.equal(await refs(world, checkout), "");
});

/** A push that stands at the making of the slug's image, which never ends. */
async function hangingImage(world: World) {
  world.engine.makesNoImage = true;
  const checkout = await Checkout.create(world, APP);
  const push = checkout.startGit("push", world.url, "main");
  await eventually("an image is asked for", async () => world.engine.imagesAsked > 0);
  return { checkout, push };
}

test("an image of the slug that is never made fails the push in a sentence, and the next push goes through", async () => {
  const clock = new SimClock();
  await using world = await openWorld({ clock });
  const { checkout, push } = await hangingImage(world);
  const meanwhile = await checkout.git("push", world.url, "main");
  assert.match(meanwhile.stderr, /Another push to hello is being built/);
  await clock.advance(7 * 60_000);
  const { code, stderr } = await push.result;
  assert.notEqual(code, 0);
  assert.match(stderr, /No image could be made of the slug: The slug's image was not made within 7 minutes\./);
  assert.match(stderr, /Push again; if it goes wrong again, the platform's operator finds the reason in its log/);
  assert.match(stderr, /pre-receive hook declined/);
  assert.equal((await newestBuild(world))?.status, "failed");
  await eventually("no dyno is left", async () => (await world.engine.list()).length === 0);
  world.engine.makesNoImage = false;
  const again = await checkout.git("push", world.url, "main"); // the same slug: it does not wait for what hangs
  assert.equal(again.code, 0, again.stderr);
});

test("a pusher who leaves while the image of the slug is not made is not waited for", async () => {
  await using world = await openWorld({ clock: new SimClock() }); // the wait for the image goes on, in no real time
  const { checkout, push } = await hangingImage(world);
  process.kill(-(push.child.pid ?? 0), "SIGKILL");
  await push.result;
  await eventually("the build has failed", async () => (await newestBuild(world))?.status === "failed");
  world.engine.makesNoImage = false;
  await checkout.commit({ "other.txt": "another slug" });
  await eventually("the next push", async () => (await checkout.git("push", world.url, "main")).code === 0);
});

test("what the engine says of a slug that it refuses is told to the pusher", async () => {
  await using world = await openWorld();
  const checkout = await Checkout.create(world, APP);
  world.engine.putSlug = async () => {
    throw new EngineError("invalid", "The slug is too large: more than 1024 MB.");
  };
  const { code, stderr } = await checkout.git("push", world.url, "main");
  assert.notEqual(code, 0);
  assert.match(stderr, /remote: {2}! {5}The slug is too large: more than 1024 MB\.\s+remote: {2}! {5}Push failed/);
});

test("a client that stops in the middle of its push, and stays, holds up no other for longer than an hour", async () => {
  const clock = new SimClock();
  await using world = await openWorld({ clock });
  const { hostname, port, pathname } = new URL(world.url);
  const stuck = request({
    hostname,
    port,
    path: `${pathname}/git-receive-pack`,
    method: "POST",
    headers: { "Content-Type": "application/x-git-receive-pack-request" },
  });
  stuck.on("error", () => {}); // where nothing was answered yet
  const closed = new Promise((resolve) => stuck.once("close", resolve));
  stuck.write("00");
  await eventually("its dyno has been started", async () => world.engine.started === 1);
  const checkout = await Checkout.create(world, APP);
  assert.match((await checkout.git("push", world.url, "main")).stderr, /Another push to hello is being built/);
  const said: string[] = [];
  await eventually("its hour is over", async () => {
    await clock.advance(60 * 60_000);
    const push = await checkout.git("push", world.url, "main");
    said.push(push.stderr);
    return push.code === 0;
  }).catch((error: unknown) => assert.fail(`${String(error)}\n${[...new Set(said)].join("\n")}`));
  await closed;
});

test("what is not git's smart protocol is refused without a build dyno", async () => {
  await using world = await openWorld();
  const status = async (path: string, init?: RequestInit) => (await fetch(`${world.url}/${path}`, init)).status;
  assert.equal(await status("info/refs"), 403);
  assert.equal(await status("info/refs?service=git-evil"), 403);
  assert.equal(await status("HEAD"), 404);
  assert.equal(await status("objects/../../config"), 404);
  assert.equal(await status("git-receive-pack", { method: "POST", body: "x" }), 415);
  assert.equal(await status("git-upload-pack"), 405);
  const headers = { "Content-Type": "application/x-git-receive-pack-request" };
  assert.equal(await status("git-receive-pack", { method: "POST", body: "0000", headers }), 200);
  assert.equal(world.engine.started, 0);
});

for (const [title, act] of [
  ["garbage", (socket) => void socket.write(Buffer.alloc(100_000, "x"))],
  ["a frame that is too long", (socket) => void socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 8]))],
  [
    "a slug before any build",
    (socket) =>
      void new FrameWriter(socket).sendBytes("slug", "tar").then(() => new FrameWriter(socket).send("slugEnd")),
  ],
  ["a build of what is no commit", (socket) => void new FrameWriter(socket).sendJson("build", { commit: "../../etc" })],
  [
    "two builds at once",
    (socket) => void [1, 2].map((n) => new FrameWriter(socket).sendJson("build", { commit: String(n).repeat(40) })),
  ],
  [
    "types nobody should have",
    (socket) => void dishonest(socket, { procfile: "__proto__: x\n", release: "", buildpack: "x" }),
  ],
  [
    "an endless text where a name should be",
    (socket) => void dishonest(socket, { procfile: null, release: "", buildpack: "x".repeat(10_000) }),
  ],
  ["nothing, and goes", (socket) => void socket.end()],
] as const satisfies readonly (readonly [string, (socket: import("node:net").Socket) => void])[]) {
  test(`a build dyno that says ${title} makes no release`, async () => {
    await using world = await openWorld();
    world.engine.impostor = act as typeof world.engine.impostor;
    const response = await fetch(`${world.url}/git-receive-pack`, {
      method: "POST",
      body: "0000 ",
      headers: { "Content-Type": "application/x-git-receive-pack-request" },
    }).then(
      (answered) => answered.text(),
      (error: unknown) => String(error),
    );
    assert.match(response, /could not run git|failed|^$/);
    await eventually("the dyno is gone", async () => (await world.engine.list()).length === 0);
    assert.equal(await world.store.releases.byVersion(world.app.id, 3), undefined);
    const build = await newestBuild(world);
    assert.ok(build === undefined || build.status === "failed");
  });
}

async function dishonest(socket: import("node:net").Socket, compiled: unknown): Promise<void> {
  const writer = new FrameWriter(socket);
  await writer.sendJson("build", { commit: "a".repeat(40) });
  await writer.sendJson("compiled", compiled);
  await once(socket, "data");
  socket.end();
}
