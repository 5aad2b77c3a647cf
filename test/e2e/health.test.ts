import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  commit,
  dynosOf,
  eventually,
  type Files,
  logsOf,
  platform,
  push,
  pushOk,
  type Result,
  statorOk,
  temporaryApp,
  temporaryRepository,
  throughRouter,
  waitLog,
  waitUp,
} from "./harness.ts";

/**
 * Health checks beyond the port (docs/dynos.md), on the real platform. The app fails them on demand: `/break?x=ready&dyno=web.1&for=6`.
 * Two apps, side by side: the boot timeout of the second takes a minute.
 */
const STARTS_S = 4;
const health: Files = {
  Procfile: "web: exec python3 app.py\nworker: touch /tmp/alive; echo working; exec sleep 1000\n",
  "app.json": JSON.stringify({
    healthchecks: {
      web: [
        { type: "startup", path: "/started", name: "warm" },
        { type: "readiness", path: "/ready", wait: 1, attempts: 2 },
        { type: "liveness", path: "/live", wait: 1, attempts: 2, timeout: 1 },
      ],
      worker: [{ type: "liveness", command: 'test -e /tmp/alive && test -n "$GREETING"', wait: 1, attempts: 2 }],
    },
  }),
  "app.py": `
import os, signal, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

born, broken = time.time(), {}

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        status = 200
        if url.path == "/break" and query["dyno"] == os.environ["DYNO"]:
            broken[query["x"]] = time.time() + float(query["for"])
        if url.path == "/started" and time.time() < born + ${STARTS_S}:
            status = 503
        if url.path == "/ready" and (time.time() < broken.get("ready", 0) or os.environ.get("NEVER_READY")):
            status = 503
        if url.path == "/live" and time.time() < broken.get("live", 0):
            time.sleep(60)
        data = ("%s %d" % (os.environ["DYNO"], os.getpid())).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *args):
        pass

class Server(ThreadingHTTPServer):
    request_queue_size = 256
    def handle_error(self, *args):
        pass

signal.signal(signal.SIGTERM, lambda *args: os._exit(143))
Server(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
`,
};

const parts = new AsyncDisposableStack();
let app = "";
let other = "";
let refused: Promise<Result>;
let otherBefore = "";

before(async () => {
  const [one, two] = await Promise.all([temporaryApp("healthy"), temporaryApp("unready")]);
  parts.use(one);
  parts.use(two);
  [app, other] = [one.name, two.name];
  await statorOk(["config:set", "GREETING=hello", "-a", app]);
  const repository = parts.use(await temporaryRepository(health));
  await Promise.all([pushOk(repository.folder, app), pushOk(repository.folder, other)]);
  otherBefore = (await throughRouter(other)).body;
  const bad = parts.use(
    await temporaryRepository({
      ...health,
      "app.py": `import os\nos.environ["NEVER_READY"] = "1"\n${health["app.py"]}`,
    }),
  );
  await commit(bad.folder, "never ready");
  refused = push(bad.folder, other, "+HEAD:refs/heads/main");
});
after(() => parts.disposeAsync());

test("startup: a dyno listens long before it is up, and gets no request before", async () => {
  const log = await logsOf(app);
  const at = (pattern: RegExp) => Date.parse(pattern.exec(log)?.[1] ?? assert.fail(`${pattern} in ${log}`));
  const began = at(/^(\S+) heroku\[web\.1\]: Starting process/m);
  const up = at(/^(\S+) heroku\[web\.1\]: State changed from starting to up/m);
  assert.ok(up - began >= (STARTS_S - 1) * 1000, `up after ${up - began} ms`);
  assert.match((await throughRouter(app)).body, /^web\.1 \d+$/);
});

