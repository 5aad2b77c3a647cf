import assert from "node:assert/strict";
import childProcess from "node:child_process";
import { test } from "node:test";
import { run, start } from "./command.ts";
import { guardAgainstShells } from "./guard.ts";

test("a shell by any path is refused by the door", () => {
  for (const shell of ["sh", "/bin/bash", "/usr/bin/dash", "busybox"]) {
    assert.throws(() => start(shell, ["-c", "true"]), /is a shell/);
  }
});

test("a program that would start a shell for us is refused by the door", () => {
  for (const args of [
    ["sh", "-c", "true"],
    ["--reuid", "5", "--", "/bin/bash"],
    ["-i", "dash"],
  ]) {
    for (const program of ["env", "/usr/bin/setpriv", "nsenter", "unshare", "systemd-run"]) {
      assert.throws(() => start(program, args), /is a shell/);
    }
  }
});

test("an argument is one argument, whatever it holds", async () => {
  const hostile = "a; touch /tmp/never $(touch /tmp/never) `x` && 'q' \"r\" \n *";
  const { stdout } = await run("printf", ["%s", hostile]);
  assert.equal(stdout, hostile);
});

test("after the guard, Node's own ways to a shell throw", () => {
  guardAgainstShells();
  const { exec, execSync, spawn, spawnSync, execFileSync } = childProcess;
  assert.throws(() => exec("true"), /refused/);
  assert.throws(() => execSync("true"), /refused/);
  assert.throws(() => spawn("true", { shell: true }), /refused/);
  assert.throws(() => spawnSync("bash", ["-c", "true"]), /refused/);
  assert.throws(() => execFileSync("/bin/sh", ["-c", "true"]), /refused/);
  assert.equal(spawnSync("true").status, 0);
});
