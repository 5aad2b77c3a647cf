import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { parseEnv } from "node:util";
import { needOfficialCli, OFFICIAL_CLI } from "../support/official-cli.ts";
import { echo } from "./apps.ts";
import { deployed, eventually, program, type Result, statorOk, throughRouter, waitLog, waitUp } from "./harness.ts";

/** The unmodified official CLI, driven by what `stator env` prints and nothing else. */
const home = mkdtempSync(join(tmpdir(), "stator-official-"));
let app = "";
let dispose: () => Promise<void> = async () => {};
let exported: Record<string, string> = {};

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

test("errors have the status 1 or 2 and a sentence", async () => {
  const unknown = await heroku(["apps:info", "-a", "no-such-app-here"]);
  assert.notEqual(unknown.code, 0);
  assert.match(unknown.stderr, /Couldn't find that app/);
});
