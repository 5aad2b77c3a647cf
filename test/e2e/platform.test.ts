import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { DNS_QUERY, echo, slow } from "./apps.ts";
import {
  commit,
  deployed,
  dynosOf,
  eventually,
  killNow,
  logsOf,
  pidOf,
  platform,
  platformAnswers,
  program,
  pushOk,
  requestsUntil,
  stator,
  statorOk,
  temporaryApp,
  temporaryRepository,
  throughRouter,
  waitLog,
  waitUp,
} from "./harness.ts";

/** The dyno's life on the real platform: real runtime, real HAProxy, real git. One app serves most of the tests. */
let app = "";
let dispose: () => Promise<void> = async () => {};

before(async () => {
  const made = await deployed("life", echo);
  app = made.name;
  dispose = async () => made[Symbol.asyncDispose]();
});
after(() => dispose());

test("a pushed app answers through the router; web is scaled to 1, the rest to 0 (spec 5.1)", async () => {
  const answer = await throughRouter(app, { path: "/x?y=1" });
  assert.equal(answer.status, 200);
  assert.match(answer.body, /^web\.1 pid=\d+ bytes=0 path=\/x\?y=1/);
  assert.deepEqual(
    (await dynosOf(app)).map((dyno) => dyno.name),
    ["web.1"],
  );
});

test("the log tells the whole start in the platform's words (spec 8.2)", async () => {
  const log = await waitLog(app, /State changed from starting to up/);
  for (const line of [
    /app\[api\]: Initial release by user \S+@\S+/,
    /app\[api\]: Deploy [0-9a-f]{8} by user/,
    /app\[api\]: Release v3 created by user/,
    /heroku\[web\.1\]: Starting process with command `exec python3 app\.py`/,
    /app\[web\.1\]: listening/,
    /heroku\[web\.1\]: State changed from starting to up/,
  ]) {
    assert.match(log, line);
  }
});

test("each request has its router line (spec 7.10)", async () => {
  await throughRouter(app, { path: "/marked-path" });
  const log = await waitLog(app, /marked-path/);
  assert.match(
    log,
    /heroku\[router\]: at=info method=GET path="\/marked-path" host=\S+ request_id=[\w-]{20,} fwd="127\.0\.0\.1" dyno=web\.1 connect=\d+ms service=\d+ms status=200 bytes=\d+ protocol=http1\.1 tls=false /,
  );
});

test("ps:scale starts the difference, and requests reach every web dyno", async () => {
  const [first] = await waitUp(app, "web", 1);
  await statorOk(["ps:scale", "web=3", "worker=2", "-a", app]);
  const web = await waitUp(app, "web", 3);
  await waitUp(app, "worker", 2);
  assert.ok(
    web.some((dyno) => dyno.id === first?.id),
    "the running dyno was not touched (spec 2.3)",
  );
  const seen = new Set<string>();
  await eventually("all three dynos answered", async () => {
    for (let i = 0; i < 20; i++) seen.add((await throughRouter(app)).body.split(" ")[0] ?? "");
    return seen.size === 3;
  });
  assert.match(await logsOf(app), /app\[api\]: Scaled to never@0:Basic web@3:Basic worker@2:Basic by user/);
  await statorOk(["ps:scale", "web=2", "worker=0", "-a", app]);
  await eventually("two dynos left", async () => (await dynosOf(app)).length === 2);
  assert.deepEqual((await dynosOf(app)).map((dyno) => dyno.name).sort(), ["web.1", "web.2"]);
});

test("a command that does not exist: 127 in the log, crashed, tried again by the crash policy (spec 3.4)", async () => {
  await statorOk(["ps:scale", "never=1", "-a", app]);
  const log = await waitLog(app, /heroku\[never\.1\]: State changed from crashed to starting/);
  assert.match(log, /heroku\[never\.1\]: Process exited with status 127/);
  assert.match(log, /heroku\[never\.1\]: State changed from \w+ to crashed/);
  await statorOk(["ps:scale", "never=0", "-a", app]);
  assert.equal((await throughRouter(app)).status, 200);
});

