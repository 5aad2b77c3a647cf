import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { systemClock } from "../lib/clock.ts";
import { start } from "../lib/command.ts";
import { silentLogger } from "../lib/logger.ts";
import { KeptProcess } from "./kept-process.ts";

const folder = mkdtempSync(join(tmpdir(), "stator-kept-"));
after(() => rmSync(folder, { recursive: true }));

function keep(pidFile: string, seconds: string): KeptProcess {
  return new KeptProcess({
    name: "sleeper",
    pidFile,
    mark: [seconds],
    start: async () => start("sleep", [seconds], { detached: true }),
    clock: systemClock,
    logger: silentLogger,
  });
}

async function pidOf(kept: KeptProcess, other?: number): Promise<number> {
  const until = performance.now() + 3000;
  for (;;) {
    const pid = kept.pid;
    if (pid !== undefined && pid !== other) return pid;
    assert.ok(performance.now() < until, "not started in time");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("a program that is killed is back within a second; it outlives its keeper and is found again", async () => {
  const pidFile = join(folder, "one.pid");
  const first = keep(pidFile, "98761");
  const born = await pidOf(first);
  const begun = performance.now();
  process.kill(born, "SIGKILL");
  const again = await pidOf(first, born);
  assert.ok(performance.now() - begun < 1000);
  await first[Symbol.asyncDispose]();
  const second = keep(pidFile, "98761");
  assert.equal(await pidOf(second), again);
  process.kill(again, "SIGKILL"); // not our child now
  const third = await pidOf(second, again);
  await second[Symbol.asyncDispose]();
  process.kill(third, "SIGKILL");
});

test("a pid file that names another process, or an older one of that number, is not believed", async () => {
  const pidFile = join(folder, "two.pid");
  const stat = readFileSync(`/proc/${process.pid}/stat`, "utf8");
  const startedAt = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  for (const text of [`${process.pid} ${startedAt}\n`, `${process.pid} 1\n`, "x y\n", "1 1\n"]) {
    writeFileSync(pidFile, text);
    const kept = keep(pidFile, "98762");
    const pid = await pidOf(kept);
    assert.notEqual(pid, process.pid);
    await kept[Symbol.asyncDispose]();
    process.kill(pid, "SIGKILL");
  }
});
