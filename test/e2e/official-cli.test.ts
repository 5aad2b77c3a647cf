import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { parseEnv } from "node:util";
import { ended, start } from "../../src/lib/command.ts";
import { needOfficialCli, OFFICIAL_CLI } from "../support/official-cli.ts";
import { echo } from "./apps.ts";
import {
  checkout,
  deployed,
  eventually,
  freePort,
  ownEnvironment,
  program,
  type Result,
  statorOk,
  throughRouter,
  waitLog,
  waitUp,
} from "./harness.ts";

/** The unmodified official CLI, driven by what `stator env` prints and nothing else. */
const home = mkdtempSync(join(tmpdir(), "stator-official-"));
const STATOR = join(checkout, "bin", "stator");
let app = "";
let dispose: () => Promise<void> = async () => {};
let exported: Record<string, string> = {};
/** On which the dyno listens. */
let port = 0;

before(async () => {
  await needOfficialCli();
  const text = (await statorOk(["env"])).replaceAll(/^export /gm, "");
  exported = Object.fromEntries(Object.entries(parseEnv(text)).map(([name, value]) => [name, value ?? ""]));
  const made = await deployed("official", echo);
  app = made.name;
  dispose = async () => made[Symbol.asyncDispose]();
});
after(async () => {
  await dispose();
  rmSync(home, { recursive: true, force: true });
});

function heroku(args: readonly string[], input?: string): Promise<Result> {
  return program(process.execPath, [OFFICIAL_CLI, ...args], {
    env: { ...exported, HOME: home, TERM: "dumb", NO_COLOR: "1" },
    cwd: home,
    ...(input === undefined ? {} : { input }),
  });
}

async function herokuOk(args: readonly string[]): Promise<string> {
  const result = await heroku(args);
  assert.equal(result.code, 0, `heroku ${args.join(" ")}: ${result.stdout}\n${result.stderr}`);
  return `${result.stdout}${result.stderr}`;
}

const pidIn = (body: string) => /pid=(\d+)/.exec(body)?.[1];

/** One of its commands that goes on until it is interrupted, once it has said that it is ready. */
async function listening(args: readonly string[], ready: RegExp): Promise<AsyncDisposable> {
  const child = start(process.execPath, [OFFICIAL_CLI, ...args], {
    env: { ...ownEnvironment(), ...exported, HOME: home, TERM: "dumb", NO_COLOR: "1" },
    cwd: home,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const end = ended(child, args.join(" "));
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
  await eventually(`${args.join(" ")} is ready: ${said}`, async () => ready.test(said));
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await end;
    },
  };
}

/** What a web server answers that is reached through a SOCKS5 proxy of this machine. */
async function throughSocks(proxy: number, host: string, port: number): Promise<string> {
  const socket = connect(proxy, "127.0.0.1");
  socket.write(Uint8Array.of(5, 1, 0));
  await once(socket, "data");
  socket.write(Uint8Array.of(5, 1, 0, 1, ...host.split(".").map(Number), port >> 8, port & 255));
  const [answer] = (await once(socket, "data")) as [Buffer];
  assert.equal(answer[1], 0, "the proxy says that it is connected");
  socket.write("GET / HTTP/1.0\r\n\r\n");
  return text(socket);
}

test("auth:whoami, apps, apps:info", async () => {
  assert.match(await herokuOk(["auth:whoami"]), /@/);
  assert.match(await herokuOk(["apps"]), new RegExp(app));
  const info = await herokuOk(["apps:info", "-a", app]);
  assert.match(info, new RegExp(`=== ${app}`));
  assert.match(info, /Web URL:\s+http/);
});

test("ps and ps:scale", async () => {
  assert.match(await herokuOk(["ps", "-a", app]), /=== web \(Basic\): exec python3 app\.py \(1\)\s+web\.1: up /);
  assert.match(
    await herokuOk(["ps:scale", "web=3", "worker=1", "-a", app]),
    /now running .*web at 3:Basic, worker at 1:Basic/,
  );
  await waitUp(app, "web", 3);
  await herokuOk(["ps:scale", "web=1", "worker=0", "-a", app]);
});

