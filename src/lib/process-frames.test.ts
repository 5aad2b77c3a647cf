import assert from "node:assert/strict";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { type SimProcess, simProcess } from "../engine/sim/process.ts";
import { processOver } from "./process-frames.ts";

const request = { command: "", setting: "dyno", env: {}, terminal: null } as const;
const started = (program: SimProcess, options = {}, life = new AbortController().signal) =>
  processOver(simProcess(program, request, life), options);

const cat: SimProcess = async ({ stdin, stdout }) => {
  for await (const chunk of stdin) stdout(chunk as Buffer);
  return 7;
};

test("input of any length goes in on credit and comes out whole, with the status", async () => {
  const process = started(cat);
  const sent = "x".repeat(3_000_000);
  process.stdin.end(sent);
  const [out, err, status] = await Promise.all([text(process.stdout), text(process.stderr), process.exited]);
  assert.deepEqual([out === sent, err, status], [true, "", 7]);
});

test("a process that reads nothing stops the writer, and is told of a resize, a signal and the hang-up all the same", async () => {
  let parts: Parameters<SimProcess>[0] | undefined;
  const process = started(async (given) => {
    parts = given;
    await new Promise((resolve) => given.gone.addEventListener("abort", resolve));
    return 129;
  });
  parts?.stdin.pause();
  const written = new Promise((resolve) => process.stdin.write("x".repeat(10_000_000), resolve));
  process.resize({ rows: 40, columns: 100 });
  process.signal("INT");
  while (parts?.told.length !== 2) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(parts.told, ["resize 40 100", "signal INT"]);
  process.close();
  assert.equal(await process.exited, null, "nobody saw its end any more");
  assert.equal(parts.gone.aborted, true);
  await written;
});

test("with a terminal the end of the input is typed", async () => {
  const seen: string[] = [];
  const process = started(
    async ({ stdin }) => {
      for await (const chunk of stdin) {
        seen.push(String(chunk));
        if (seen.at(-1)?.includes("\u0004")) break;
      }
      return 0;
    },
    { isTerminal: true },
  );
  process.stdin.end("typed");
  assert.equal(await process.exited, 0);
  assert.equal(seen.join(""), "typed\u0004");
});

test("standard error goes its own way, and an output that nobody wants does not hold up the other", async () => {
  const process = started(async ({ stdout, stderr }) => {
    for (let part = 0; part < 100; part++) stdout("x".repeat(30_000));
    stderr("failed");
    return 1;
  });
  process.stdout.destroy();
  assert.deepEqual([await text(process.stderr), await process.exited], ["failed", 1]);
});