test("a one-off dyno runs detached, its output and end are in the log (spec 3.9)", async () => {
  const output = await statorOk(["run:detached", "-a", app, "--", "echo", "from the one-off"]);
  const name = /run\.\d+/.exec(output)?.[0];
  assert.ok(name, output);
  const log = await waitLog(app, new RegExp(`heroku\\[${name}\\]: State changed from up to complete`));
  assert.match(log, new RegExp(`app\\[${name}\\]: from the one-off`));
  assert.match(log, new RegExp(`heroku\\[${name}\\]: Process exited with status 0`));
  await eventually("it left the list", async () => (await dynosOf(app)).every((dyno) => dyno.name !== name));
});

test("an attached one-off gives its output and its exit status, and takes what is piped in", async () => {
  const failed = await stator(["run", "-a", app, "--", "echo $((6*7)); exit 3"]);
  assert.match(failed.stdout, /42/);
  assert.equal(failed.code, 3);
  const megabyte = Buffer.alloc(1_000_000, "abcdefghi\n");
  const piped = await stator(["run", "-a", app, "--no-tty", "--", "cat | md5sum"], { input: megabyte });
  const here = await program("md5sum", [], { input: megabyte });
  assert.match(piped.stdout, new RegExp(here.stdout.slice(0, 32)));
});

test("walls: unprivileged, read-only stack, own /app and /tmp, no way out of the namespaces", async () => {
  const script = [
    "id -u; touch /usr/x 2>&1; touch /app/mine /tmp/mine && echo wrote; ls /proc | grep -c '^[0-9]'",
    'python3 -c \'import ctypes; print("mount", ctypes.CDLL(None, use_errno=True).mount(b"none", b"/mnt", b"tmpfs", 0, None), ctypes.get_errno())\'; unshare -U true 2>&1 || echo no-userns; cat /proc/1/environ | tr \'\\\\0\' \'\\\\n\' | grep -c STATOR || true',
  ].join("; ");
  const { stdout } = await stator(["run", "-a", app, "--no-tty", "--", script]);
  assert.match(stdout, /^1000\r?\n/);
  assert.match(stdout, /Read-only file system/);
  assert.match(stdout, /wrote/);
  assert.match(stdout, /mount -1 1\r?\n/); // EPERM
  assert.match(stdout, /no-userns/);
});

test("a restart replaces the dyno while requests go on, and long answers under way are answered whole (spec 3.3)", async () => {
  const before = await waitUp(app, "web", 2);
  const streams = Array.from({ length: 12 }, () => throughRouter(app, { path: "/stream" }));
  await pause(300); // all have begun
  const load = requestsUntil(app, async () => {
    await statorOk(["ps:restart", "web.1", "-a", app]);
    await eventually("web.1 is another dyno", async () => {
      const now = (await dynosOf(app)).find((dyno) => dyno.name === "web.1");
      return now !== undefined && now.state === "up" && now.id !== before.find((dyno) => dyno.name === "web.1")?.id;
    });
  });
  assert.deepEqual(await load, []);
  const answers = (await Promise.all(streams)).map(({ body }) => body);
  for (const body of answers) assert.match(body, /^[0-9a-f-]{36}\.{19}end$/);
  const stopped = before.find(({ name }) => name === "web.1")?.id ?? "";
  assert.ok(
    answers.some((body) => body.startsWith(stopped)),
    "some were the stopping dyno's",
  );
  // Only the dyno's own lines: a second of requests is more router lines than a log holds.
  const log = await statorOk(["logs", "-a", app, "-n", "1500", "-s", "heroku", "-d", "web.1"]);
  assert.match(log, /heroku\[web\.1\]: Stopping all processes with SIGTERM/);
});

