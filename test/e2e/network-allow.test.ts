import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { after, before, test } from "node:test";
import { allowFileOf } from "../../src/host/network-allow.ts";
import { run } from "../../src/lib/command.ts";
import {
  config,
  deployed,
  eventually,
  type Files,
  freePort,
  pidOf,
  platform,
  program,
  stator,
  statorOk,
  throughRouter,
  waitLog,
  waitUp,
} from "./harness.ts";

/**
 * `network:allow` on a running installation: a database stands in a private network beside the host (a namespace), another
 * on the host itself. The app tells what it reaches.
 */
const DATABASE = "172.31.252.2";
const DATABASE_NETWORK = "172.31.252.0/24";
const HOST_ADDRESS = "172.31.252.1";
const PORT = 5432;
const PORT_ON_HOST = await freePort();
const NETNS = `stallow${process.pid}`;
const DEVICE = `sta${process.pid}`;

const APP: Files = {
  Procfile: "web: python3 app.py\n",
  "app.py": `
import http.server, os, socket, urllib.parse

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlparse(self.path).query))
        try:
            with socket.create_connection((query["to"], int(query["port"])), timeout=3) as database:
                answer = database.recv(100).decode()
        except OSError as error:
            answer = type(error).__name__
        body = (answer + " " + str(os.getpid())).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
`,
};

let database: ReturnType<typeof program>;
let onHost: Server;
let stop: () => void;
let app: Awaited<ReturnType<typeof deployed>>;
let other: Awaited<ReturnType<typeof deployed>>;

before(async () => {
  const ip = (text: string) => run("ip", ["-batch", "-"], { input: text });
  await ip(
    `netns add ${NETNS}\nlink add ${DEVICE} type veth peer name eth0 netns ${NETNS}\naddr add ${HOST_ADDRESS}/24 dev ${DEVICE}\nlink set ${DEVICE} up\n`,
  );
  await run("ip", ["-n", NETNS, "-batch", "-"], { input: `addr add ${DATABASE}/24 dev eth0\nlink set eth0 up\n` });
  const server = `require("net").createServer((socket) => socket.on("error", () => {}).end("database")).listen(${PORT})`;
  const abort = new AbortController();
  stop = () => abort.abort();
  database = run("nsenter", [`--net=/run/netns/${NETNS}`, process.execPath, "-e", server], {
    timeoutMs: 600_000,
    signal: abort.signal,
  }).then(
    () => assert.fail("the database ended"),
    () => ({ code: null, stdout: "", stderr: "" }),
  );
  onHost = createServer((socket) => socket.on("error", () => {}).end("host"));
  await new Promise<void>((resolve) => onHost.listen(PORT_ON_HOST, "0.0.0.0", resolve));
  [app, other] = await Promise.all([deployed("allowed", APP), deployed("unallowed", APP)]);
  await Promise.all([app, other].map(({ name }) => waitUp(name, "web", 1)));
});

after(async () => {
  await app?.[Symbol.asyncDispose]();
  await other?.[Symbol.asyncDispose]();
  onHost?.close();
  stop?.();
  await database;
  await run("ip", ["link", "del", DEVICE]).catch(() => {}); // it was not made
  await run("ip", ["netns", "del", NETNS]).catch(() => {});
});

test("a refused connection names the command that allows it; then the same dyno gets through, and no other app's", async () => {
  // Or the refusals below would prove nothing.
  await eventually("the database answers the host", async () => (await hostReaches(DATABASE, PORT)) === "database");
  const pid = (await reach(app.name, DATABASE, PORT)).pid;
  assert.equal((await reach(app.name, DATABASE, PORT)).answer, "ConnectionRefusedError");
  const log = await waitLog(app.name, /network:allow/);
  const [, command = "", ...words] =
    /heroku\[web\.1\]: Connection to 172\.31\.252\.2:5432 \(tcp\) refused by the network rules\. To allow it, on the platform's machine: sudo (\S+) (network:allow) (\S+) (-a) (\S+)$/m.exec(
      log,
    ) ?? [];
  assert.deepEqual(words, ["network:allow", `${DATABASE}:${PORT}`, "-a", app.name]);
  const allowed = await program(command, words);
  assert.equal(allowed.code, 0, allowed.stderr);
  assert.deepEqual(await reach(app.name, DATABASE, PORT), { answer: "database", pid }, "at once, in the same process");
  assert.equal((await reach(other.name, DATABASE, PORT)).answer, "ConnectionRefusedError");
  assert.equal((await reach(app.name, DATABASE, PORT + 1)).answer, "ConnectionRefusedError");

  await statorOk(["ps:scale", "web=2", "-a", app.name]);
  await waitUp(app.name, "web", 2);
  const answers = await Promise.all(Array.from({ length: 12 }, () => reach(app.name, DATABASE, PORT)));
  assert.ok(answers.every(({ answer }) => answer === "database"));
  await statorOk(["ps:scale", "web=1", "-a", app.name]);

  await statorOk(["network:deny", `${DATABASE}:${PORT}`, "-a", app.name]);
  assert.equal((await reach(app.name, DATABASE, PORT)).answer, "ConnectionRefusedError");
});

