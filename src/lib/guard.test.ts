import assert from "node:assert/strict";
import childProcess from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { instanceOf } from "../model/instance.ts";
import { ended, run, start } from "./command.ts";
import { guardAgainstShells } from "./guard.ts";

const here = import.meta.dirname;

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

const NO_HOME = "/dev/null/home";
after(() => rmSync(instanceOf(NO_HOME).paths.run, { recursive: true, force: true })); // the keeper's pid, where root runs this

for (const role of ["daemon", "host", "keeper"]) {
  test(`decision 10: the guard bites in the ${role} as it is really started, whatever way a library takes`, async () => {
    // No home can be made there: the process ends before it touches anything, should the guard not end it first.
    const child = start(
      process.execPath,
      ["--import", join(here, "guard-bites.ts"), join(here, "..", "main.ts"), role],
      {
        env: { STATOR_HOME: NO_HOME },
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    const chunks: Buffer[] = [];
    child.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk));
    await ended(child, "node");
    const text = Buffer.concat(chunks).toString("utf8");
    const said = text.split("\n").find((line) => line.startsWith('{"ways"')) ?? assert.fail(text);
    const { ways, honest } = JSON.parse(said) as { readonly ways: Record<string, string>; readonly honest: string };
    assert.ok(Object.keys(ways).length >= 14);
    for (const [way, what] of Object.entries(ways)) assert.match(what, /^refused: /, way);
    assert.equal(honest, "ran", "a program with arguments still runs");
  });
}

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
