import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { ownLimits } from "../../src/engine/local/host-limits.ts";
import { MEMORY_OVERCOMMIT } from "../../src/model/size.ts";
import { echo } from "./apps.ts";
import {
  commit,
  config,
  deployed,
  dynosOf,
  eventually,
  platform,
  pushOk,
  requestsUntil,
  statorOk,
  temporaryRepository,
  throughRouter,
  waitUp,
} from "./harness.ts";

/** How releases and the daily cycle replace dynos that are asked all the time: by each strategy, and where there is no room. */
const sizesFile = join(config.instance.home, "sizes.json");
let app = "";
let dispose: () => Promise<void> = async () => {};

before(async () => {
  const made = await deployed("rollouts", echo);
  app = made.name;
  dispose = async () => made[Symbol.asyncDispose]();
});
after(async () => {
  rmSync(sizesFile, { force: true });
  await dispose();
});

/** What the platform said of a dyno, from the last line that is `first` on; router lines would bury it. */
async function linesFrom(name: string, first: string): Promise<readonly string[]> {
  const log = await statorOk(["logs", "-a", app, "-n", "1500", "-s", "heroku", "-d", name]);
  const lines = log.split("\n").flatMap((line) => (line.includes("]: ") ? [line.slice(line.indexOf("]: ") + 3)] : []));
  return lines.slice(Math.max(0, lines.lastIndexOf(first)));
}

/** The same, once it says how the old dyno ended. */
function linesToItsEnd(name: string, first: string): Promise<readonly string[]> {
  return eventually(`${first}, and its end`, async () => {
    const lines = await linesFrom(name, first);
    return lines[0] === first && lines.some((line) => line.startsWith("Process exited")) ? lines : undefined;
  });
}

const greeting = async () => /greeting=(\S+)/.exec((await throughRouter(app)).body)?.[1];

test("rollout stop-start: the old dyno is told to stop as the new one starts; requests wait for it", async () => {
  await statorOk(["runtime:set", "rollout=stop-start", "-a", app]);
  const [old] = await waitUp(app, "web", 1);
  const failures = await requestsUntil(app, async () => {
    await statorOk(["config:set", "GREETING=stop-start", "-a", app]);
    await eventually("the new one answers", async () => (await greeting()) === "stop-start");
  });
  assert.deepEqual(failures, []);
  const lines = await linesToItsEnd("web.1", "Restarting");
  assert.deepEqual(lines.slice(0, 4), [
    "Restarting",
    "State changed from up to starting",
    "Stopping all processes with SIGTERM",
    "Starting process with command `exec python3 app.py`",
  ]);
  assert.notEqual((await waitUp(app, "web", 1))[0]?.id, old?.id);
});

test("spec 3.7: rollout preboot: requests go to the old dyno until the app's time for it is over, and none fails", async () => {
  await statorOk(["runtime:set", "rollout=preboot", "boot-timeout=8", "preboot-delay=2", "-a", app]);
  const before = new Set((await waitUp(app, "web", 1)).map(({ id }) => id));
  let toOld = 0;
  const failures = await requestsUntil(app, async () => {
    await statorOk(["config:set", "GREETING=preboot", "-a", app]);
    const since = performance.now();
    await eventually("ps shows the new one alone", async () => {
      const web = (await dynosOf(app)).filter(({ type }) => type === "web");
      return web.length === 1 && web.every(({ id, state }) => state === "up" && !before.has(id));
    });
    await eventually("requests move", async () => {
      if ((await greeting()) === "preboot") return true;
      toOld++;
      return false;
    });
    assert.ok(performance.now() - since > 8_000, `${performance.now() - since} ms after the release`);
    for (let request = 0; request < 20; request++) assert.equal(await greeting(), "preboot", "all of them move");
    await linesToItsEnd("web.1", "Restarting");
  });
  assert.deepEqual(failures, []);
  assert.ok(toOld > 0, "the new one was up, and requests went to the old one");
  const lines = await linesFrom("web.1", "Restarting");
  assert.deepEqual(lines.slice(0, 6), [
    "Restarting",
    "State changed from up to starting",
    "Starting process with command `exec python3 app.py`",
    "State changed from starting to up",
    "Stopping all processes with SIGTERM",
    "Process exited with status 0",
  ]);
});

