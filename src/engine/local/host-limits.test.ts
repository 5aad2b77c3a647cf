import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { ended, start } from "../../lib/command.ts";
import { ownLimits } from "./host-limits.ts";

test("limits are those of the process that is asked for, not of whoever asks", async () => {
  const child = start("prlimit", ["--sigpending=77", "--msgqueue=7000", "--nofile=99", "cat"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin?.write("it runs\n");
  await once(child.stdout ?? assert.fail("no stdout"), "data"); // cat answers: the limits are set
  const theirs = await ownLimits(child.pid);
  assert.deepEqual([theirs.pendingSignalsMax, theirs.messageQueueBytesMax, theirs.openFilesMax], [77, 7000, 99]);
  assert.notDeepEqual(await ownLimits(), theirs);
  child.stdin?.end();
  await ended(child, "cat");
  assert.deepEqual(await ownLimits(child.pid), await ownLimits(), "one that has ended");
});
