import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { TestLogs } from "../../test/support/api-world.ts";
import { dynoRecord } from "../../test/support/dyno.ts";
import { silentLogger } from "../lib/logger.ts";
import { SimClock } from "../lib/sim-clock.ts";
import type { DynoRecord } from "../model/dyno.ts";
import { ReleaseOutputs } from "./release-output.ts";

const RELEASE = "11111111-2222-4333-8444-555555555555";
const never = new AbortController().signal;

async function openWorld() {
  const folder = mkdtempSync(join(tmpdir(), "stator-ro-"));
  const clock = new SimClock();
  const logs = new TestLogs();
  const command = (change: Partial<DynoRecord> = {}): DynoRecord => ({
    ...dynoRecord({ id: "dyno", appId: "app", name: "release.7", type: "release", releaseId: RELEASE }, clock.now()),
    kind: "release",
    ...change,
  });
  const open = () => ReleaseOutputs.open({ folder, logs, clock, logger: silentLogger });
  const say = (said: string, source: "app" | "heroku" = "app", process = "release.7", at = clock.now()) =>
    logs.append("app", { at, source, process, text: said });
  const ended = command({ exit: { at: clock.now(), status: 0 } });
  return {
    file: join(folder, `${RELEASE}.txt`),
    logs,
    open,
    say,
    command,
    ended,
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

test("what a release command says is there while it says it, and afterwards; of others nothing is", async () => {
  using world = await openWorld();
  await using outputs = await world.open();
  world.say("of the one before", "app", "release.7", -60_000);
  const early = outputs.stream(RELEASE, never);
  outputs.follow(world.command());
  const live = (await early) ?? assert.fail("it has begun");
  live.setEncoding("utf8");
  world.say("Starting process", "heroku");
  world.say("one");
  world.say("elsewhere", "app", "web.1");
  assert.deepEqual(await once(live, "data"), ["one\n"]);
  world.say("two words");
  world.say("State changed from up to complete", "heroku");
  outputs.follow(world.ended);
  assert.equal(await text(live), "two words\n");
  const again = await outputs.stream(RELEASE, AbortSignal.abort());
  assert.equal(again && (await text(again)), "one\ntwo words\n");
});

test("a daemon that was killed goes on where it was: each line once, a half one anew", async () => {
  using world = await openWorld();
  world.say("one");
  world.say("two");
  world.say("three");
  writeFileSync(world.file, "1 one\n2 tw");
  await using outputs = await world.open();
  outputs.follow(world.command());
  outputs.follow(world.ended);
  const all = await outputs.stream(RELEASE, never);
  assert.equal(all && (await text(all)), "one\ntwo\nthree\n");
  assert.equal(readFileSync(world.file, "utf8"), "1 one\n2 two\n3 three\nend\n");
  await using later = await world.open();
  later.follow(world.ended);
  world.say("of another dyno with its name");
  const kept = await later.stream(RELEASE, never);
  assert.equal(kept && (await text(kept)), "one\ntwo\nthree\n");
});

test("whoever asks for what is not there yet waits for no longer than it wants", async () => {
  using world = await openWorld();
  await using outputs = await world.open();
  assert.equal(await outputs.stream(RELEASE, AbortSignal.abort()), undefined);
  assert.equal(await outputs.stream("../../etc/passwd", never), undefined);
});

test("more than 8 MiB of output are not kept, and it says so", async () => {
  using world = await openWorld();
  await using outputs = await world.open();
  outputs.follow(world.command());
  for (let line = 0; line < 900; line++) world.say("x".repeat(10_000));
  outputs.follow(world.ended);
  const all = (await outputs.stream(RELEASE, never)) ?? assert.fail();
  const said = await text(all);
  assert.ok(said.length < 8.1 * 1024 * 1024);
  assert.ok(said.endsWith("[the rest was not kept]\n"));
});
