import assert from "node:assert/strict";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { start } from "../../src/lib/command.ts";
import { echo } from "./apps.ts";
import {
  checkout,
  config,
  deployed,
  dynosOf,
  eventually,
  logsOf,
  pidOf,
  platform,
  platformAnswers,
  push,
  stator,
  statorOk,
  temporaryApp,
  temporaryRepository,
  throughRouter,
  waitLog,
  waitUp,
} from "./harness.ts";

/** How dynos live, by the settings of their app: on the real platform, with short times. */
const files = {
  ...echo,
  Procfile: `${echo["Procfile"]}deaf: trap '' TERM; while :; do sleep 1; done\nfrail: sleep 0.2; exit 3\n`,
};
let app = "";
let dispose: () => Promise<void> = async () => {};

before(async () => {
  const made = await deployed("lifetime", files);
  app = made.name;
  dispose = async () => made[Symbol.asyncDispose]();
});
after(() => dispose());

interface Ended {
  readonly name: string;
  readonly exit_status: number | null;
  readonly started_at: string | null;
}
const endedOf = () => platform<readonly Ended[]>("GET", `/apps/${app}/ended-dynos`);
const textsOf = (log: string, name: string) =>
  log
    .split("\n")
    .filter((line) => line.includes(`heroku[${name}]: `))
    .map((line) => line.slice(line.indexOf("]: ") + 3));

test("the settings are shown, changed and refused in words", async () => {
  assert.match(
    await statorOk(["runtime", "-a", app]),
    /boot-timeout: +60 s\nstop-grace: +30 s\nrelease-timeout: +3600 s\nrestart-policy: +steady\n/,
  );
  await statorOk(["runtime:set", "boot-timeout=4", "stop-grace=2", "-a", app]);
  assert.match(await statorOk(["runtime", "-a", app]), /boot-timeout: +4 s\nstop-grace: +2 s\n/);
  const refused = await stator(["runtime:set", "boot-timeout=9999", "-a", app]);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /boot timeout cannot be 9999: say a number from 1 to 1800/);
  await waitLog(app, /app\[api\]: Set runtime boot-timeout=4 stop-grace=2 by user/);
});

test("spec 3.2: a port that is not bound within the app's own boot timeout: R10 with its number, and the push says why", async () => {
  const [before] = await waitUp(app, "web", 1);
  using repository = await temporaryRepository({ ...files, Procfile: "web: echo not listening; exec sleep 600\n" });
  const since = performance.now();
  const { code, stderr } = await push(repository.folder, app, "+HEAD:refs/heads/main");
  assert.notEqual(code, 0);
  assert.ok(performance.now() - since < 40_000);
  assert.match(stderr, /did not bind to \$PORT within 4 seconds \(R10\)/);
  assert.match(stderr, /app\[web\.1\]: not listening/);
  const lines = stderr.split("\n").filter((line) => /^remote: {10}\d{4}-/.test(line));
  assert.ok(lines.length > 0 && lines.length <= 20, `${lines.length} lines of the log`);
  assert.match(await logsOf(app), /Error R10 \(Boot timeout\) -> .* within 4 seconds of launch/);
  // Of two with one name the newer one is shown, until it has gone.
  await eventually("what ran before, untouched", async () => (await dynosOf(app)).every(({ id }) => id === before?.id));
  assert.equal((await throughRouter(app)).status, 200);
});