test("the host's own address is allowed by name, and no network that holds it opens it", async () => {
  const reached = async () => (await reach(app.name, HOST_ADDRESS, PORT_ON_HOST)).answer;
  assert.equal(await reached(), "ConnectionRefusedError");
  await statorOk(["network:allow", DATABASE_NETWORK, "-a", app.name]);
  assert.equal(await reached(), "ConnectionRefusedError");
  await statorOk(["network:allow", `${HOST_ADDRESS}:${PORT_ON_HOST}`, "-a", app.name]);
  assert.equal(await reached(), "host");
  await statorOk(["network:deny", `${HOST_ADDRESS}:${PORT_ON_HOST}`, "-a", app.name]);
  assert.equal(await reached(), "ConnectionRefusedError");
  await statorOk(["network:deny", DATABASE_NETWORK, "-a", app.name]);
});

test("a whole network; what was allowed outlives the host process, and is listed", async () => {
  await statorOk(["network:allow", DATABASE_NETWORK, "-a", app.name]);
  assert.equal((await reach(app.name, DATABASE, PORT)).answer, "database");
  assert.match(await statorOk(["network"]), new RegExp(`^${app.name} +172\\.31\\.252\\.0/24$`, "m"));
  assert.equal(await statorOk(["network", "-a", other.name]), "");
  const [entry] = JSON.parse(await statorOk(["network", "-a", app.name, "--json"])) as readonly unknown[];
  const { id } = await platform<{ readonly id: string }>("GET", `/apps/${app.name}`);
  assert.deepEqual(entry, {
    app: { id, name: app.name },
    destination: DATABASE_NETWORK,
    address: DATABASE_NETWORK,
    port: null,
  });

  const before = await pidOf("host");
  process.kill(before, "SIGKILL");
  assert.equal((await reach(app.name, DATABASE, PORT)).answer, "database", "while it is dead");
  await eventually("another host process", () => isAnother(before));
  assert.equal((await reach(app.name, DATABASE, PORT)).answer, "database");
  await statorOk(["network:deny", DATABASE_NETWORK, "-a", app.name]);
  assert.equal((await reach(app.name, DATABASE, PORT)).answer, "ConnectionRefusedError");
});

test("only root says so: neither another user nor the daemon's can change the file", async () => {
  await statorOk(["network:allow", DATABASE, "-a", app.name]);
  const path = allowFileOf(config.instance);
  const { uid, mode } = statSync(path);
  assert.deepEqual([uid, mode & 0o777], [0, 0o644]);
  for (const place of [config.instance.home, config.instance.paths.run]) {
    const stat = statSync(place);
    assert.deepEqual([stat.uid, stat.mode & 0o022], [0, 0], `${place}: nobody but root renames anything in it`);
  }
  const own = ["--reuid", config.instance.users.daemon, "--regid", config.instance.users.daemon, "--clear-groups"];
  const copied = await program("setpriv", [...own, "cp", "/dev/null", path]);
  assert.notEqual(copied.code, 0);
  const asked = await program("setpriv", [...own, statorPath(), "network:allow", "10.0.0.5:80", "-a", app.name]);
  assert.equal(asked.code, 1);
  assert.match(asked.stderr, /This is for root .*sudo \S+ network:allow 10\.0\.0\.5:80 -a /);
  assert.equal((await reach(app.name, DATABASE, PORT)).answer, "database", "and nothing was lost");
});

test("what cannot be allowed is refused with a sentence, and changes nothing", async () => {
  const path = allowFileOf(config.instance);
  const before = readFileSync(path, "utf8");
  const pool = /inet (10\.\d+)\.0\.1\/32/.exec(
    (await run("ip", ["-4", "addr", "show", "dev", `${config.instance.interfacePrefix}gw`])).stdout,
  )?.[1];
  for (const [text, sentence] of [
    ["db.internal:5432", /names are not taken/],
    ["8.8.8.8", /on the internet, which every dyno may reach/],
    ["127.0.0.1:5432", /the dyno itself/],
    ["10.0.0.5/8", /type that/],
    [`${pool}.16.0/20`, /among the addresses of dynos/],
  ] as const) {
    const { code, stderr } = await stator(["network:allow", text, "-a", app.name]);
    assert.equal(code, 1, text);
    assert.match(stderr, sentence);
  }
  const unknown = await stator(["network:allow", "10.0.0.5", "-a", "no-such-app-here"]);
  assert.match(unknown.stderr, /There is no app no-such-app-here/);
  const never = await stator(["network:deny", "10.0.0.5", "-a", app.name]);
  assert.match(never.stderr, /was not allowed for .*; what was: 172\.31\.252\.2/);
  assert.equal(readFileSync(path, "utf8"), before);
});

test("it goes with the app", async () => {
  const path = allowFileOf(config.instance);
  const { id } = await platform<{ readonly id: string }>("GET", `/apps/${app.name}`);
  assert.ok(readFileSync(path, "utf8").includes(id));
  await app[Symbol.asyncDispose]();
  await eventually("nothing left of it", async () => !readFileSync(path, "utf8").includes(id));
});

interface Reached {
  /** What the server said, or the name of the error. */
  readonly answer: string;
  readonly pid: string;
}

/** What the app's dyno gets when it connects. */
async function reach(name: string, to: string, port: number): Promise<Reached> {
  const { status, body } = await throughRouter(name, { path: `/?to=${to}&port=${port}` });
  assert.equal(status, 200, body);
  const [answer = "", pid = ""] = body.split(" ");
  return { answer, pid };
}

/** What the host itself gets. */
function hostReaches(address: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, address);
    socket.on("data", (data) => resolve(String(data))).on("error", (error) => resolve(error.message));
  });
}

async function isAnother(pid: number): Promise<boolean> {
  return existsSync(config.instance.paths.hostSocket) && (await pidOf("host").catch(() => pid)) !== pid;
}

const statorPath = (): string => `${config.instance.home}/program/current/bin/stator`;
