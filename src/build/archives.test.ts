import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { extract, type Header, pack } from "tar-stream";
import { Checkout, openWorld, type World } from "../../test/support/build-world.ts";
import { eventually } from "../../test/support/eventually.ts";
import { makeAuthority, makeServerCertificate } from "../host/certificates.ts";
import { parseBuildpack } from "../model/buildpack.ts";
import type { PlatformError } from "../model/errors.ts";
import type { Build, BuildSource } from "../model/release.ts";

const APP = { "./Procfile": "web: python3 app.py\n", "./app.py": "print('hello')\n" };

type Entry = string | Partial<Header>;

/** A tar.gz, of any entries. */
async function archiveOf(entries: Readonly<Record<string, Entry>>): Promise<Buffer> {
  const tar = pack();
  for (const [name, entry] of Object.entries(entries)) {
    if (typeof entry === "string") tar.entry({ name }, entry);
    else tar.entry({ name, ...entry }, entry.type === undefined ? "x" : "");
  }
  tar.finalize();
  return gzipSync(await buffer(tar as unknown as Readable)); // see export.ts
}

const SOURCE: BuildSource = {
  url: "https://source.test/x.tgz",
  checksum: null,
  version: "v1",
  versionDescription: null,
};

async function order(world: World, archive: Buffer, source: Partial<BuildSource> = {}, buildpacks?: readonly string[]) {
  const name = world.builds.sources.mint();
  await world.builds.sources.receive(name, Readable.from([archive]));
  return world.builds.order({
    app: world.app,
    user: world.user,
    source: { ...SOURCE, ...source },
    upload: name,
    buildpacks: buildpacks?.map(parseBuildpack) ?? null,
  });
}

/** All that the build said, and what became of it. */
async function endOf(world: World, { id }: Build): Promise<{ readonly build: Build; readonly said: string }> {
  const stream = await world.builds.outputStream(id);
  assert.ok(stream);
  const said = await text(stream);
  const build = await world.store.builds.byId(id);
  assert.ok(build);
  return { build, said };
}

async function namesIn(tar: Buffer | undefined): Promise<readonly string[]> {
  const source = extract();
  source.end(tar);
  const names: string[] = [];
  for await (const entry of source) {
    names.push(entry.header.name);
    entry.resume();
  }
  return names;
}

test("platform-api 3.4: an uploaded archive is built, released and rolled out like a push", async () => {
  await using world = await openWorld();
  // As forges pack it: all in one folder.
  const archive = await archiveOf({
    "hello-1/Procfile": "web: python3 app.py\n",
    "hello-1/app.py": "1",
    "hello-1/.slugignore": "*.md\n",
    "hello-1/notes.md": "x",
  });
  const checksum = `SHA256:${createHash("sha256").update(archive).digest("hex").toUpperCase()}`;
  const ordered = await order(world, archive, { version: "abcdef0123", checksum });
  assert.equal(ordered.status, "pending");
  const { build, said } = await endOf(world, ordered);
  assert.match(
    said,
    /Building on the debian-12 stack[^]*Procfile app detected[^]*Released v3[^]*Verifying deploy\.\.\. done/,
  );
  assert.match(said, /Left out 1 file that \.slugignore names/);
  assert.equal(build.status, "succeeded");
  const release = await world.store.releases.byId(build.releaseId ?? "");
  assert.equal(release?.description, "Deploy abcdef01");
  const slug = await world.store.slugs.byId(build.slugId ?? "");
  assert.deepEqual(slug?.processTypes, { web: "python3 app.py" });
  assert.equal(slug?.commit, "abcdef0123");
  const tar = world.engine.slugs.get(`${slug?.digest} ${world.app.uidIndex}`);
  assert.deepEqual(await namesIn(tar), ["./", "./.slugignore", "./Procfile", "./app.py"]);
  await eventually(async () => (await world.engine.list()).length === 0);
});