test("spec 3.5: daily cycling: dynos of a day ago are restarted, one after the other, and no request fails", async () => {
  await statorOk(["runtime:set", "rollout=surge", "boot-timeout=60", "daily-cycling=on", "-a", app]);
  await statorOk(["ps:scale", "web=2", "-a", app]);
  const before = await waitUp(app, "web", 2);
  startedEarlier(app, (24 * 60 + 216) * 60_000);
  const failures = await requestsUntil(app, async () => {
    await statorOk(["runtime:set", "daily-cycling=on", "-a", app]); // it looks now
    await eventually("both are others", async () => {
      const now = (await dynosOf(app)).filter(({ type, state }) => type === "web" && state === "up");
      return now.length === 2 && now.every(({ id }) => before.every((each) => each.id !== id));
    });
    for (const name of ["web.1", "web.2"]) await linesToItsEnd(name, "Cycling");
  });
  assert.deepEqual(failures, []);
  for (const name of ["web.1", "web.2"]) {
    const lines = await linesFrom(name, "Cycling");
    assert.deepEqual(lines.slice(0, 4), [
      "Cycling",
      "State changed from up to starting",
      "Stopping all processes with SIGTERM",
      "Starting process with command `exec python3 app.py`",
    ]);
    assert.deepEqual(lines.slice(4).toSorted(), ["Process exited with status 0", "State changed from starting to up"]);
  }
  await statorOk(["runtime:set", "daily-cycling=off", "-a", app]);
});

test("a program that ends at its SIGTERM, without a word, takes no request with it: what it has taken is answered first", async () => {
  const lines = ["import signal", "signal.signal(signal.SIGTERM, signal.SIG_DFL)", "server.serve_forever()"];
  const text = (echo["app.py"] ?? "")
    .replace("server.serve_forever()", lines.join("\n"))
    .replace("    def answer(self):\n", "    def answer(self):\n        time.sleep(0.2)\n");
  await using rash = await deployed("rash", { ...echo, "app.py": text });
  await statorOk(["ps:scale", "web=2", "-a", rash.name]);
  await waitUp(rash.name, "web", 2);
  const failures = await requestsUntil(rash.name, async () => {
    for (const greeting of ["one", "two"]) {
      await statorOk(["config:set", `GREETING=${greeting}`, "-a", rash.name]);
      await eventually("only the new ones answer", async () => {
        const now = await dynosOf(rash.name);
        return now.length === 2 && (await throughRouter(rash.name)).body.includes(`greeting=${greeting}`);
      });
    }
  });
  assert.deepEqual(failures, []);
});

/** As the database would say had the app's dynos been started so much earlier: the test cannot wait for a day. */
function startedEarlier(name: string, ms: number): void {
  using database = new DatabaseSync(join(config.instance.paths.data, "stator.db"), { timeout: 10_000 });
  const change = "update dynos set created_at = created_at - ?, launched_at = launched_at - ?";
  const { changes } = database
    .prepare(`${change} where state = 'up' and app_id = (select id from apps where name = ?)`)
    .run(ms, ms, name);
  assert.equal(changes, 2);
}

test("where old and new do not fit side by side, dynos are replaced one by one, at last by stop-then-start; the push says so, and no request fails", async () => {
  const all = (await ownLimits()).memoryMb * MEMORY_OVERCOMMIT;
  const [half, whole] = [0.4, 0.7].map((share) => ({ memory_mb: Math.floor(all * share) }));
  writeFileSync(sizesFile, JSON.stringify({ sizes: { Half: half, Whole: whole } }), { mode: 0o644 });
  await eventually("the sizes in the API", async () => {
    const sizes = await platform<readonly { name: string }[]>("GET", "/dyno-sizes");
    return sizes.some(({ name }) => name === "Whole");
  });
  using repository = await temporaryRepository(echo);
  const pushes = async (quantity: number, size: string): Promise<readonly string[]> => {
    await statorOk(["ps:scale", `web=${quantity}:${size}`, "-a", app]);
    await eventually(`${quantity} of ${size}`, async () => {
      const web = (
        await platform<readonly { size: string; state: string; type: string }[]>("GET", `/apps/${app}/dynos`)
      ).filter(({ type }) => type === "web");
      return web.length === quantity && web.every((dyno) => dyno.size === size && dyno.state === "up");
    });
    await commit(repository.folder, size);
    let said = "";
    const failures = await requestsUntil(app, async () => {
      said = await pushOk(repository.folder, app, "+HEAD:refs/heads/main");
    });
    assert.deepEqual(failures, [], size);
    await waitUp(app, "web", quantity);
    return [...said.matchAll(/No room for old and new side by side: (web\.\d) was stopped first/g)].map(
      (each) => each[1] ?? "",
    );
  };
  assert.deepEqual((await pushes(2, "Half")).toSorted(), ["web.1", "web.2"]);
  assert.deepEqual(await pushes(1, "Whole"), ["web.1"]);
  const lines = await linesFrom("web.1", "No room to start the new release beside this dyno: stopping it first");
  assert.deepEqual(lines.slice(0, 2), [
    "No room to start the new release beside this dyno: stopping it first",
    "Stopping all processes with SIGTERM",
  ]);
});
