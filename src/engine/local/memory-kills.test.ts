import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryKills } from "./memory-kills.ts";

test("dynos are looked at when the machine has counted a kill, twice, since their own counts come after it", () => {
  let count = 156;
  const kills = new MemoryKills(() => `nr_free_pages 1\noom_kill ${count}\nnuma_hit 3\n`);
  assert.equal(kills.look(), "some", "before us");
  assert.equal(kills.look(), "some");
  assert.deepEqual([kills.look(), kills.look()], ["none", "none"]);
  count++;
  assert.deepEqual([kills.look(), kills.look(), kills.look()], ["some", "some", "none"]);
  count++;
  assert.equal(kills.look(), "some");
  count++;
  assert.deepEqual([kills.look(), kills.look(), kills.look()], ["some", "some", "none"]);
});

test("a kernel that counts no kills says so, and so does a machine that does not show them", () => {
  assert.equal(new MemoryKills(() => "nr_free_pages 1\n").look(), "unknown");
  assert.equal(new MemoryKills(() => undefined).look(), "unknown");
});
