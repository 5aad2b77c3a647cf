import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../lib/clock.ts";
import { NO_MANIFEST } from "../model/app-manifest.ts";
import { openStore } from "./sqlite.ts";

async function world() {
  const store = await openStore({ path: ":memory:", key: [new Uint8Array(32)], clock: systemClock });
  const { id: ownerId } = await store.users.ensure("owner@example.com");
  const make = (name: string) => store.apps.create({ name, ownerId, stack: "debian-12", domain: "localhost" });
  return { store, ownerId, make, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
}

test("a slug that was announced arrives once, with its id; a copy belongs to its own app", async () => {
  await using at = await world();
  const { store } = at;
  const [hello, other] = [await at.make("hello"), await at.make("other")];
  const facts = { processTypes: { web: "x", "1": "y" }, stack: "debian-12", commit: "c", commitDescription: "d" };
  const upload = await store.slugs.announce({
    ...facts,
    appId: hello.id,
    buildpackDescription: "b",
    checksum: "SHA256:e",
  });
  assert.equal(await store.slugs.byId(upload.id), undefined);
  assert.deepEqual(await store.slugs.uploadById(upload.id), upload);
  const come = { digest: "f".repeat(64), sizeBytes: 5, manifest: NO_MANIFEST };
  const slug = await store.slugs.arrive(upload.id, come);
  assert.deepEqual(slug, { ...upload, ...come });
  assert.deepEqual(await store.slugs.byId(upload.id), slug);
  assert.equal(await store.slugs.uploadById(upload.id), undefined);
  await assert.rejects(store.slugs.arrive(upload.id, come), { id: "not_found" });
  const copy = await store.slugs.copy(slug.id, other.id);
  assert.deepEqual({ ...copy, createdAt: 0 }, { ...slug, id: copy.id, appId: other.id, createdAt: 0 });
  await store.apps.remove(hello.id);
  assert.equal(await store.slugs.byId(slug.id), undefined);
  assert.deepEqual(await store.slugs.byId(copy.id), copy);
  await assert.rejects(store.slugs.copy(slug.id, other.id), { id: "not_found" });
});

test("builds keep where they came from; an app's buildpacks keep their order and go with it", async () => {
  await using at = await world();
  const { store, ownerId } = at;
  const app = await at.make("hello");
  const list = ["b", "a"].map((name) => ({ name, url: `https://${name}` }));
  await store.buildpacks.replace(app.id, list);
  assert.deepEqual(await store.buildpacks.list(app.id), list);
  await store.buildpacks.replace(app.id, list.toReversed());
  assert.deepEqual(await store.buildpacks.list(app.id), list.toReversed());
  const source = { url: "https://x", checksum: null, version: "v1", versionDescription: null };
  const build = await store.builds.create({ appId: app.id, userId: ownerId, commit: "v1", source, buildpacks: list });
  assert.deepEqual(await store.builds.byId(build.id), build);
  assert.deepEqual([build.source, build.buildpacks], [source, list]);
  const pushed = await store.builds.create({ appId: app.id, userId: ownerId, commit: "c", buildpacks: [] });
  assert.deepEqual([pushed.source, pushed.buildpacks], [null, null]);
  await store.apps.remove(app.id);
  assert.deepEqual(await store.buildpacks.list(app.id), []);
});

test("pipelines: a name once for each owner, an app in one at most; apps and pipelines go without each other", async () => {
  await using at = await world();
  const { store, ownerId } = at;
  const [first, second] = [await at.make("first"), await at.make("second")];
  const shop = await store.pipelines.create({ name: "shop", ownerId });
  await assert.rejects(store.pipelines.create({ name: "shop", ownerId }), { id: "invalid_params" });
  await assert.rejects(store.pipelines.create({ name: "No", ownerId }), { id: "invalid_params" });
  const { id: other } = await store.users.ensure("other@example.com");
  assert.ok(await store.pipelines.create({ name: "shop", ownerId: other }));
  const couple = (appId: string) => store.pipelines.couple({ pipelineId: shop.id, appId, stage: "staging" });
  const coupling = await couple(first.id);
  await assert.rejects(couple(first.id), { id: "invalid_params" });
  await couple(second.id);
  assert.equal((await store.pipelines.setStage(coupling.id, "production")).stage, "production");
  const [a, b] = [await store.releases.newest(first.id), await store.releases.newest(second.id)];
  const promotion = await store.pipelines.addPromotion({
    pipelineId: shop.id,
    sourceAppId: first.id,
    sourceReleaseId: a?.id ?? "",
    targets: [{ appId: second.id, releaseId: b?.id ?? "" }],
  });
  assert.deepEqual(await store.pipelines.promotionById(promotion.id), promotion);
  await store.apps.remove(first.id);
  assert.deepEqual(
    (await store.pipelines.couplings(shop.id)).map(({ appId }) => appId),
    [second.id],
  );
  assert.equal((await store.pipelines.targets(promotion.id))[0]?.releaseId, b?.id);
  await store.pipelines.remove(shop.id);
  assert.equal(await store.pipelines.couplingOfApp(second.id), undefined);
  assert.deepEqual(await store.pipelines.targets(promotion.id), []);
  assert.ok(await store.apps.byId(second.id));
});