test("config vars make releases that roll without a failed request; rollback brings them back (spec 9.6)", async () => {
  const failures = await requestsUntil(app, async () => {
    await statorOk(["config:set", "GREETING=hello there", "-a", app]);
    await eventually("the new value is served", async () =>
      /greeting=hello there/.test((await throughRouter(app)).body),
    );
  });
  assert.deepEqual(failures, []);
  assert.equal(await statorOk(["config:get", "GREETING", "-a", app]), "hello there\n");
  await statorOk(["rollback", "-a", app]);
  await eventually("the old value is served", async () => /greeting=none/.test((await throughRouter(app)).body));
  assert.match(await statorOk(["releases", "-a", app]), /Rollback to v3/);
});

test("kill -9 of the daemon, the host process, and both, while requests flow and some are held with their bodies", async () => {
  await using held = await temporaryApp("held");
  using repository = await temporaryRepository(slow);
  await pushOk(repository.folder, held.name);
  await statorOk(["ps:scale", "worker=1", "-a", app]);
  await waitUp(app, "worker", 1);
  const before = new Map((await dynosOf(app)).map((dyno) => [dyno.name, dyno.id]));
  for (const roles of [["daemon"], ["host"], ["daemon", "host"]] as const) {
    const failures = await requestsUntil(app, async () => {
      await statorOk(["ps:restart", "-a", held.name]);
      await eventually("it is starting", async () =>
        (await dynosOf(held.name)).some((dyno) => dyno.state === "starting"),
      );
      const body = Buffer.alloc(300_000, "x");
      const waiting = Array.from({ length: 20 }, () => throughRouter(held.name, { method: "POST", body }));
      await pause(200);
      await killNow(roles);
      const broken = (error: unknown) => ({ status: 0, body: String(error) });
      const answers = await Promise.all(waiting.map((each) => each.catch(broken)));
      const refused = answers.find((answer) => answer.status !== 200);
      if (refused !== undefined) {
        await eventually("the platform answers", platformAnswers);
        const log = (await logsOf(held.name)).split("\n").slice(-60).join("\n");
        assert.fail(`${roles.join(" and ")}: ${refused.status} ${refused.body.slice(0, 200)}\n${log}`);
      }
      for (const answer of answers) assert.match(answer.body, /bytes=300000/);
      await eventually("the platform answers", platformAnswers);
    });
    assert.deepEqual(failures, [], `while ${roles.join(" and ")} was killed`);
  }
  await waitUp(app, "worker", 1);
  for (const dyno of await dynosOf(app)) assert.equal(dyno.id, before.get(dyno.name), `${dyno.name} was started again`);
  await assertEveryLineOnce(app);
  await statorOk(["ps:scale", "worker=0", "-a", app]);
});

test("kill -9 of HAProxy: answered again within seconds, by supervision", async () => {
  await killNow(["router"]);
  await eventually(
    "the router answers",
    async () => (await throughRouter(app).catch(() => undefined))?.status === 200,
    10_000,
  );
});

test("an app calls another by its URL, and reaches neither the host, nor other dynos, nor the metadata address", async () => {
  await using other = await deployed("other", echo);
  const port = new URL((await platform<{ web_url: string }>("GET", `/apps/${other.name}`)).web_url).port || "80";
  const script = [
    `curl -sS -m 10 http://${other.name}.localhost:${port}/inside`,
    "curl -sS -m 3 http://169.254.169.254/ 2>&1 || echo metadata-refused",
    "curl -sS -m 3 http://10.0.0.1:5432/ 2>&1 || echo private-refused",
    DNS_QUERY,
  ].join("; ");
  const { stdout } = await stator(["run", "-a", app, "--no-tty", "--", script]);
  assert.match(stdout, /web\.1 pid=\d+ bytes=0 path=\/inside/);
  assert.match(stdout, /metadata-refused/);
  assert.match(stdout, /private-refused/);
  assert.match(stdout, /dns 1234/);
  await waitLog(app, /10\.0\.0\.1:5432/);
});

