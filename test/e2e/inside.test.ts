import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { ended, start } from "../../src/lib/command.ts";
import { echo } from "./apps.ts";
import { checkout, deployed, ownEnvironment, program, statorOk, waitUp } from "./harness.ts";
import { type Official, openOfficial } from "./heroku.ts";

/** Inside running dynos (docs/exec.md), by our command line and by the official one. */
const STATOR = join(checkout, "bin", "stator");
let official: Official;
let app = "";
let dispose: () => Promise<void> = async () => {};

before(async () => {
  official = await openOfficial();
  const made = await deployed("inside", echo);
  app = made.name;
  dispose = async () => made[Symbol.asyncDispose]();
});
after(async () => {
  await dispose();
  official?.[Symbol.dispose]();
});

test("run:inside runs beside the dyno's own command, and natively with its status, standard error and environment", async () => {
  const failed = await official.run(["run:inside", "web.1", "-x", "-a", app, "--", "bash", "-c", "exit 5"]);
  assert.equal(failed.code, 5, `${failed.stdout}\n${failed.stderr}`);
  const inside = await official.run(["run:inside", "web.1", "-a", app, "--", "ps", "-eo", "args"]);
  assert.match(inside.stdout, /python3 app\.py/, inside.stderr);
  const words = "read line; echo got $line in $DYNO $PWD; echo bad >&2; exit 7";
  const native = await program(STATOR, ["ps:exec", "-a", app, "--", words], { input: "a line\n" });
  assert.deepEqual([native.code, native.stdout], [7, "got a line in web.1 /app\n"]);
  assert.match(native.stderr, /^Connecting to web\.1 on ⬢ \S+\.\.\. done\nbad\n$/);
  const none = await program(STATOR, ["ps:exec", "-d", "web.9", "-a", app, "--", "true"]);
  assert.deepEqual([none.code, /Couldn't find that dyno/.test(none.stderr)], [2, true]);
});

test("natively a file is copied, also by its link, and a listener on the dyno's own loopback is reached from ours", async () => {
  await statorOk(["ps:exec", "-a", app, "--", "head -c 300000 /dev/urandom > data; ln -s data link; mkfifo fifo"]);
  const sum = (await statorOk(["ps:exec", "-a", app, "--", "sha256sum < data"])).slice(0, 64);
  const copy = join(official.home, "copy");
  await statorOk(["ps:copy", "link", "-o", copy, "-a", app]);
  assert.equal(createHash("sha256").update(readFileSync(copy)).digest("hex"), sum);
  const again = await program(STATOR, ["ps:copy", "link", "-o", copy, "-a", app]);
  assert.deepEqual([again.code, /already exists/.test(again.stderr)], [1, true]);
  const odd = await program(STATOR, ["ps:copy", "fifo", "-a", app], { cwd: official.home });
  assert.deepEqual(
    [odd.code, /fifo: Not a regular file/.test(odd.stderr), existsSync(join(official.home, "fifo"))],
    [1, true, false],
  );

  const server =
    'exec python3 -c \'import socket; s = socket.create_server(("127.0.0.1", 7777)); print("up", flush=True); c = s.accept()[0]; c.sendall(b"hello " + c.recv(9)); c.close()\'';
  const listening = start(STATOR, ["ps:exec", "-a", app, "--", server], {
    env: ownEnvironment(),
    stdio: ["ignore", "pipe", "ignore"],
  });
  const forward = start(STATOR, ["ps:forward", "17777:7777", "-a", app], {
    env: ownEnvironment(),
    stdio: ["ignore", "pipe", "ignore"],
  });
  try {
    for (const child of [listening, forward]) await once(child.stdout ?? child, "data");
    const socket = connect(17_777, "127.0.0.1");
    socket.write("you");
    assert.equal(await text(socket), "hello you");
    assert.equal((await ended(listening, "stator")).code, 0);
  } finally {
    for (const child of [listening, forward]) child.kill("SIGTERM");
  }
});

test("a session is recorded where that was turned on, and ends with its dyno", async () => {
  await statorOk(["recordings:enable", "-a", app]);
  const session = start(STATOR, ["ps:exec", "-a", app, "--", "echo shown; exec sleep 1000"], {
    env: ownEnvironment(),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let told = "";
  session.stderr?.on("data", (chunk: Buffer) => (told += String(chunk)));
  await once(session.stdout ?? session, "data");
  await statorOk(["ps:restart", "web.1", "-a", app]);
  assert.equal((await ended(session, "stator")).code, 137);
  assert.match(told, /This session is recorded/);
  const listed = await statorOk(["recordings", "-a", app]);
  const [, id = ""] =
    /^([0-9a-f]{8}) .* web\.1 +\S+@\S+ +137 +echo shown; exec sleep 1000$/m.exec(listed) ?? assert.fail(listed);
  assert.match(await statorOk(["recordings:get", id, "-a", app]), /,"o","shown\\n"\]$/m);
  await statorOk(["recordings:remove", id, "-a", app]);
  await statorOk(["recordings:disable", "-a", app]);
  await waitUp(app, "web", 1);
});