test("readiness: a dyno that is not ready leaves the router, every request is answered by the other, and it comes back", async () => {
  await statorOk(["scale", "web=2", "-a", app]);
  await waitUp(app, "web", 2);
  const answered = async (count: number) => {
    const names = new Set<string>();
    for (let i = 0; i < count; i++) {
      const { status, body } = await throughRouter(app);
      assert.equal(status, 200);
      names.add(body.split(" ")[0] ?? "");
    }
    return [...names].sort();
  };
  await eventually("both dynos answer", async () => (await answered(6)).length === 2);
  await breaks("ready", 30); // long enough for what is asked meanwhile, on a slow machine too
  await waitLog(
    app,
    /heroku\[web\.1\]: Readiness check failed: GET \/ready answered 503 \(\d+ times in a row\); no new requests until it passes/,
  );
  assert.deepEqual(await answered(40), ["web.2"]);
  const shown = await platform<readonly { name: string; ready: boolean; state: string }[]>("GET", `/apps/${app}/dynos`);
  assert.deepEqual(shown.map(({ name, ready, state }) => `${name} ${state} ${ready}`).sort(), [
    "web.1 up false",
    "web.2 up true",
  ]);
  const [checks, ps] = await Promise.all(["checks", "ps"].map((command) => statorOk([command, "web", "-a", app])));
  assert.match(checks ?? "", /web\.1: not ready\n {2}startup: passing: "warm" \(GET \/started\)/);
  assert.match(ps ?? "", /^web\.1: up .* ago\), not ready: no new requests$/m);
  assert.match(ps ?? "", /^web\.2: up .* ago\)$/m);
  await waitLog(app, /heroku\[web\.1\]: Readiness check passes again: GET \/ready answered 200; requests come again/);
  assert.doesNotMatch(await statorOk(["ps", "-a", app]), /not ready/);
  await eventually("both dynos answer again", async () => (await answered(6)).length === 2);
});

test("liveness: a dyno that hangs is restarted as after a crash; a command finds what no port tells", async () => {
  const before = (await dynosOf(app)).find(({ name }) => name === "web.1")?.id;
  await statorOk(["scale", "worker=1", "-a", app]);
  await breaks("live", 60);
  const log = await waitLog(
    app,
    /heroku\[web\.1\]: Liveness check failed: GET \/live did not answer within 1 s \(\d+ times in a row\); restarting/,
  );
  assert.match(log, /heroku\[web\.1\]: Stopping all processes with SIGTERM/);
  await waitLog(app, /heroku\[web\.1\]: State changed from up to crashed/);
  const after = await waitUp(app, "web", 2);
  assert.notEqual(after.find(({ name }) => name === "web.1")?.id, before);
  await waitUp(app, "worker", 1);
  await eventually("its check passes", async () =>
    /liveness: passing: `test -e \/tmp\/alive/.test(await statorOk(["checks", "worker", "-a", app])),
  );
  await statorOk(["checks:set", "worker", "liveness", "--command", "test -e /tmp/gone", "--interval", "1", "-a", app]);
  await statorOk(["restart", "worker", "-a", app]);
  await waitLog(
    app,
    /heroku\[worker\.1\]: Liveness check failed: `test -e \/tmp\/gone` exited with status 1 \(\d+ times/,
  );
  await waitLog(app, /heroku\[worker\.1\]: State changed from up to crashed/);
  await statorOk(["checks:clear", "worker", "-a", app]);
  assert.match(await statorOk(["checks", "worker", "-a", app]), /from app\.json/);
});

test("a release that is never ready fails its push with the reason, and the old dynos go on", async () => {
  const { code, stderr } = await refused;
  assert.notEqual(code, 0);
  assert.match(stderr, /web\.1: Readiness check did not pass within 60 seconds of launch: GET \/ready answered 503/);
  assert.equal((await throughRouter(other)).body, otherBefore);
});

test("an app.json that asks for what cannot be is refused at the push, in a sentence", async () => {
  const bad = { ...health, "app.json": '{"healthchecks": {"web": [{"type": "readiness", "path": "up"}]}}' };
  using repository = await temporaryRepository(bad);
  const { code, stderr } = await push(repository.folder, other, "+HEAD:refs/heads/main");
  assert.notEqual(code, 0);
  assert.match(stderr, /app\.json: healthchecks\.web\[0\] has a "path" that is no text that starts with \//);
});

/** Until web.1 itself got the request. */
async function breaks(what: "ready" | "live", seconds: number): Promise<void> {
  await eventually("web.1 got it", async () => {
    const { body } = await throughRouter(app, { path: `/break?x=${what}&dyno=web.1&for=${seconds}` });
    return body.startsWith("web.1 ");
  });
}