test("a changed config var that breaks the app fails its release, and stays for the next one", async () => {
  await statorOk(["runtime:set", "boot-timeout=20", "-a", app]);
  await statorOk(["config:set", "PYTHONHOME=/nonexistent", "KEPT=yes", "-a", app]);
  await waitLog(app, /Release v\d+ failed: web\.1 exited with status 1 before it came up\. v\d+ stays\./);
  assert.equal((await throughRouter(app)).status, 200);
  const [newest] = (
    await platform<readonly { version: number; status: string }[]>("GET", `/apps/${app}/releases`)
  ).slice(-1);
  assert.equal(newest?.status, "failed");
  await eventually("ps:wait to end: the dyno that failed to be gone", async () =>
    (await dynosOf(app)).every((dyno) => dyno.state === "up" && dyno.release.version >= (newest?.version ?? 0)),
  );
  await statorOk(["config:unset", "PYTHONHOME", "-a", app]);
  await eventually("the next release is up", async () => {
    const all = await platform<readonly { status: string }[]>("GET", `/apps/${app}/releases`);
    return all.at(-1)?.status === "succeeded";
  });
  assert.match(await statorOk(["run", "-a", app, "--", "printenv", "KEPT"]), /^yes/);
});

test("spec 3.3: the app's own grace: R12 with its number, SIGKILL, 137", async () => {
  await statorOk(["ps:scale", "deaf=1", "-a", app]);
  await waitUp(app, "deaf", 1);
  await statorOk(["ps:scale", "deaf=0", "-a", app]);
  const log = await waitLog(app, /heroku\[deaf\.1\]: Process exited with status 137/, 20_000);
  assert.deepEqual(textsOf(log, "deaf.1").slice(-5), [
    "State changed from up to down",
    "Stopping all processes with SIGTERM",
    "Error R12 (Exit timeout) -> At least one process failed to exit within 2 seconds of SIGTERM",
    "Stopping remaining processes with SIGKILL",
    "Process exited with status 137",
  ]);
});

test("spec 3.4: ps and the API say when a crashed dyno is started again", async () => {
  await statorOk(["ps:scale", "frail=1", "-a", app]);
  const said = await eventually("ps tells of the next start", async () => {
    const text = await statorOk(["ps", "-a", app]);
    return /frail\.1: crashed .* ago\), next start (in \d+s|now)/.exec(text)?.[0];
  });
  assert.ok(said);
  const due = await eventually("the API does", async () => {
    const dynos = await platform<readonly { name: string; next_start_at: string | null }[]>(
      "GET",
      `/apps/${app}/dynos`,
    );
    return dynos.find(({ name }) => name === "frail.1")?.next_start_at ?? undefined;
  });
  assert.ok(Math.abs(Date.parse(due) - Date.now()) < 60_000);
  await statorOk(["ps:scale", "frail=0", "-a", app]);
  await waitLog(app, /heroku\[frail\.1\]: State changed from (crashed|up|starting) to down/);
});

test("spec 3.3, 3.9: exit statuses of one-off dynos: 126, 127, 128 + signal, their own; kept when they have ended", async () => {
  const cases = [
    ["nosuchcommand", 127],
    ["./app.py", 126],
    ["bash -c 'kill -SEGV $$'", 139],
    ["bash -c 'kill -TERM $$'", 143],
    ["exit 42", 42],
    ["true", 0],
  ] as const;
  await Promise.all(
    cases.map(async ([command, status]) => {
      const result = await stator(["run", "-a", app, "--no-tty", "--", "bash", "-c", command]);
      assert.equal(result.code, status, `${command}: ${result.stdout}${result.stderr}`);
    }),
  );
  const statuses = (await endedOf()).map((each) => each.exit_status);
  for (const [command, status] of cases) assert.ok(statuses.includes(status), `${command}: ${statuses.join()}`);
  const text = await statorOk(["ps:ended", "-a", app]);
  assert.match(text, /run\.\d+ +status 127 +ended \d{4}/);
  assert.ok(!(await dynosOf(app)).some(({ type }) => type === "run"));
});

test("run:detached --wait ends when the dyno has, with its status", async () => {
  const { code, stdout } = await stator(["run:detached", "--wait", "-a", app, "--", "sleep 2; exit 7"]);
  assert.equal(code, 7, stdout);
});