test("logs, and logs of one dyno", async () => {
  const log = await herokuOk(["logs", "-a", app, "-n", "1500"]); // the worker of the test before has said much
  assert.match(log, /heroku\[web\.1\]: State changed from starting to up/);
  assert.doesNotMatch(await herokuOk(["logs", "-a", app, "-s", "app", "-d", "web.1"]), /heroku\[/);
});

test("run: output, and with -x the exit code; run:detached", async () => {
  const ran = await heroku(["run", "-a", app, "--", "echo", "inside", "the", "dyno"]);
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stdout, /inside the dyno/);
  const failed = await heroku(["run", "-x", "-a", app, "--", "bash", "-c", "exit 5"]);
  assert.equal(failed.code, 5, `${failed.stdout}\n${failed.stderr}`);
  const detached = await herokuOk(["run:detached", "-a", app, "--", "echo", "seen later"]);
  assert.match(detached, /Run heroku logs --app \S+ --dyno run\.\d+ to view the output/);
  await waitLog(app, /app\[run\.\d+\]: seen later/);
});

test("run:inside runs beside the dyno's own command, and natively with its status, standard error and environment", async () => {
  const failed = await heroku(["run:inside", "web.1", "-x", "-a", app, "--", "bash", "-c", "exit 5"]);
  assert.equal(failed.code, 5, `${failed.stdout}\n${failed.stderr}`);
  const inside = await heroku(["run:inside", "web.1", "-a", app, "--", "ps", "-eo", "args"]);
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
  const copy = join(home, "copy");
  await statorOk(["ps:copy", "link", "-o", copy, "-a", app]);
  assert.equal(createHash("sha256").update(readFileSync(copy)).digest("hex"), sum);
  const again = await program(STATOR, ["ps:copy", "link", "-o", copy, "-a", app]);
  assert.deepEqual([again.code, /already exists/.test(again.stderr)], [1, true]);
  const odd = await program(STATOR, ["ps:copy", "fifo", "-a", app], { cwd: home });
  assert.deepEqual(
    [odd.code, /fifo: Not a regular file/.test(odd.stderr), existsSync(join(home, "fifo"))],
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

test("config:set, config, config:get, config:unset", async () => {
  assert.match(await herokuOk(["config:set", "GREETING=from heroku", "-a", app]), /done, v\d+/);
  assert.match(await herokuOk(["config", "-a", app]), /GREETING: from heroku/);
  assert.equal((await heroku(["config:get", "GREETING", "-a", app])).stdout.trim(), "from heroku");
  await eventually("it is served", async () => /greeting=from heroku/.test((await throughRouter(app)).body));
  await herokuOk(["config:unset", "GREETING", "-a", app]);
});

test("ps:wait ends after a release that came up, and after one that failed", async () => {
  await herokuOk(["config:set", "PYTHONHOME=/nonexistent", "-a", app]);
  await waitLog(app, /Release v\d+ failed: web\.1 exited with status 1 before it came up/);
  await herokuOk(["ps:wait", "-a", app]);
  await herokuOk(["config:unset", "PYTHONHOME", "-a", app]);
  await herokuOk(["ps:wait", "-a", app]);
  assert.match((await throughRouter(app)).body, /^web\.1 /);
});

test("releases and rollback", async () => {
  assert.match(await herokuOk(["releases", "-a", app]), /Set GREETING config vars/);
  assert.match(await herokuOk(["rollback", "v3", "-a", app]), /Rolling back .* to v3.*done, v\d+/);
  assert.match(await herokuOk(["releases", "-a", app]), /Rollback to v3/);
});

test("ps:restart, ps:stop, apps:create, apps:rename, apps:destroy, maintenance, domains", async () => {
  await herokuOk(["ps:restart", "-a", app]);
  await herokuOk(["ps:stop", "web.1", "-a", app]);
  const other = `${app}-b`;
  await herokuOk(["apps:create", other]);
  await herokuOk(["apps:rename", `${other}c`, "-a", other]);
  await herokuOk(["apps:destroy", "-a", `${other}c`, "--confirm", `${other}c`]);
  await herokuOk(["maintenance:on", "-a", app]);
  await eventually("maintenance is served", async () => (await throughRouter(app)).status === 503);
  await herokuOk(["maintenance:off", "-a", app]);
  await eventually("the app is served", async () => (await throughRouter(app)).status === 200);
  assert.match(await herokuOk(["domains", "-a", app]), /localhost/);
});

test("labs: log-runtime-metrics is listed, enabled and disabled; features shows the others", async () => {
  assert.match(await herokuOk(["labs", "-a", app]), /\[ \] log-runtime-metrics +Emit dyno resource usage/);
  await herokuOk(["labs:enable", "log-runtime-metrics", "-a", app]);
  assert.match(await herokuOk(["labs", "-a", app]), /\[\+\] log-runtime-metrics/);
  assert.match(await herokuOk(["labs:info", "log-runtime-metrics", "-a", app]), /log-runtime-metrics/);
  await waitLog(app, /heroku\[web\.1\]: source=web\.1 dyno=heroku\.\d+\.\S+ sample#memory_total=/);
  await herokuOk(["labs:disable", "log-runtime-metrics", "-a", app]);
  assert.match(await herokuOk(["labs", "-a", app]), /\[ \] log-runtime-metrics/);
  assert.doesNotMatch(await herokuOk(["features", "-a", app]), /log-runtime-metrics/);
  const never = await heroku(["labs:enable", "no-such-feature", "-a", app]);
  assert.notEqual(never.code, 0);
});

test("spec 3.7: ps:exec and ps:copy: in the dyno that is up, with its environment; nothing is restarted", async () => {
  const before = (await throughRouter(app)).body;
  // Together, since the client makes a key for each, which takes it seconds.
  const [ran, shell, copied, status] = await Promise.all([
    herokuOk(["ps:exec", "-a", app, "--", "echo", "port=$PORT", "in", "$DYNO", "$PWD"]),
    heroku(["ps:exec", "-a", app], "echo up for $((40 + 2)); exit\n"),
    heroku(["ps:copy", "app.py", "-a", app, "-o", join(home, "copy.py")]),
    herokuOk(["ps:exec", "--status", "-a", app]),
  ]);
  port = Number(/port=(\d+) in web\.1 \/app/.exec(ran)?.[1]);
  assert.ok(port > 0, ran);
  assert.equal(shell.code, 0, shell.stderr);
  assert.match(shell.stdout, /up for 42/);
  assert.equal(copied.code, 0, copied.stderr);
  assert.equal(readFileSync(join(home, "copy.py"), "utf8"), echo["app.py"]);
  assert.match(status, /web\.1\s+up\s+running/);
  assert.equal(pidIn((await throughRouter(app)).body), pidIn(before));
});

test("spec 3.7: ps:forward and ps:socks reach the dyno's own ports", async () => {
  const local = await freePort();
  {
    await using _forward = await listening(["ps:forward", `${local}:${port}`, "-a", app], /Use .*CTRL\+C/);
    for (let n = 0; n < 2; n++)
      assert.match(await (await fetch(`http://127.0.0.1:${local}/n${n}`)).text(), /^web\.1 .*path=\/n/);
  }
  await using _socks = await listening(["ps:socks", "-a", app], /Use .*CTRL\+C/);
  assert.match(await throughSocks(1080, "127.0.0.1", port), /^HTTP\/1\.[01] 200[^]*web\.1 /);
});

test("errors have the status 1 or 2 and a sentence", async () => {
  const unknown = await heroku(["apps:info", "-a", "no-such-app-here"]);
  assert.notEqual(unknown.code, 0);
  assert.match(unknown.stderr, /Couldn't find that app/);
});
