import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createReadStream, existsSync } from "node:fs";
import { lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { after, before, test } from "node:test";
import { mountsBelow } from "../../src/engine/local/loop.ts";
import { buildStacks, isBuilt, STACK_NAMES, stackFiles } from "../../src/engine/local/stack.ts";
import { mountStacks, type Stacks, unmountStacks } from "../../src/engine/local/stack-mount.ts";
import { RECIPES, recipeHash } from "../../src/engine/local/stack-recipe.ts";
import { ended, run, start } from "../../src/lib/command.ts";
import { instanceOf } from "../../src/model/instance.ts";
import { eventually } from "../support/eventually.ts";

/**
 * Stacks as the distribution really makes them: those of the instance that `bin/up` has just installed (links to its files), and
 * one that is made here, of which each byte must be the same. Some 40 s of two processors, and 700 MB of disk while it runs.
 */
const home = await mkdtemp("/var/tmp/stack-test-");
const instance = instanceOf(home);
const progress: string[] = [];
let stacks: Stacks;

before(async () => {
  const theirs = join(instanceOf(process.env["STATOR_HOME"] ?? "/nowhere").paths.host, "stacks");
  const ours = join(instance.paths.host, "stacks");
  if (existsSync(theirs)) {
    await mkdir(instance.paths.host, { recursive: true, mode: 0o711 });
    await run("cp", ["--archive", "--link", "--", theirs, ours]);
  }
  await buildStacks({ instance, onProgress: (line) => progress.push(line) });
  stacks = await mountStacks(instance);
});

after(async () => {
  await unmountStacks(instance);
  await rm(home, { recursive: true, force: true });
});

const inRun = (...args: readonly string[]) =>
  run("chroot", ["--userspec=1000:1000", stacks.mountOf("debian-12"), ...args], { env: USER_ENV });
const USER_ENV = { LANG: "en_US.UTF-8" };

test("what programs need at run time is there", async () => {
  assert.match(
    (await inRun("/usr/bin/python3", "-c", "import ssl, sqlite3, zoneinfo; print(zoneinfo.ZoneInfo('Europe/Paris'))"))
      .stdout,
    /Paris/,
  );
  assert.match((await inRun("/usr/bin/curl", "--version")).stdout, /https/);
  assert.match((await inRun("/usr/bin/id")).stdout, /uid=1000\(dyno\) gid=1000\(dyno\)/);
  assert.match((await inRun("/usr/bin/locale", "-a")).stdout, /en_US\.utf8/);
  assert.match((await inRun("/usr/bin/locale", "charmap")).stdout, /UTF-8/);
  assert.match((await inRun("/usr/bin/tini-static", "--version")).stdout, /tini/);
  assert.match((await inRun("/usr/bin/getent", "ahostsv4", "hello.localhost")).stdout, /^127\.0\.0\.1/);
  for (const library of ["libstdc++.so.6", "libatomic.so.1", "libssl.so.3", "libz.so.1"])
    assert.match((await inRun("/sbin/ldconfig", "-p")).stdout, new RegExp(library.replaceAll(/[.+]/g, "\\$&")));
  assert.ok((await stat(join(stacks.mountOf("debian-12"), "etc/ssl/certs/ca-certificates.crt"))).size > 100_000);
});

test("the run stack has no compiler, no git, no package lists and nothing of this machine", async () => {
  const root = stacks.mountOf("debian-12");
  for (const path of [
    "usr/bin/gcc",
    "usr/bin/git",
    "usr/bin/make",
    "var/lib/apt/lists",
    "usr/share/man/man1",
    "dev/null",
  ])
    assert.ok(!existsSync(join(root, path)), path);
  for (const path of ["etc/hostname", "etc/machine-id", "etc/resolv.conf"])
    assert.equal(await readFile(join(root, path), "utf8"), "", path);
  assert.equal((await run("find", [root, "-xdev", "-perm", "/6000", "-type", "f"])).stdout, "");
});

test("the build stack has what builds need", async () => {
  const root = stacks.mountOf("debian-12-build");
  for (const program of ["git", "gcc", "g++", "make", "pkg-config", "xz", "zip", "unzip", "python3", "rsync"])
    assert.ok((await stat(join(root, "usr/bin", program))).mode & 0o111, program);
  assert.match((await run("chroot", [root, "/usr/bin/gcc", "--version"])).stdout, /Debian 12/);
  assert.equal((await lstat(join(root, "etc/stator/ca.pem"))).size, 0);
});

test("images are read-only, mounted once, and not built again", async () => {
  await assert.rejects(run("touch", [join(stacks.mountOf("debian-12"), "app/x")]), /Read-only/);
  const mounts = await mountsBelow(instance.paths.host);
  await mountStacks(instance);
  assert.deepEqual(await mountsBelow(instance.paths.host), mounts);
  assert.equal(mounts.length, STACK_NAMES.length);
  const before = await stat(stackFiles(instance, "debian-12").image);
  const lines = progress.length;
  await buildStacks({ instance, onProgress: (line) => progress.push(line) });
  assert.equal(progress.length, lines);
  assert.equal((await stat(stackFiles(instance, "debian-12").image)).ino, before.ino);
});

test("a lost part is built again, and the same packages give the same bytes", async () => {
  const files = stackFiles(instance, "debian-12");
  const before = [await digest(files.tar), await digest(files.image)];
  assert.equal((await stat(files.tar)).mode & 0o777, 0o644);
  await rm(files.tar);
  assert.ok(!(await isBuilt(instance, "debian-12")));
  await buildStacks({ instance, onProgress: () => {} });
  assert.deepEqual([await digest(files.tar), await digest(files.image)], before);
});

test("a build anew that fails leaves what stood", async () => {
  const files = Object.values(stackFiles(instance, "debian-12"));
  const facts = () => Promise.all(files.map(async (path) => (await stat(path)).ino));
  const before = await facts();
  const failed = buildStacks({ instance, anew: true, env: { PATH: "/nowhere" }, onProgress: () => {} });
  await assert.rejects(failed, /mmdebstrap/);
  assert.deepEqual(await facts(), before);
  assert.ok(await isBuilt(instance, "debian-12"));
  const left = (await readdir(join(instance.paths.host, "stacks"))).filter((name) => name.startsWith("building-"));
  assert.deepEqual(left, []);
});

test("an image built anew gets a mount of its own; the older one goes from sight, and with the last who has it", async () => {
  const small = instanceOf(await mkdtemp("/var/tmp/stack-test-"));
  const loops = async () =>
    (await run("losetup", ["--list", "--noheadings", "--output", "BACK-FILE"])).stdout.split(small.home).length - 1;
  const build = async (builtAt: number) => {
    const tree = join(small.home, String(builtAt));
    await mkdir(tree);
    await writeFile(join(tree, "day"), String(builtAt));
    for (const name of STACK_NAMES) {
      const files = stackFiles(small, name);
      await mkdir(join(files.image, ".."), { recursive: true });
      await writeFile(files.tar, "");
      await run("mkfs.erofs", ["--quiet", `${files.image}.new`, tree]);
      await rename(`${files.image}.new`, files.image);
      await writeFile(files.recipe, JSON.stringify({ recipe: recipeHash(RECIPES[name]), builtAt }));
    }
  };
  const dayOf = (stack: Stacks) => join(stack.mountOf("debian-12"), "day");
  await build(1);
  const older = await mountStacks(small);
  const holder = start("unshare", ["--mount", "--propagation", "private", "--", "cat"], {
    stdio: ["pipe", "pipe", "ignore"],
  }); // as a dyno: in a mount namespace of its own
  try {
    holder.stdin?.write("made\n");
    await once(holder.stdout ?? holder, "data");
    await build(2);
    const newer = await mountStacks(small);
    assert.deepEqual(
      await mountsBelow(small.home),
      STACK_NAMES.map((name) => newer.mountOf(name)),
    );
    assert.equal(await readFile(dayOf(newer), "utf8"), "2");
    const inside = ["nsenter", [`--mount=/proc/${holder.pid}/ns/mnt`, "cat", dayOf(older)]] as const;
    assert.equal((await run(...inside)).stdout, "1");
    assert.equal(await loops(), 2 * STACK_NAMES.length);
    const end = ended(holder, "cat");
    holder.stdin?.end();
    await end;
    await eventually(async () => (await loops()) === STACK_NAMES.length);
    assert.deepEqual((await mountStacks(small)).mountOf("debian-12"), newer.mountOf("debian-12"));
  } finally {
    holder.kill("SIGKILL");
    await unmountStacks(small);
    await rm(small.home, { recursive: true, force: true });
  }
});

async function digest(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
