import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ended, start } from "../src/lib/command.ts";
import { openWorld } from "../test/support/api-world.ts";
import { median, type RowResult } from "./statistics.ts";

const ROUNDS = 21;
const MAIN = join(import.meta.dirname, "..", "src", "cli", "main.ts");

/** Whole commands, from the start of their process to its end, in turns with Node doing nothing; the API answers from memory. */
export async function measureCli(): Promise<RowResult> {
  const home = mkdtempSync(join(tmpdir(), "stator-bench-cli-"));
  await using world = await openWorld();
  try {
    await world.deployed("hello");
    // As bin/stator sets it.
    const NODE_COMPILE_CACHE = join(home, ".cache", "stator");
    const env = { HOME: home, NODE_COMPILE_CACHE, STATOR_URL: world.url, STATOR_TOKEN: world.token };
    const commands = {
      "node -e 0": ["-e", "0"],
      "stator --version": [MAIN, "--version"],
      "stator apps": [MAIN, "apps"],
      "stator ps": [MAIN, "ps", "-a", "hello"],
    };
    const values = new Map(Object.keys(commands).map((who) => [who, [] as number[]]));
    for (const args of Object.values(commands)) await timeOf(args, env); // fills the compile cache
    for (let round = 0; round < ROUNDS; round++)
      for (const [who, args] of Object.entries(commands)) values.get(who)?.push(await timeOf(args, env));
    const ms = (who: keyof typeof commands) => median(values.get(who) ?? []);
    const slowest = Math.max(ms("stator apps"), ms("stator ps"));
    return {
      samples: [...values].map(([who, all]) => ({ who, unit: "ms", values: all })),
      verdicts: [
        { claim: "the slower of apps and ps", unit: "ms", value: slowest, bound: { atMost: 200 } },
        { claim: "the same, over node -e 0", unit: "times", value: slowest / ms("node -e 0"), bound: { atMost: 5 } },
      ],
      notes: ["With the compile cache that a first call leaves in ~/.cache/stator."],
    };
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

async function timeOf(args: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  const began = performance.now();
  const { code } = await ended(start(process.execPath, args, { env }), "node");
  assert.equal(code, 0, args.join(" "));
  return performance.now() - began;
}