for (const [title, entries, words] of [
  ["an absolute path", { ...APP, "/etc/evil": "x" }, /a path that leaves its folder: \/etc\/evil/],
  ["a path with ..", { ...APP, "./a/../../evil": "x" }, /a path that leaves its folder/],
  [
    "a device",
    { ...APP, "./null": { type: "character-device", devmajor: 1, devminor: 3 } },
    /no file, folder or link: \.\/null/,
  ],
  ["a pipe", { ...APP, "./pipe": { type: "fifo" } }, /no file, folder or link: \.\/pipe/],
  [
    "a way out through a link",
    { ...APP, "./out": { type: "symlink", linkname: "/tmp" }, "./out/evil": "x" },
    /could not be unpacked/,
  ],
  [
    "a hard link to a file elsewhere",
    { ...APP, "./pw": { type: "link", linkname: "../../../../etc/passwd" } },
    /a path that leaves its folder/,
  ],
  ["nothing to run", { "./notes.txt": "x" }, /no Procfile, and no language/],
] as const satisfies readonly (readonly [string, Readonly<Record<string, Entry>>, RegExp])[]) {
  test(`an archive with ${title} fails its build in a sentence`, async () => {
    await using world = await openWorld();
    const { build, said } = await endOf(world, await order(world, await archiveOf(entries)));
    assert.match(said, words);
    assert.equal(build.status, "failed");
    assert.equal(build.releaseId, null);
  });
}

test("what is no archive, is another one than was meant, or unpacks to too much, is refused", async () => {
  await using world = await openWorld();
  const garbage = await endOf(world, await order(world, Buffer.from("not a tar at all".repeat(100))));
  assert.match(garbage.said, /could not be unpacked, it must be a tar\.gz/);
  const other = await endOf(world, await order(world, await archiveOf(APP), { checksum: `SHA256:${"a".repeat(64)}` }));
  assert.match(other.said, /Expected: SHA256:a{64} Actual: SHA256:[0-9a-f]{64}/);
  // The header alone says 2 GB.
  const header = gzipSync(saying(2 * 1024 ** 3, gunzipSync(await archiveOf({ "./huge": "x" }))));
  const huge = await endOf(world, await order(world, header));
  assert.match(huge.said, /too many or too large/);
  assert.deepEqual(new Set([garbage, other, huge].map(({ build }) => build.status)), new Set(["failed"]));
});

/** The tar with another size in its first header, whose sum is right again. */
function saying(bytes: number, tar: Buffer): Buffer {
  tar.write(`${bytes.toString(8).padStart(11, "0")}\0`, 124, "latin1");
  tar.fill(" ", 148, 156);
  const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  tar.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return tar;
}

test("an archive elsewhere is fetched by the build dyno, over https alone; what fails is told", async () => {
  await using world = await openWorld();
  await using server = await secureServer(world, await archiveOf(APP));
  const fetched = async (url: string) => {
    const source = { ...SOURCE, url };
    const { app, user } = world;
    return endOf(world, await world.builds.order({ app, user, source, upload: null, buildpacks: null }));
  };
  assert.equal((await fetched(`${server.url}/app.tgz`)).build.status, "succeeded");
  for (const url of [`${server.url}/missing`, `${server.url}/to-http`, "https://127.0.0.1:1/x", "https://[/"]) {
    const { build, said } = await fetched(url);
    assert.match(said, /The archive could not be fetched: curl/, url);
    assert.equal(build.status, "failed");
  }
});

