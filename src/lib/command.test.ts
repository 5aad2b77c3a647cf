import assert from "node:assert/strict";
import { test } from "node:test";
import { CommandError, run } from "./command.ts";

test("a program that takes too long is killed, and the error says so", async () => {
  await assert.rejects(run("sleep", ["60"], { timeoutMs: 50 }), (error) => {
    assert.ok(error instanceof CommandError);
    assert.equal(error.message, "sleep: killed, since it took longer than 0.05 s");
    return true;
  });
});

test("one that is given up on is killed", async () => {
  const giveUp = new AbortController();
  const running = run("sleep", ["60"], { signal: giveUp.signal });
  giveUp.abort(new Error("enough"));
  await assert.rejects(running, /enough/);
  await assert.rejects(run("sleep", ["60"], { signal: giveUp.signal }), /enough/, "also before it began");
});

test("one that was killed and whose output is still held open is not waited for", async () => {
  // What it leaves behind holds the pipes, as a program does that the kernel does not let go.
  await assert.rejects(run("setsid", ["--fork", "sleep", "8"], { timeoutMs: 50 }), /it was killed and does not end/);
});