test("a destroyed app leaves nothing running and is unknown to the router", async () => {
  const made = await deployed("gone", echo);
  assert.equal((await throughRouter(made.name)).status, 200);
  await platform("DELETE", `/apps/${made.name}`);
  await eventually("the router to forget it", async () => {
    // Its dynos are killed at once, and with them an answer that is under way.
    const answer = await throughRouter(made.name).catch(() => undefined);
    return answer?.status === 404 && /No such app/i.test(answer.body);
  });
});

test("pushes with nothing to run, a failing build, and a port never bound are refused; what ran keeps running", async () => {
  using repository = await temporaryRepository({ "notes.txt": "nothing to run\n" });
  const { push } = await import("./harness.ts");
  const nothing = await push(repository.folder, app, "HEAD:refs/heads/main");
  assert.notEqual(nothing.code, 0);
  const forced = await push(repository.folder, app, "+HEAD:refs/heads/main");
  assert.notEqual(forced.code, 0);
  assert.match(forced.stderr, /remote: .*(Procfile|language)/i);
  using dies = await temporaryRepository({ Procfile: "web: echo giving up; exit 7\n" });
  const crash = await push(dies.folder, app, "+HEAD:refs/heads/main");
  assert.notEqual(crash.code, 0);
  assert.match(crash.stderr, /exited with status 7/);
  assert.match(crash.stderr, /giving up/);
  await commit(dies.folder, "again");
  assert.equal((await throughRouter(app)).status, 200);
});

test("spec 6.4: maintenance is H80, crashes are H10, no web dyno is H14, an app without a release is H81", async () => {
  const meets = (name: string, code: string, path = "/"): Promise<string> =>
    eventually(`${code} at ${name}`, async () => {
      await throughRouter(name, { path });
      return (await logsOf(name)).split("\n").find((line) => line.includes(` code=${code} `));
    });
  await statorOk(["maintenance:on", "-a", app]);
  assert.match(await meets(app, "H80"), /at=info code=H80 desc="Maintenance mode" .* dyno= .* status=503 /);
  await statorOk(["maintenance:off", "-a", app]);
  await statorOk(["runtime:set", "restart-policy=heroku", "-a", app]);
  await statorOk(["ps:scale", "web=1", "-a", app]);
  assert.match(await meets(app, "H10", "/die"), /at=error code=H10 desc="App crashed" .* dyno= .* status=503 /);
  await statorOk(["ps:scale", "web=0", "-a", app]);
  assert.match(await meets(app, "H14"), /at=error code=H14 desc="No web processes running" .* status=503 /);
  await using blank = await temporaryApp("blank");
  assert.match(await meets(blank.name, "H81"), /at=info code=H81 desc="Blank app" .* status=502 /);
});

/** The worker numbers its lines: in what the log still holds of it none is missing and none is there twice. */
async function assertEveryLineOnce(name: string): Promise<void> {
  const all = [
    ...(await statorOk(["logs", "-a", name, "-n", "1500", "-s", "app", "-d", "worker.1"])).matchAll(
      /app\[worker\.1\]: count (\d+)/g,
    ),
  ].map((match) => Number(match[1]));
  const numbers = all.slice(Math.max(0, all.lastIndexOf(1))); // an earlier test had a worker.1 too
  assert.ok(numbers.length > 100, "the worker's lines are in the log");
  const first = numbers[0] ?? 0;
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => first + index),
  );
}

test("nothing privileged runs from the checkout", async () => {
  for (const role of ["daemon", "host"]) {
    const { stdout } = await program("readlink", ["-f", `/proc/${await pidOf(role)}/exe`]);
    const cmdline = await program("cat", [`/proc/${await pidOf(role)}/cmdline`]);
    assert.ok(!cmdline.stdout.includes("/work/"), cmdline.stdout);
    assert.ok(existsSync(stdout.trim()));
  }
});
