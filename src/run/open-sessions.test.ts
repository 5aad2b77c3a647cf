import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../test/support/api-world.ts";
import { attached } from "../../test/support/attached.ts";
import { eventually } from "../../test/support/eventually.ts";

let world: World;
before(async () => {
  world = await openWorld();
});
after(() => world[Symbol.asyncDispose]());

test("a dyno has a session while a process runs in it for somebody, and none once all have ended", async () => {
  const { id } = await world.deployed("hello");
  const [dyno] = await world.store.dynos.list(id);
  assert.ok(dyno);
  const { openSessions } = world;
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  let begun = 0;
  world.supervision.processes = async ({ request }) => {
    begun++;
    await (String(request.command).includes("first") ? first : second).promise;
    return 0;
  };
  const session = async (command: string) => {
    const body = { command, force_no_tty: true };
    const { json } = await world.call("POST", "/apps/hello/dynos/web.1", { body });
    return attached(world, json.attach_url.split("/").at(-1), "", Buffer.alloc(0));
  };
  assert.equal(openSessions.isIn(dyno.id), false);
  const [one, other] = [session("first"), session("second")];
  await eventually(() => begun === 2 && openSessions.isIn(dyno.id));
  assert.equal(openSessions.isIn("another"), false);
  first.resolve();
  await one;
  assert.equal(openSessions.isIn(dyno.id), true);
  second.resolve();
  await other;
  await eventually(() => !openSessions.isIn(dyno.id));
});
