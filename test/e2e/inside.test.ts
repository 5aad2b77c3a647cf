import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { connect } from "node:net";
import { delimiter, dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { ended, start } from "../../src/lib/command.ts";
import { OFFICIAL_CLI, tellDriven } from "../support/official-cli.ts";
import { echo } from "./apps.ts";
import {
  checkout,
  config,
  deployed,
  dynosOf,
  eventually,
  freePort,
  killNow,
  ownAddress,
  ownEnvironment,
  platformAnswers,
  program,
  statorOk,
  throughRouter,
  token,
  waitLog,
  waitUp,
} from "./harness.ts";
import { type Official, openOfficial, talking } from "./heroku.ts";

/** Sessions inside a running dyno: by the unmodified official CLI over SSH and rendezvous, and by ours over the API. */
const STATOR = join(checkout, "bin", "stator");
let official: Official;
let home = "";
let app = "";
let dispose: () => Promise<void> = async () => {};
/** On which the dyno listens. */
let port = 0;

before(async () => {
  official = await openOfficial();
  home = official.home;
  const made = await deployed("sessions", echo);
  app = made.name;
  dispose = async () => made[Symbol.asyncDispose]();
  await waitUp(app, "web", 1);
});
after(async () => {
  await dispose();
  official?.[Symbol.dispose]();
});

/** Of the first web dyno; another where it was started anew. */
const dynoId = async (): Promise<string> => (await dynosOf(app))[0]?.id ?? "";

/** A command that goes on until it is ended, once it has said that it is ready. */
async function listening(
  [file = "", ...args]: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<AsyncDisposable> {
  const { child, end, said } = talking([file, ...args], { env, cwd: home });
  await eventually(`${args.join(" ")} is ready`, async () => {
    assert.equal(child.exitCode, null, said());
    return /Use .*CTRL\+C/.test(said());
  });
  return {
    async [Symbol.asyncDispose]() {
      // The official client takes the first for the end of its command, and goes on as long as its proxy listens.
      await eventually(`${args.join(" ")} ends`, async () => {
        child.kill("SIGTERM");
        return child.exitCode !== null || child.signalCode !== null;
      });
      await end;
    },
  };
}

async function officialListening(args: readonly string[]): Promise<AsyncDisposable> {
  const env = { ...official.environment, HOME: home, TERM: "dumb", NO_COLOR: "1" };
  const listens = await listening([process.execPath, OFFICIAL_CLI, ...args], env);
  tellDriven(args, 0);
  return listens;
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

test("spec 3.7: ps:exec and ps:copy: in the dyno that is up, with its environment; nothing is restarted", async () => {
  const before = await dynoId();
  // Together, since the client makes a key for each, which takes it seconds.
  const [ran, shell, copied, status] = await Promise.all([
    official.ok(["ps:exec", "-a", app, "--", "echo", "port=$PORT", "in", "$DYNO", "$PWD"]),
    official.run(["ps:exec", "-a", app], { input: "echo up for $((40 + 2)); exit\n" }),
    official.run(["ps:copy", "app.py", "-a", app, "-o", join(home, "copy.py")]),
    official.ok(["ps:exec", "--status", "-a", app]),
  ]);
  port = Number(/port=(\d+) in web\.1 \/app/.exec(ran)?.[1]);
  assert.ok(port > 0, ran);
  assert.equal(shell.code, 0, shell.stderr);
  assert.match(shell.stdout, /up for 42/);
  assert.equal(copied.code, 0, copied.stderr);
  assert.equal(readFileSync(join(home, "copy.py"), "utf8"), echo["app.py"]);
  assert.match(status, /web\.1\s+up\s+running/);
  assert.equal(await dynoId(), before);
});

test("spec 3.7: ps:forward and ps:socks reach the dyno's own ports", async () => {
  const local = await freePort();
  {
    await using _forward = await officialListening(["ps:forward", `${local}:${port}`, "-a", app]);
    for (let n = 0; n < 2; n++)
      assert.match(await (await fetch(`http://127.0.0.1:${local}/n${n}`)).text(), /^web\.1 .*path=\/n/);
  }
  await using _socks = await officialListening(["ps:socks", "-a", app]);
  assert.match(await throughSocks(1080, "127.0.0.1", port), /^HTTP\/1\.[01] 200[^]*web\.1 /);
});

// Here, and not with all else from elsewhere: two files at once cannot have port 1080.
test("from elsewhere: the official ps:forward and ps:socks through a relay, ours over TLS", async () => {
  const bin = join(home, "bin");
  mkdirSync(bin);
  symlinkSync(`${OFFICIAL_CLI}.js`, join(bin, "heroku"));
  const env = {
    HOME: join(home, "elsewhere"),
    STATOR_HOME: "",
    STATOR_API_PORT: "",
    STATOR_URL: `https://${ownAddress()}:${config.tlsPort}`,
    STATOR_TOKEN: "",
    TERM: "dumb",
    NO_COLOR: "1",
    PATH: [bin, dirname(process.execPath), process.env["PATH"]].join(delimiter),
  };
  await statorOk(["login", env.STATOR_URL, "--ca", config.instance.paths.caCertificate, "--token", token()], { env });
  const local = await freePort();
  for (const program of [[STATOR, "heroku"], [STATOR]]) {
    {
      await using _forward = await listening([...program, "ps:forward", `${local}:${port}`, "-a", app], env);
      assert.match(await (await fetch(`http://127.0.0.1:${local}/n`)).text(), /^web\.1 .*path=\/n/);
    }
    await using _socks = await listening([...program, "ps:socks", "-a", app], env);
    assert.match(await throughSocks(1080, "127.0.0.1", port), /^HTTP\/1\.[01] 200[^]*web\.1 /);
  }
});

test("run:inside runs beside the dyno's own command, and natively with its status, standard error and environment", async () => {
  const failed = await official.run(["run:inside", "web.1", "-x", "-a", app, "--", "bash", "-c", "exit 5"]);
  assert.equal(failed.code, 5, `${failed.stdout}\n${failed.stderr}`);
  const inside = await official.run(["run:inside", "web.1", "-a", app, "--", "ps", "-eo", "args"]);
  assert.match(inside.stdout, /python3 app\.py/, inside.stderr);
  const words = "read line; echo got $line in $DYNO $PWD; echo bad >&2; exit 7";
  const native = await program(STATOR, ["ps:exec", "-a", app, "--", words], { input: "a line\n" });
  assert.deepEqual([native.code, native.stdout], [7, "got a line in web.1 /app\n"]);
  assert.match(native.stderr, /^Connecting to web\.1 on (⬢ )?\S+\.\.\. done\nbad\n$/);
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
  const end = ended(listening, "stator"); // before it can have ended
  const local = await freePort();
  const forward = start(STATOR, ["ps:forward", `${local}:7777`, "-a", app], {
    env: ownEnvironment(),
    stdio: ["ignore", "pipe", "ignore"],
  });
  try {
    for (const child of [listening, forward]) await once(child.stdout ?? child, "data");
    const socket = connect(local, "127.0.0.1");
    socket.write("you");
    assert.equal(await text(socket), "hello you");
    assert.equal((await end).code, 0);
  } finally {
    for (const child of [listening, forward]) child.kill("SIGTERM");
  }
});

/** A command of ours that has shown something, its input still open; and how it ended. */
async function session(
  args: readonly string[],
  typed = "",
): Promise<() => Promise<{ readonly code: number | null; readonly told: string }>> {
  const child = start(STATOR, args, { env: ownEnvironment(), stdio: ["pipe", "pipe", "pipe"] });
  const end = ended(child, "stator"); // before it can have ended
  child.stdin?.on("error", () => {}); // it has ended
  child.stdin?.write(typed);
  let told = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (told += text));
  await once(child.stdout ?? child, "data");
  return async () => ({ code: (await end).code, told });
}

/** Not ended by the SIGTERM that every process of a dyno gets, but with the dyno. */
const SESSION = "trap '' TERM; echo shown; exec sleep 1000";

test("a session is recorded where that was turned on, and ends with its dyno", async () => {
  await statorOk(["recordings:enable", "-a", app]);
  const over = await session(["ps:exec", "-a", app, "--", SESSION]);
  await statorOk(["ps:restart", "web.1", "-a", app]);
  const { code, told } = await over();
  assert.deepEqual([code, /This session is recorded/.test(told)], [137, true], told);
  const listed = await statorOk(["recordings", "-a", app]);
  const [, id = ""] =
    /^([0-9a-f]{8}) .* web\.1 +\S+@\S+ +137 +trap '' TERM; echo shown; exec sleep 1000$/m.exec(listed) ??
    assert.fail(listed);
  assert.match(await statorOk(["recordings:get", id, "-a", app]), /,"o","shown\\n"\]$/m);
  await statorOk(["recordings:remove", id, "-a", app]);
  await statorOk(["recordings:disable", "-a", app]);
  await waitUp(app, "web", 1);
});

/** By who was killed: what is said of a session, and of a one-off dyno whose input has not ended. */
const LOST = {
  host: [/^The session broke off, and nobody saw how it ended/m, /^The command's standard input ended too early/m],
  daemon: [
    /^ ›   Error: The connection to the platform was lost, and the session has ended with it\.$/m,
    /^ ›   Error: The connection to the dyno was lost; look at its end with `stator logs`\.$/m,
  ],
};

test("kill -9 of the host process, or of the daemon: sessions and runs end in words, with 255; the dyno goes on, and nothing stays", async () => {
  const before = await dynoId();
  for (const role of ["host", "daemon"] as const) {
    const open = await Promise.all([
      session(["ps:exec", "-a", app, "--", "echo shown; exec sleep 4321"]),
      session(["run", "-a", app, "--", "exec cat"], "its input is open\n"),
    ]);
    await killNow([role]);
    const ends = await Promise.all(open.map((over) => over()));
    for (const [at, { code, told }] of ends.entries())
      assert.deepEqual([code, LOST[role][at]?.test(told)], [255, true], told);
    await eventually("the platform answers", platformAnswers);
    await eventually("nothing of it stays in the dyno", async () => {
      const { stdout } = await program(STATOR, ["ps:exec", "-a", app, "--", "ps -eo args"]);
      return stdout.includes("python3 app.py") && !stdout.includes("sleep 4321");
    });
    await eventually("nor the one-off dyno", async () => (await dynosOf(app)).length === 1);
    assert.equal(await dynoId(), before);
  }
});

test("a session that takes more memory than the dyno may have ends that dyno alone: R15, 137, and it is started again", async () => {
  const before = await dynoId();
  const eater = await program(STATOR, ["ps:exec", "-a", app, "--", "python3 -c 'x = bytearray(1400 * 1024 * 1024)'"]);
  assert.equal(eater.code, 137, eater.stderr);
  await waitLog(
    app,
    /heroku\[web\.1\]: Error R15 \(Memory quota vastly exceeded\)[^]*heroku\[web\.1\]: Process exited with status 137/,
  );
  await waitUp(app, "web", 1);
  assert.notEqual(await dynoId(), before);
  assert.equal((await throughRouter(app)).status, 200);
});
