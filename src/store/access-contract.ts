import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../lib/clock.ts";
import { PlatformError } from "../model/errors.ts";
import { PERMISSIONS } from "../model/permission.ts";
import type { Store } from "./store.ts";

/** The part of the store's contract that is about people: part of `contract.ts`, in a file of its own. */
export function accessContract(name: string, open: (clock: Clock) => Promise<Store>): void {
  const check = (title: string, body: (store: Store) => Promise<void>): void =>
    void test(`${name}: ${title}`, async () => {
      const clock: Clock = { now: () => 1_000, sleep: () => Promise.reject(new Error("a store never sleeps")) };
      await using store = await open(clock);
      await body(store);
    });
  const NEW_APP = { stack: "debian-12", domain: "localhost" };

  check("an app is found by its owner, its collaborators and nobody else, by name and by id", async (store) => {
    const [owner, friend, other] = await Promise.all(["o@x", "f@x", "n@x"].map((email) => store.users.ensure(email)));
    const app = await store.apps.create({ ...NEW_APP, name: "hello", ownerId: owner?.id ?? "" });
    await store.apps.create({ ...NEW_APP, name: "other", ownerId: other?.id ?? "" });
    const part = { appId: app.id, userId: friend?.id ?? "", permissions: ["view", "deploy"] } as const;
    const made = await store.collaborators.add(part);
    for (const named of ["hello", app.id]) {
      assert.deepEqual(await store.apps.findFor(owner?.id ?? "", named), { app, permissions: PERMISSIONS });
      assert.deepEqual(await store.apps.findFor(friend?.id ?? "", named), { app, permissions: ["view", "deploy"] });
      assert.equal(await store.apps.findFor(other?.id ?? "", named), undefined);
    }
    assert.equal(await store.apps.findFor(owner?.id ?? "", "nothing"), undefined);
    const page = { field: "name", order: "asc", limit: 10 } as const;
    const facts = { app, ownerEmail: "o@x", slug: null, isAutomatic: false, repoBytes: null };
    assert.deepEqual(await store.apps.visibleTo(friend?.id ?? "", page), [facts]);
    assert.deepEqual(await store.apps.facts(app.id), facts);
    assert.equal(await store.apps.facts("none"), undefined);
    await store.apps.setRepoBytes(app.id, 4096);
    await store.apps.setRepoBytes("none", 4096); // gone meanwhile
    assert.deepEqual(await store.apps.facts(app.id), { ...facts, repoBytes: 4096 });
    const named = async (part: object) =>
      (await store.apps.visibleTo(owner?.id ?? "", { ...page, ...part })).map((each) => each.app.name);
    for (const name of ["aaa", "bbb"]) await store.apps.create({ ...NEW_APP, name, ownerId: owner?.id ?? "" });
    assert.deepEqual(await named({}), ["aaa", "bbb", "hello"]);
    assert.deepEqual(await named({ limit: 2, order: "desc" }), ["hello", "bbb"]);
    assert.deepEqual(await named({ low: { text: "aaa", isExclusive: true } }), ["bbb", "hello"]);
    const between = { low: { text: "aaa", isExclusive: false }, high: { text: "hello", isExclusive: true } };
    assert.deepEqual(await named(between), ["aaa", "bbb"]);
    assert.deepEqual(await named({ field: "id", low: { text: app.id, isExclusive: false }, limit: 1 }), ["hello"]);
    await assert.rejects(store.collaborators.add(part), /already a collaborator/);
    await assert.rejects(store.collaborators.add({ ...part, userId: app.ownerId }), /already a collaborator/);
    await store.collaborators.setPermissions(made.id, ["view"]);
    assert.deepEqual((await store.collaborators.list(app.id))[0]?.permissions, ["view"]);
    await store.apps.remove(app.id);
    assert.deepEqual(await store.collaborators.list(app.id), []);
  });

  check(
    "a user goes with what is theirs alone; who is named by a release is kept as a name, and may come back",
    async (store) => {
      const owner = await store.users.ensure("owner@x");
      assert.deepEqual([owner.isOperator, (await store.users.ensure("second@x")).isOperator], [true, false]);
      const leaver = await store.users.ensure("leaver@x");
      const fresh = { userId: leaver.id, description: "", scopes: ["global"], expiresAt: null };
      const { text } = await store.tokens.create(fresh);
      const app = await store.apps.create({ ...NEW_APP, name: "hello", ownerId: leaver.id });
      await assert.rejects(store.users.remove(leaver.id, null), /leaver@x owns hello: say who shall have them/);
      await assert.rejects(store.users.remove(owner.id, leaver.id), /owner of this installation/);
      await store.users.remove(leaver.id, owner.id);
      assert.equal((await store.apps.byId(app.id))?.ownerId, owner.id);
      assert.equal(await store.tokens.find(text), undefined);
      assert.equal(await store.users.byEmail("leaver@x"), undefined);
      assert.equal((await store.users.byId(leaver.id))?.email, "leaver@x");
      assert.equal((await store.users.ensure("leaver@x")).id, leaver.id);
      await store.users.remove((await store.users.byEmail("second@x"))?.id ?? "", null);
      assert.deepEqual(
        (await store.users.list()).map(({ email }) => email),
        ["leaver@x", "owner@x"],
      );
      await assert.rejects(store.users.update("nobody", { name: "x" }), PlatformError);
    },
  );
}
