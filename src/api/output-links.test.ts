import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../test/support/api-world.ts";
import { SimClock } from "../lib/sim-clock.ts";
import { outputPath } from "./output-links.ts";
import { Signer } from "./signer.ts";

let world: World;
let clock: SimClock;
before(async () => {
  clock = new SimClock(1_700_000_000_000);
  world = await openWorld({ clock });
});
after(() => world[Symbol.asyncDispose]());

const DAY_MS = 86_400_000;

test("the address of a build's output ends with the token it was given to, with its user's part in the app, and after two days", async () => {
  const app = await world.deployed("built");
  const friend = await world.store.users.ensure("friend@example.com");
  const part = await world.store.collaborators.add({ appId: app.id, userId: friend.id, permissions: ["view"] });
  const fresh = { userId: friend.id, description: "", scopes: ["read"], expiresAt: null };
  const source_blob = { url: "https://example.org/a.tgz" };
  const { json: build } = await world.call("POST", "/apps/built/builds", { body: { source_blob } });
  const linkOf = async (token: string) => {
    const { json } = await world.call("GET", `/apps/built/builds/${build.id}`, { token });
    return new URL(json.output_stream_url).pathname;
  };
  const status = async (link: string) => (await world.call("GET", link, { token: null })).status;
  const [revoked, kept] = [await world.store.tokens.create(fresh), await world.store.tokens.create(fresh)];
  const [first, second, own] = [await linkOf(revoked.text), await linkOf(kept.text), await linkOf(world.token)];
  assert.equal(await linkOf(kept.text), second, "the same within a day");
  for (const link of [first, second, own]) assert.equal(await status(link), 200);
  await world.store.tokens.revoke(revoked.token.id);
  assert.deepEqual([await status(first), await status(second)], [404, 200]);
  await world.store.collaborators.remove(part.id);
  assert.deepEqual([await status(second), await status(own)], [404, 200]);
  clock.jump(2 * DAY_MS);
  assert.equal(await status(own), 404);
  assert.equal(await status(await linkOf(world.token)), 200, "whoever asks again has another");
});

test("a link of one kind opens nothing of another, and one that nobody here made opens nothing", async () => {
  const signer = new Signer(Buffer.alloc(32, 1));
  const path = outputPath("build", world.user.id, { signer, now: clock.now(), tokenId: null });
  for (const each of [path, path.replace("build-output", "release-output")])
    assert.equal((await world.call("GET", each, { token: null })).status, 404);
});
