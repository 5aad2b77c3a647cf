import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { echo } from "./apps.ts";
import {
  deployed,
  dynosOf,
  eventually,
  killNow,
  logsOf,
  platform,
  platformAnswers,
  statorOk,
  throughRouter,
  waitUp,
} from "./harness.ts";

/** Apps that sleep without requests, on the real platform. A minute is the shortest that there is. */
const SLEEP_MS = 60_000 + 15_000;

test("spec 10.3: an app that nobody asks for sleeps, and the next requests wake it; a killed daemon loses none", async () => {
  await using made = await deployed("sleepy", {
    ...echo,
    Procfile: "web: exec python3 app.py\nworker: exec python3 worker.py\n",
  });
  const app = made.name;
  await statorOk(["ps:scale", "worker=1", "-a", app]);
  await waitUp(app, "worker", 1);
  await statorOk(["runtime:set", "sleep-after=1", "-a", app]);
  assert.equal((await throughRouter(app)).status, 200);
  const asked = performance.now();
  await eventually(
    "it sleeps",
    async () => (await dynosOf(app)).every(({ state }) => state === "idle"),
    SLEEP_MS + 30_000,
  );
  assert.ok(performance.now() - asked > 55_000, "not before the minute is over");
  assert.match(await statorOk(["ps", "-a", app]), /^web\.1: idle .*\n[^]*^worker\.1: idle /m);
  assert.match(await statorOk(["runtime", "-a", app]), /^asleep-since: /m);
  await eventually("its dynos have ended", async () => {
    const log = await logsOf(app);
    return ["web.1", "worker.1"].every((name) => new RegExp(`heroku\\[${name}\\]: Process exited`).test(log));
  });
  assert.match(
    await logsOf(app),
    /heroku\[web\.1\]: Idling\n[^]*heroku\[web\.1\]: State changed from up to down\n[^]*heroku\[web\.1\]: Stopping all processes with SIGTERM/,
  );
  await killNow(["daemon"]);
  const body = Buffer.alloc(300_000, "x");
  const waiting = Array.from({ length: 20 }, () => throughRouter(app, { method: "POST", body }));
  await eventually("the platform answers", platformAnswers);
  for (const answer of await Promise.all(waiting)) {
    assert.equal(answer.status, 200, answer.body);
    assert.match(answer.body, /bytes=300000/);
  }
  await waitUp(app, "worker", 1);
  const log = await logsOf(app);
  for (const name of ["web.1", "worker.1"]) {
    const lines = [
      `${name}]: Unidling`,
      `${name}]: State changed from down to starting`,
      `${name}]: State changed from starting to up`,
    ];
    const at = lines.map((line) => log.lastIndexOf(line));
    assert.deepEqual(
      at,
      at.toSorted((one, other) => one - other),
      log,
    );
    assert.ok((at[0] ?? -1) > log.lastIndexOf(`${name}]: Idling`), log);
  }
  await pause(200);
  assert.ok((await dynosOf(app)).every(({ state }) => state === "up"));
  assert.equal((await platform<{ asleep_since: unknown }>("GET", `/apps/${app}/runtime`)).asleep_since, null);
});
