import assert from "node:assert/strict";
import { test } from "node:test";
import { openWorld, type World } from "../../../test/support/api-world.ts";

const path = (url: string) => new URL(url).pathname;
/** As clients upload: no token, no content type. */
const put = (world: World, url: string, body: Uint8Array<ArrayBuffer>) =>
  fetch(`${world.url}${path(url)}`, { method: "PUT", body });

test("platform-api 3.4: a source is uploaded without a token, ordered as a build, and read again", async () => {
  await using world = await openWorld();
  await world.deployed("hello");
  const made = await world.call("POST", "/sources");
  assert.equal(made.status, 201);
  const { put_url, get_url } = made.json.source_blob;
  const order = (source_blob: unknown, more = {}) =>
    world.call("POST", "/apps/hello/builds", { body: { source_blob, ...more } });
  assert.equal(
    (await put(world, put_url, Buffer.alloc(3 * 1024 * 1024, 1))).status,
    200,
    "more than a JSON body may have",
  );
  const tooLarge = await put(
    world,
    (await world.call("POST", "/sources")).json.source_blob.put_url,
    Buffer.alloc(12 * 1024 * 1024),
  );
  assert.equal(tooLarge.status, 413, "the answer to what is refused in the middle arrives");
  assert.equal((await put(world, get_url, Buffer.from("x"))).status, 404, "the URL to read is none to write");
  const back = await fetch(`${world.url}${path(get_url)}`);
  assert.equal((await back.arrayBuffer()).byteLength, 3 * 1024 * 1024);
  assert.equal((await fetch(`${world.url}${path(put_url)}`)).status, 404);
  const checksum = `SHA256:${"ab".repeat(32)}`;
  const { status, json } = await order({ url: get_url, version: "v1.3.0", version_description: "x\ny", checksum });
  assert.equal(status, 201);
  assert.equal(json.status, "pending");
  assert.deepEqual(json.source_blob, { checksum, url: get_url, version: "v1.3.0", version_description: "x\ny" });
  assert.equal(json.buildpacks, null);
  assert.match(json.output_stream_url, /\/stator\/build-output\//);
  assert.equal((await world.call("GET", `/apps/hello/builds/${json.id}`)).json.source_blob.version, "v1.3.0");
  const urls = [
    { url: "https://codeload.test/x.tgz" },
    { buildpacks: [{ url: "heroku/nodejs" }, { name: "https://b.test/x.git" }] },
  ] as const;
  const elsewhere = await order(...urls);
  assert.deepEqual(elsewhere.json.buildpacks, [
    { name: "heroku/nodejs", url: "urn:buildpack:heroku/nodejs" },
    { name: "https://b.test/x.git", url: "https://b.test/x.git" },
  ]);
  assert.deepEqual(world.builds.asked, ["order hello upload-1", "order hello https://codeload.test/x.tgz"]);
  world.builds.stale.add("upload-1");
  assert.equal((await put(world, put_url, Buffer.from("x"))).status, 404);
  for (const wrong of [
    { url: get_url.replace(/.$/, "") },
    { url: get_url },
    { url: "http://169.254.169.254/latest" },
    { url: "file:///etc/passwd" },
    { url: "" },
    { url: "https://x.test/a\0" },
    { url: "https://x.test/a", checksum: "SHA256:zz" },
    { url: "https://x.test/a", version: "a\nb" },
    {},
  ]) {
    assert.equal((await order(wrong)).status, 422, JSON.stringify(wrong));
  }
  assert.match(
    (await order({ url: "https://x.test/a" }, { buildpacks: [{ url: "heroku/cobol" }] })).json.message,
    /heroku\/cobol" is not here/,
  );
});

test("a pending build can be cancelled, one that has ended cannot; the cache can be emptied", async () => {
  await using world = await openWorld();
  await world.deployed("hello");
  const body = { source_blob: { url: "https://x.test/a" } };
  const { id } = (await world.call("POST", "/apps/hello/builds", { body })).json;
  const cancelled = await world.call("DELETE", `/apps/hello/builds/${id}`);
  assert.deepEqual([cancelled.status, cancelled.json.status], [200, "failed"]);
  assert.match((await world.call("DELETE", `/apps/hello/builds/${id}`)).json.message, /has ended: it is failed/);
  assert.equal((await world.call("DELETE", "/apps/hello/build-cache")).status, 200);
  assert.deepEqual(world.builds.asked.slice(1), ["purge hello"]);
});

test("whoever destroys an app ends its builds", async () => {
  await using world = await openWorld();
  const app = await world.deployed("hello");
  await world.deployed("other");
  assert.equal((await world.call("DELETE", "/apps/hello")).status, 200);
  assert.deepEqual(world.builds.destroyed, [app.id]);
});

test("platform-api 3.4: a slug is announced, uploaded, released, and its archive handed out", async () => {
  await using world = await openWorld();
  const app = await world.deployed("hello");
  const body = {
    process_types: { web: "./run", "2nd": "x" },
    commit: "0123456789abcdef",
    commit_description: "why",
    stack: "debian-12",
  };
  const made = await world.call("POST", "/apps/hello/slugs", { body });
  assert.equal(made.status, 201);
  assert.equal(made.json.blob.method, "PUT");
  assert.equal(made.json.size, null);
  const release = (app = "hello") => world.call("POST", `/apps/${app}/releases`, { body: { slug: made.json.id } });
  assert.match((await release()).json.message, /has not been uploaded yet/);
  assert.equal((await put(world, made.json.blob.url, Buffer.from("archive"))).status, 200);
  assert.equal((await put(world, made.json.blob.url, Buffer.from("archive"))).status, 409, "once");
  const slug = (await world.call("GET", `/apps/hello/slugs/${made.json.id}`)).json;
  assert.deepEqual([slug.blob.method, slug.size, slug.commit_description], ["GET", 7, "why"]);
  assert.deepEqual(slug.process_types, body.process_types);
  assert.equal(await (await fetch(`${world.url}${path(slug.blob.url)}`)).text(), `archive of ${slug.id}`);
  const released = await release();
  assert.equal(released.status, 201);
  assert.deepEqual([released.json.slug.id, released.json.description], [slug.id, "Deploy 01234567"]);
  await world.deployed("other");
  const copied = (await release("other")).json;
  assert.notEqual(copied.slug.id, slug.id, "a copy, so that each app can be destroyed");
  await world.store.apps.remove(app.id);
  assert.equal((await world.call("GET", `/apps/other/slugs/${copied.slug.id}`)).json.commit, body.commit);
  for (const wrong of [
    {},
    { process_types: { "a b": "x" } },
    { process_types: { web: "" } },
    { process_types: { web: "a\0b" } },
    { process_types: { web: "x" }, stack: "heroku-24" },
    { process_types: { web: "x" }, checksum: "md5" },
  ]) {
    assert.equal((await world.call("POST", "/apps/other/slugs", { body: wrong })).status, 422, JSON.stringify(wrong));
  }
});

test("another person's slug cannot be released", async () => {
  await using world = await openWorld();
  const app = await world.deployed("hello");
  const stranger = await world.store.users.ensure("stranger@example.com");
  const { text: token } = await world.store.tokens.create({
    userId: stranger.id,
    description: "",
    scopes: ["global"],
    expiresAt: null,
  });
  await world.store.apps.create({ name: "theirs", ownerId: stranger.id, stack: "debian-12", domain: "localhost" });
  const slug = (await world.store.releases.newest(app.id))?.slugId;
  const { status, json } = await world.call("POST", "/apps/theirs/releases", { body: { slug }, token });
  assert.deepEqual([status, json.id, json.resource], [404, "not_found", "slug"]);
});

test("buildpack-installations: the whole list is set, names of the platform's own in all their forms", async () => {
  await using world = await openWorld();
  await world.deployed("hello");
  const installations = "/apps/hello/buildpack-installations";
  const set = (...names: readonly unknown[]) =>
    world.call("PUT", installations, {
      body: { updates: names.map((buildpack) => ({ buildpack })) },
      headers: { Range: "" },
    });
  assert.deepEqual((await world.call("GET", installations)).json, []);
  const list = [
    { buildpack: { name: "heroku/nodejs", url: "urn:buildpack:heroku/nodejs" }, ordinal: 0 },
    { buildpack: { name: "https://github.com/a/b.git#v1", url: "https://github.com/a/b.git#v1" }, ordinal: 1 },
  ];
  for (const form of [
    "heroku/nodejs",
    "urn:buildpack:heroku/nodejs",
    "https://buildpack-registry.s3.amazonaws.com/buildpacks/heroku/nodejs.tgz",
  ]) {
    const answer = await set(form, "https://github.com/a/b.git#v1");
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.json, list);
  }
  assert.deepEqual((await world.call("GET", installations)).json, list);
  for (const wrong of [
    "heroku/python",
    "",
    undefined,
    "http://x.test/a.tgz",
    "git@github.com:a/b.git",
    "https://x.test/a b",
    "-x",
  ]) {
    const { status, json } = await set(wrong);
    assert.equal(status, 422);
    assert.match(json.message, /is not here: there are heroku\/nodejs and heroku\/procfile/);
  }
  assert.match((await set("heroku/nodejs", "urn:buildpack:heroku/nodejs")).json.message, /twice/);
  assert.deepEqual((await world.call("GET", installations)).json, list, "what was refused changed nothing");
  assert.deepEqual((await set()).json, []);
});

test("the registry that the official client asks knows the platform's own buildpacks alone", async () => {
  await using world = await openWorld();
  const names = async (query: string) =>
    (await world.call("GET", `/buildpacks${query}`, { token: null })).json.map((each: { name: string }) => each.name);
  assert.deepEqual(await names(""), ["nodejs", "procfile"]);
  assert.deepEqual(await names("?in[name][]=nodejs"), ["nodejs"]);
  assert.deepEqual(await names("?in[namespace][]=other"), []);
  assert.deepEqual(await names("?like[description]=node.js"), ["nodejs"]);
  const one = await world.call("GET", "/buildpacks/heroku%2Fnodejs", { token: null });
  assert.equal(one.json.blob_url, "urn:buildpack:heroku/nodejs");
  assert.equal((await world.call("GET", "/buildpacks/heroku%2Fnodejs/revisions", { token: null })).json[0].release, 1);
  assert.equal(
    (await world.call("GET", "/buildpacks/heroku%2Fnodejs/readme", { token: null })).json.encoding,
    "base64",
  );
  assert.equal((await world.call("GET", "/buildpacks/heroku%2Fpython", { token: null })).status, 404);
});
