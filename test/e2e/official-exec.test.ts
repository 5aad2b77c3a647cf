import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { ended, start } from "../../src/lib/command.ts";
import { OFFICIAL_CLI, tellDriven } from "../support/official-cli.ts";
import { echo } from "./apps.ts";
import { deployed, eventually, freePort, ownEnvironment, throughRouter } from "./harness.ts";
import { type Official, openOfficial } from "./heroku.ts";

/** The official CLI's ways into a running dyno (platform-api 3.7), by SSH to the instance's own loopback address. */
let official: Official;
let app = "";
let dispose: () => Promise<void> = async () => {};
/** On which the dyno listens. */
let port = 0;

before(async () => {
  official = await openOfficial();
  const made = await deployed("official-exec", echo);
  app = made.name;
  dispose = async () => made[Symbol.asyncDispose]();
});
after(async () => {
  await dispose();
  official?.[Symbol.dispose]();
});

test("spec 3.7: ps:exec and ps:copy: in the dyno that is up, with its environment; nothing is restarted", async () => {
  const before = (await throughRouter(app)).body;
  // Together, since the client makes a key for each, which takes it seconds.
  const [ran, shell, , status] = await Promise.all([
    official.ok(["ps:exec", "-a", app, "--", "echo", "port=$PORT", "in", "$DYNO", "$PWD"]),
    official.run(["ps:exec", "-a", app], { input: "echo up for $((40 + 2)); exit\n" }),
    official.ok(["ps:copy", "app.py", "-a", app, "-o", join(official.home, "copy.py")]),
    official.ok(["ps:exec", "--status", "-a", app]),
  ]);
  port = Number(/port=(\d+) in web\.1 \/app/.exec(ran)?.[1]);
  assert.ok(port > 0, ran);
  assert.equal(shell.code, 0, shell.stderr);
  assert.match(shell.stdout, /up for 42/);
  assert.equal(readFileSync(join(official.home, "copy.py"), "utf8"), echo["app.py"]);
  assert.match(status, /web\.1\s+up\s+running/);
  assert.equal(pidIn((await throughRouter(app)).body), pidIn(before));
});

test("spec 3.7: ps:forward and ps:socks reach the dyno's own ports", async () => {
  const local = await freePort();
  {
    await using _forward = await listening(["ps:forward", `${local}:${port}`, "-a", app]);
    for (let n = 0; n < 2; n++)
      assert.match(await (await fetch(`http://127.0.0.1:${local}/n${n}`)).text(), /^web\.1 .*path=\/n/);
  }
  await using _socks = await listening(["ps:socks", "-a", app]);
  assert.match(await throughSocks(1080, "127.0.0.1", port), /^HTTP\/1\.[01] 200[^]*web\.1 /);
});

const pidIn = (body: string) => /pid=(\d+)/.exec(body)?.[1];

/** One of its commands that goes on until it is interrupted, once it has said that it is ready. */
async function listening(args: readonly string[]): Promise<AsyncDisposable> {
  const child = start(process.execPath, [OFFICIAL_CLI, ...args], {
    env: { ...ownEnvironment(), ...official.environment, HOME: official.home, TERM: "dumb", NO_COLOR: "1" },
    cwd: official.home,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const end = ended(child, args.join(" "));
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (words: string) => {
      said += words;
    });
  await eventually(`${args.join(" ")} is ready`, async () => {
    assert.equal(child.exitCode, null, said);
    return /CTRL\+C/.test(said);
  });
  tellDriven(args, 0); // it would go on for ever
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await end;
    },
  };
}

/** What a web server answers that is reached through a SOCKS5 proxy of this machine. */
async function throughSocks(proxy: number, host: string, to: number): Promise<string> {
  const socket = connect(proxy, "127.0.0.1");
  socket.write(Uint8Array.of(5, 1, 0));
  await once(socket, "data");
  socket.write(Uint8Array.of(5, 1, 0, 1, ...host.split(".").map(Number), to >> 8, to & 255));
  const [answer] = (await once(socket, "data")) as [Buffer];
  assert.equal(answer[1], 0, "the proxy says that it is connected");
  socket.write("GET / HTTP/1.0\r\n\r\n");
  return text(socket);
}
