import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import {
  commit,
  deployed,
  eventually,
  type Files,
  logsOf,
  pidOf,
  platform,
  push,
  statorOk,
  temporaryRepository,
  waitLog,
} from "./harness.ts";

/** Scheduled dynos on the real platform (spec 1.1, 1.2, 8.2): one real minute, and runs that are asked for. */
const files = (cron: readonly object[]): Files => ({
  Procfile: "web: exec python3 -m http.server $PORT\njob: echo job $DYNO ran $0\n",
  "app.json": JSON.stringify({ formation: { web: 3 }, cron }),
});
const EVERY_MINUTE = { command: "job", schedule: "* * * * *", name: "tick" };
const SLOW = { command: "echo begun; sleep 300; echo $0", schedule: "@yearly", name: "slow" };

interface RunJson {
  readonly outcome: string;
  readonly due_at: string | null;
  readonly created_at: string;
  readonly exit_status: number | null;
  readonly dyno: { readonly name: string } | null;
}

test("a cron line of app.json starts a dyno on the minute, through a killed daemon; run now; ps; no overlap", async () => {
  await using app = await deployed("sched", files([EVERY_MINUTE, SLOW]));
  const runs = (name: string) => platform<readonly RunJson[]>("GET", `/apps/${app.name}/schedules/${name}/runs`);

  // Asked for: its dyno shows, and a second one is refused.
  await statorOk(["schedules:run", "slow", "-a", app.name]);
  await waitLog(app.name, /app\[scheduler\.\d+\]: begun/);
  const ps = await statorOk(["ps", "-a", app.name]);
  assert.match(ps, /=== scheduler \(Basic\): echo begun; sleep 300; echo \$0 \(1\)\n\nscheduler\.\d+: up /);
  await assert.rejects(
    statorOk(["schedules:run", "slow", "-a", app.name]),
    /slow runs already, as scheduler\.\d+: wait/,
  );
  const [slow] = await runs("slow");
  await statorOk(["ps:stop", slow?.dyno?.name ?? "", "-a", app.name]);

  // Due while the daemon is being killed and started again by who keeps it.
  process.kill(await pidOf("daemon"), "SIGKILL");
  const killedAt = Date.now();
  const isAfter = ({ due_at }: RunJson) => Date.parse(due_at ?? "") > killedAt;
  const run = await eventually(
    "a run of the minute has ended",
    async () => (await runs("tick").catch(() => [])).findLast((each) => each.exit_status !== null && isAfter(each)),
    75_000,
  );
  assert.deepEqual([run.outcome, run.exit_status], ["started", 0]);
  assert.match(run.due_at ?? "", /:00Z$/);
  const lateMs = Date.parse(run.created_at) - Date.parse(run.due_at ?? "");
  assert.ok(lateMs < 30_000, `${lateMs} ms late`);
  const name = run.dyno?.name ?? "";
  const log = await waitLog(app.name, new RegExp(`heroku\\[${name}\\]: State changed from up to complete`));
  const own = log.split("\n").filter((line) => line.includes(`[${name}]`));
  const texts = own.map((line) => line.replace(/^\S+ /, ""));
  // What a program says at once may come before the platform has seen that it runs.
  assert.ok(texts.includes(`app[${name}]: job ${name} ran /bin/bash`), texts.join("\n"));
  assert.deepEqual(
    texts.filter((text) => !text.startsWith(`app[${name}]`)),
    [
      `heroku[${name}]: Starting process with command \`echo job $DYNO ran $0\``,
      `heroku[${name}]: State changed from starting to up`,
      `heroku[${name}]: Process exited with status 0`,
      `heroku[${name}]: State changed from up to complete`,
    ],
  );
  assert.match(log, /app\[api\]: Starting process with command `echo job .*` by user scheduler@addons\.heroku\.com/);
  const due = (await runs("tick")).filter(({ due_at }) => due_at === run.due_at);
  assert.equal(due.length, 1, "a minute is decided once");
  assert.match(await statorOk(["schedules", "-a", app.name]), /tick +\* \* \* \* \* UTC .*exited with status 0/);
});

test("schedules follow the code; a bad line fails the push in a sentence; those of the API stay", async () => {
  using repository = await temporaryRepository(files([SLOW]));
  await using app = await deployed("sched", files([SLOW]));
  const names = async (): Promise<readonly string[]> =>
    (await statorOk(["schedules", "-a", app.name])).match(/^(slow|own)(?= )/gm) ?? [];
  await statorOk(["schedules:add", "-a", app.name, "-s", "@monthly", "-n", "own", "--", "true"]);
  assert.deepEqual(await names(), ["own", "slow"]);

  const change = async (cron: readonly object[]) => {
    writeFileSync(`${repository.folder}/app.json`, JSON.stringify({ cron }));
    await commit(repository.folder, "change");
    return push(repository.folder, app.name, "+HEAD:refs/heads/main");
  };
  const refused = await change([{ command: "true", schedule: "* * * * * *" }]);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /app\.json: cron\[0\]\.schedule "\* \* \* \* \* \*" has 6 fields\. Write five/);
  assert.deepEqual(await names(), ["own", "slow"]);
  assert.equal((await change([])).code, 0);
  assert.deepEqual(await names(), ["own"]);
  await statorOk(["rollback", "-a", app.name]);
  await eventually("the schedule is back", async () => (await names()).includes("slow"));
  await statorOk(["schedules:remove", "own", "-a", app.name]);
  assert.match(await logsOf(app.name), /app\[api\]: Remove schedule own by user/);
});
