import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../lib/clock.ts";
import { ended, start } from "../lib/command.ts";
import { lineOf } from "./segment.ts";
import { RawWriter, temporaryFolder } from "./testing.ts";

const LINES = 30_000;
const KILLS = 6;

/** A daemon's log hub in a process of its own, which can be killed. */
const READER = `
import { openLogs } from ${JSON.stringify(join(import.meta.dirname, "hub.ts"))};
import { trimRaw } from ${JSON.stringify(join(import.meta.dirname, "testing.ts"))};
import { systemClock } from ${JSON.stringify(join(import.meta.dirname, "../lib/clock.ts"))};
import { jsonLogger } from ${JSON.stringify(join(import.meta.dirname, "../lib/logger.ts"))};
const [folder, rawFolder, isEnded] = process.argv.slice(2);
const engine = { trimLog: async (id, segment) => trimRaw(rawFolder, id, segment) };
const hub = await openLogs({ folder, rawFolder, engine, clock: systemClock, logger: jsonLogger("reader") });
hub.follow({ id: "dyno", appId: "app", name: "web.1" });
if (isEnded === "ended") {
  await hub.ended("dyno", new AbortController().signal);
  await hub[Symbol.asyncDispose]();
} else {
  process.stdout.write("reading\\n");
  setInterval(() => {}, 1000);
}
`;

test("promise: no line of a flooding dyno is lost or there twice when the daemon is killed again and again", async () => {
  await using home = await temporaryFolder();
  const [folder, rawFolder, script] = ["logs", "raw", "reader.ts"].map((name) => join(home.path, name)) as [
    string,
    string,
    string,
  ];
  await mkdir(rawFolder);
  await writeFile(script, READER);
  const reader = (...more: string[]) =>
    start(process.execPath, [script, folder, rawFolder, ...more], { stdio: ["ignore", "pipe", "inherit"] });
  using raw = new RawWriter(rawFolder, "dyno");
  let written = 0;
  const write = (count: number) => {
    for (const end = Math.min(written + count, LINES); written < end; written++) {
      if (written % 7 === 0) raw.piece("n");
      raw.write(written % 7 === 0 ? String(written) : `n${written}`);
      if (written % 3_000 === 2_000) raw.rename();
      if (written % 3_000 === 2_100) raw.reopen();
    }
  };
  for (let kill = 0; kill < KILLS; kill++) {
    const child = reader();
    const end = ended(child, "reader");
    await new Promise((resolve) => child.stdout?.once("data", resolve));
    const until = written + LINES / KILLS;
    while (written < until && written < LINES) {
      write(500);
      await systemClock.sleep(kill, new AbortController().signal); // killed at another point of its work each time
    }
    child.kill("SIGKILL");
    await end;
  }
  write(LINES);
  const last = await ended(reader("ended"), "reader");
  assert.equal(last.code, 0);
  const lines: string[] = [];
  const segments = (await readdir(join(folder, "app"))).sort();
  for (const name of segments) {
    const text = await readFile(join(folder, "app", name), "utf8");
    for (const record of text.split("\n")) {
      const line = lineOf(record);
      if (line) assert.equal(lines.push(line.text), line.id, "ids without a gap");
    }
  }
  assert.deepEqual(
    lines,
    Array.from({ length: LINES }, (_, n) => `n${n}`),
  );
  assert.ok(!existsSync(join(rawFolder, "dyno.log.5")), "what was carried over was deleted");
});
