import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { silentLogger } from "../../lib/logger.ts";
import { SimClock } from "../../lib/sim-clock.ts";
import { Isolations } from "./isolations.ts";

let folder = "";
let clock: SimClock;
let trials = 0;
let trialError: Error | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "stator-isolations-"));
  clock = new SimClock();
  trials = 0;
  trialError = undefined;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (architecture = "x64") =>
  new Isolations({
    tryGvisor: async () => {
      trials++;
      if (trialError) throw trialError;
    },
    remembered: join(folder, "remembered"),
    clock,
    logger: silentLogger,
    program: join(folder, "runsc"),
    architecture,
  });

/** Another program each time: its size tells. */
function install(version: string, comment = ""): void {
  const text = `#!/usr/bin/perl\nprint "runsc version 0.0~${version}.0\\n"; # ${comment}\n`;
  writeFileSync(join(folder, "runsc"), text, { mode: 0o755 });
}

test("containers are always there; gVisor where its program is, is new enough, and a dyno started with it", async () => {
  const isolations = open();
  assert.equal(await isolations.refusal("container"), null);
  assert.match((await isolations.refusal("gvisor")) ?? "", /not installed/);
  install("20221219");
  assert.match((await isolations.refusal("gvisor")) ?? "", /too old/);
  assert.equal(trials, 0);
  install("20240729", "seen without a restart");
  assert.deepEqual(await Promise.all([isolations.refusal("gvisor"), isolations.refusal("gvisor")]), [null, null]);
  assert.equal(await isolations.refusal("gvisor"), null);
  assert.equal(trials, 1, "tried once");
  assert.equal(await open().refusal("gvisor"), null);
  assert.equal(trials, 1, "and remembered by the next host process");
  rmSync(join(folder, "runsc"));
  assert.match((await isolations.refusal("gvisor")) ?? "", /not installed/);
  assert.match((await open("arm64").refusal("gvisor")) ?? "", /amd64 only/);
});

test("a trial that failed is the refusal; it is made again after a minute, and at once with another program", async () => {
  const isolations = open();
  install("20240729");
  trialError = new Error("no namespaces left");
  assert.match((await isolations.refusal("gvisor")) ?? "", /no namespaces left/);
  assert.match((await isolations.refusal("gvisor")) ?? "", /no namespaces left/);
  assert.equal(trials, 1);
  install("20240729", "another one");
  assert.match((await isolations.refusal("gvisor")) ?? "", /no namespaces left/);
  assert.equal(trials, 2);
  trialError = undefined;
  await clock.advance(60_000);
  assert.equal(await isolations.refusal("gvisor"), null);
  assert.equal(trials, 3);
});