test("run:detached --wait goes on waiting over a restart of the platform", async () => {
  const waiting = stator(["run:detached", "--wait", "-a", app, "--", "sleep 4; exit 8"]);
  await eventually("it runs", async () =>
    (await dynosOf(app)).some((each) => each.type === "run" && each.state === "up"),
  );
  process.kill(await pidOf("daemon"), "SIGKILL");
  const { code, stdout, stderr } = await waiting;
  assert.equal(code, 8, stdout + stderr);
});

test("spec 3.9: time_to_live ends a detached one-off", async () => {
  const body = { command: "sleep 600", time_to_live: 2 };
  const { name } = await platform<{ name: string }>("POST", `/apps/${app}/dynos`, body);
  const ended = await eventually(
    "it has ended",
    async () => (await endedOf()).find((each) => each.name === name),
    20_000,
  );
  assert.equal(ended.exit_status, 143);
  const log = await waitLog(app, new RegExp(`heroku\\[${name}\\]: State changed from up to complete`));
  assert.ok(textsOf(log, name).includes("Stopping all processes with SIGTERM"));
});

test("spec 3.9: a client that is killed: SIGHUP to the dyno, with its line, and status 129", async () => {
  const before = new Set((await endedOf()).map(({ name }) => name));
  const client = start(join(checkout, "bin", "stator"), ["run", "-a", app, "--", "echo here; exec sleep 600"], {
    env: Object.fromEntries(
      Object.entries(process.env).filter((pair): pair is [string, string] => pair[1] !== undefined),
    ),
    cwd: "/",
    stdio: ["pipe", "pipe", "ignore"],
  });
  await eventually("it runs", async () =>
    (await dynosOf(app)).some((each) => each.type === "run" && each.state === "up"),
  );
  client.kill("SIGKILL");
  const ended = await eventually(
    "it has ended",
    async () => (await endedOf()).find(({ name }) => !before.has(name)),
    30_000,
  );
  assert.equal(ended.exit_status, 129);
  const log = await waitLog(app, new RegExp(`heroku\\[${ended.name}\\]: State changed from up to complete`));
  assert.ok(textsOf(log, ended.name).includes("Client connection closed. Sending SIGHUP to all processes"));
});

test("spec 6.2: R17: a slug that is not what was built is never launched", async () => {
  await using made = await temporaryApp("rotten");
  using repository = await temporaryRepository({ ...files, "own.txt": "a tree that no other app has\n" });
  assert.equal((await push(repository.folder, made.name)).code, 0);
  await waitUp(made.name, "web", 1);
  const releases = await platform<readonly { slug: { id: string } | null }[]>("GET", `/apps/${made.name}/releases`);
  const slug = releases.at(-1)?.slug?.id ?? assert.fail("no slug");
  const { checksum } = await platform<{ checksum: string }>("GET", `/apps/${made.name}/slugs/${slug}`);
  const digest = checksum.slice("SHA256:".length);
  const { data, host } = config.instance.paths;
  writeFileSync(join(data, "slugs", `${digest}.tar.gz`), gzipSync("not what was built"));
  const images = readdirSync(join(host, "slugs")).filter((file) => file.startsWith(`${digest}-`));
  assert.ok(images.length > 0);
  for (const image of images) rmSync(join(host, "slugs", image));
  process.kill(await pidOf("daemon"), "SIGKILL"); // what it knows of images it asks for once
  await eventually("the platform answers", platformAnswers);
  await statorOk(["ps:restart", "-a", made.name]);
  const log = await waitLog(made.name, /heroku\[web\.1\]: State changed from starting to crashed/);
  const expected = `Error R17 (Checksum error) -> Checksum does match expected value. Expected: SHA256:${digest} Actual: SHA256:`;
  assert.ok(
    textsOf(log, "web.1").some((line) => line.startsWith(expected) && /Actual: SHA256:[0-9a-f]{64}$/.test(line)),
    log,
  );
  assert.match(await statorOk(["ps", "-a", made.name]), /web\.1: crashed .*, next start in [45]m/);
});
