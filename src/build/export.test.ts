import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { extract, type Header, pack } from "tar-stream";
import { Checkout, openWorld, type World } from "../../test/support/build-world.ts";
import type { Release } from "../model/release.ts";
import { reroot } from "./export.ts";

interface Entry {
  readonly header: Header;
  readonly bytes: Buffer;
}

async function entriesOf(tar: Buffer): Promise<ReadonlyMap<string, Entry>> {
  const source = extract();
  source.end(tar);
  const entries = new Map<string, Entry>();
  for await (const entry of source) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer); // no encoding is set
    entries.set(entry.header.name, { header: entry.header, bytes: Buffer.concat(chunks) });
  }
  return entries;
}

async function deployed(world: World): Promise<Release> {
  const stacks = join(world.folder, "home", "host", "stacks");
  mkdirSync(stacks, { recursive: true });
  const stack = pack();
  stack.entry({ name: "./usr/bin/tini", mtime: new Date(0) }, "not really");
  stack.finalize();
  writeFileSync(join(stacks, "debian-12.tar"), await buffer(stack));
  const checkout = await Checkout.create(world, { Procfile: "web: python3 app.py\nworker: sleep 1\n", "app.py": "x" });
  await world.store.config.change(world.app.id, { SECRET: "do not tell" });
  assert.equal((await checkout.git("push", world.url, "main")).code, 0);
  const release = await world.store.releases.byVersion(world.app.id, 3);
  assert.ok(release);
  return release;
}

test("a release is exported as an OCI image: every digest right, no config var in it, the same bytes each time", async () => {
  await using world = await openWorld();
  const release = await deployed(world);
  const tar = await buffer(await world.builds.exportImage(world.app, release));
  assert.ok(tar.equals(await buffer(await world.builds.exportImage(world.app, release))));
  assert.ok(!tar.includes("do not tell") && !tar.includes("SECRET"));
  const entries = await entriesOf(tar);
  const blob = (digest: string): Buffer => {
    const { bytes } = entries.get(`blobs/sha256/${digest.replace("sha256:", "")}`) ?? {};
    assert.ok(bytes, digest);
    assert.equal(`sha256:${createHash("sha256").update(bytes).digest("hex")}`, digest);
    return bytes;
  };
  const index = JSON.parse(entries.get("index.json")?.bytes.toString() ?? "");
  assert.equal(index.manifests[0].annotations["org.opencontainers.image.ref.name"], "hello:v3");
  const manifest = JSON.parse(blob(index.manifests[0].digest).toString());
  const config = JSON.parse(blob(manifest.config.digest).toString());
  assert.equal(config.config.User, "1000:1000");
  assert.equal(config.config.WorkingDir, "/app");
  assert.deepEqual(config.config.Cmd, ["python3 app.py"]);
  assert.equal(config.config.Entrypoint[0], "/usr/bin/tini-static");
  assert.ok(config.config.Env.includes("PORT=8080"));
  assert.equal(config.config.Labels["dev.stator.process.worker"], "sleep 1");
  const [stack, slug] = manifest.layers.map((layer: { digest: string }) => blob(layer.digest));
  assert.deepEqual([...(await entriesOf(stack)).keys()], ["./usr/bin/tini"]);
  const files = await entriesOf(slug);
  assert.deepEqual([...files.keys()], ["app/", "app/Procfile", "app/app.py"]);
  for (const { header } of files.values())
    assert.deepEqual([header.uid, header.gid, header.mtime.getTime()], [1000, 1000, 0]);
  assert.deepEqual(
    config.rootfs.diff_ids,
    manifest.layers.map((layer: { digest: string }) => layer.digest),
  );
});

test("a release without a slug cannot be exported", async () => {
  await using world = await openWorld();
  const first = await world.store.releases.byVersion(world.app.id, 1);
  assert.ok(first);
  await assert.rejects(world.builds.exportImage(world.app, first), /v1 of hello has no slug/);
});

test("what a hostile build put into its tar stays below /app, and devices do not travel", async () => {
  const made = async (header: Partial<Header> & { readonly name: string }) => {
    const tar = pack();
    tar.entry({ mtime: new Date(0), ...header });
    tar.finalize();
    return [...(await entriesOf(await buffer(reroot(Readable.from(await buffer(tar)))))).values()].map(
      ({ header }) => header,
    );
  };
  assert.deepEqual(await made({ name: "dev/sda", type: "block-device", devmajor: 8, devminor: 0 }), []);
  assert.deepEqual(
    (await made({ name: "/etc/passwd", type: "directory", mode: 0o7777 })).map(({ name, mode }) => [name, mode]),
    [["app/etc/passwd/", 0o777]],
  );
  assert.deepEqual(
    (await made({ name: "a", type: "link", linkname: "/etc/shadow" })).map(({ linkname }) => linkname),
    ["app/etc/shadow"],
  );
  await assert.rejects(made({ name: "../../etc/passwd", type: "directory" }), /leads out of it/);
});