/** Serves an archive, redirects and the app's repository over https, with a certificate that build dynos trust. */
async function secureServer(world: World, archive: Buffer) {
  const authority = await makeAuthority("Test CA", Date.now());
  const { certificate, key } = await makeServerCertificate(authority, ["127.0.0.1"], Date.now());
  const file = join(world.folder, "ca.pem");
  writeFileSync(file, authority.certificate);
  world.engine.env = { SSL_CERT_FILE: file, CURL_CA_BUNDLE: file, GIT_SSL_CAINFO: file };
  const server = createServer({ cert: certificate, key }, (request, response) => {
    const path = request.url ?? "";
    if (path.startsWith("/hello.git/")) {
      const { app, user } = world;
      return void world.builds.handleGit(request, response, { app, user, rest: path.slice("/hello.git/".length) });
    }
    if (path === "/to-http") return void response.writeHead(302, { Location: world.url }).end();
    if (!path.endsWith(".tgz")) return void response.writeHead(404).end();
    response.end(archive);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

const FIRST = {
  "bin/detect": "#!/bin/sh\necho First\n",
  "bin/compile":
    '#!/bin/sh\nset -e\necho "-----> cache $(ls "$2" | tr "\\n" " ")"; touch "$2/kept"\ncat "$3/GREETING" > "$1/greeting"\nmkdir -p "$1/.profile.d"; echo "export X=1" > "$1/.profile.d/first.sh"\necho "export FROM_FIRST=\'yes it is\'" > "$(dirname "$0")/../export"\n',
};
const SECOND = {
  "bin/detect": "#!/bin/sh\n[ -f $1/greeting ] && echo Second\n",
  "bin/compile": '#!/bin/sh\necho "-----> first said: $FROM_FIRST, version $SOURCE_VERSION, stack $STACK" >&2\n',
  "bin/release": '#!/bin/sh\nprintf -- "---\\ndefault_process_types:\\n  web: run it\\n"\n',
};

test("spec 9.3: custom buildpacks, a .tgz and a git repository, compile in order; export, ENV_DIR, cache, release", async () => {
  await using world = await openWorld();
  await world.store.config.change(world.app.id, { GREETING: "hello" });
  await using server = await secureServer(world, await archiveOf(FIRST));
  const checkout = await Checkout.create(world, SECOND);
  await checkout.git("push", world.url, "main:refs/heads/buildpack");
  const list = [`${server.url}/first.tgz`, `${server.url}/hello.git#buildpack`];
  await world.store.buildpacks.replace(world.app.id, list.map(parseBuildpack));
  const { build, said } = await endOf(world, await order(world, await archiveOf({ "./a": "b", "./c": "d" })));
  assert.match(said, /-----> Using buildpacks:\n {7}1\. https:\S+first\.tgz\n {7}2\. https:\S+hello\.git#buildpack\n/);
  assert.match(
    said,
    /-----> First app detected\n-----> cache \n[^]*-----> Second app detected\n-----> first said: yes it is, version v1, stack debian-12/,
  );
  assert.match(said, /Default types for buildpack -> web/);
  const slug = await world.store.slugs.byId(build.slugId ?? "");
  assert.deepEqual(slug?.processTypes, { web: "run it" });
  assert.equal(slug?.buildpackDescription, "Second");
  const tar = world.engine.slugs.get(`${slug?.digest} ${world.app.uidIndex}`);
  assert.ok((await namesIn(tar)).includes("./.profile.d/first.sh"));
  assert.deepEqual(
    build.buildpacks?.map(({ url }) => url),
    list,
  );
  const again = await endOf(world, await order(world, await archiveOf({ "./a": "b", "./c": "d" })));
  assert.match(again.said, /-----> cache kept /);
  await eventually(() =>
    world.builds.purgeCache(world.app).then(
      () => true,
      () => false,
    ),
  );
  const purged = await endOf(
    world,
    await order(world, await archiveOf({ "./a": "b", "./c": "d" }), {}, [list[0] ?? ""]),
  );
  assert.match(purged.said, /Using buildpack: https:\S+first\.tgz[^]*-----> cache \n/);
});

test("a buildpack that cannot be had, is none, or is not for this app, fails the build in a sentence", async () => {
  await using world = await openWorld();
  await using server = await secureServer(world, await archiveOf({ "README.md": "no buildpack" }));
  for (const [buildpack, words] of [
    [`${server.url}/none.tgz`, /has no bin\/detect and bin\/compile: it is no classic buildpack/],
    [`${server.url}/missing.git`, /The buildpack https:\S+missing\.git could not be fetched: fatal: /],
    [`${server.url}/hello.git#--upload-pack=evil`, /could not be fetched/],
    ["heroku/nodejs", /App not compatible with buildpack: heroku\/nodejs/],
  ] as const) {
    const { build, said } = await endOf(world, await order(world, await archiveOf(APP), {}, [buildpack]));
    assert.match(said, words);
    assert.equal(build.status, "failed");
  }
});

test("builds of one app wait for each other; one that runs and one that waits can be cancelled", async () => {
  await using world = await openWorld();
  world.engine.npm = join(world.folder, "npm.cjs");
  writeFileSync(world.engine.npm, "setTimeout(() => {}, 600_000);");
  const hanging = await archiveOf({ "./package.json": "{}" });
  const [first, second, third] = [
    await order(world, hanging),
    await order(world, hanging),
    await order(world, await archiveOf(APP)),
  ];
  await eventually(async () => {
    const stream = await world.builds.outputStream(first.id);
    assert.ok(stream);
    for await (const chunk of stream) if (String(chunk).includes("Installing binaries")) return true;
    return false;
  });
  const checkout = await Checkout.create(world, { Procfile: "web: x\n" });
  assert.match((await checkout.git("push", world.url, "main")).stderr, /Another push to hello is being built/);
  await assert.rejects(world.builds.purgeCache(world.app), /uses the cache/);
  await world.builds.cancel(second.id, world.user);
  assert.equal((await world.store.builds.byId(second.id))?.status, "failed");
  assert.match(
    (await endOf(world, second)).said,
    /^ ! {5}Build canceled by user me@example\.com\n ! {5}Push failed\n$/,
  );
  assert.equal((await world.store.builds.byId(third.id))?.status, "pending");
  await world.builds.cancel(first.id, world.user);
  assert.equal((await world.store.builds.byId(first.id))?.status, "failed");
  assert.match((await endOf(world, first)).said, /Build canceled by user me@example\.com/);
  assert.equal((await endOf(world, third)).build.status, "succeeded");
});

test("a daemon that stops leaves no build pending, whether it ran or waited", async () => {
  await using world = await openWorld();
  world.engine.npm = join(world.folder, "npm.cjs");
  writeFileSync(world.engine.npm, "setTimeout(() => {}, 600_000);");
  const hanging = await archiveOf({ "./package.json": "{}" });
  const builds = [await order(world, hanging), await order(world, hanging)];
  await eventually(async () => world.engine.started === 1);
  await world.restart();
  for (const build of builds) assert.equal((await world.store.builds.byId(build.id))?.status, "failed");
  assert.deepEqual(await world.engine.list(), []);
});

const TYPES = { processTypes: { web: "./run" }, stack: "debian-12", commit: "abc", commitDescription: null };

test("platform-api 3.4: a slug that was built elsewhere; what is handed out can be handed in again", async () => {
  await using world = await openWorld();
  const announce = (checksum: string | null = null) =>
    world.store.slugs.announce({ ...TYPES, appId: world.app.id, buildpackDescription: null, checksum });
  const archive = await archiveOf({
    "./app/run": { mode: 0o755 },
    "./app/app.json": '{"cron": []}',
    "./app/l": { type: "symlink", linkname: "run" },
  });
  const upload = await announce(`SHA256:${createHash("sha256").update(archive).digest("hex")}`);
  const slug = await world.builds.receiveSlug(world.app, upload, Readable.from([archive]));
  assert.equal(slug.id, upload.id);
  assert.equal(await world.store.slugs.uploadById(upload.id), undefined);
  const back = await buffer(world.builds.slugArchive(slug));
  const again = await world.builds.receiveSlug(world.app, await announce(), Readable.from([back]));
  assert.equal(again.digest, slug.digest);
  for (const [bad, words] of [
    [await archiveOf({ "./run": "x" }), /one folder, \.\/app/],
    [await archiveOf({ "./app/run": "x", "./etc/x": "y" }), /one folder, \.\/app/],
    [await archiveOf({ "./app/../../x": "y" }), /leaves its folder/],
    [Buffer.from("nothing"), /could not be unpacked/],
    [await archiveOf({ "./app/app.json": '{"cron": [{"command": "x", "schedule": "often"}]}' }), /app\.json: cron/],
  ] as const) {
    const refused = await announce();
    await assert.rejects(
      world.builds.receiveSlug(world.app, refused, Readable.from([bad])),
      (error: PlatformError) => error.id === "invalid_params" && words.test(error.message),
    );
    assert.ok(await world.store.slugs.uploadById(refused.id), "another try is possible");
  }
});
