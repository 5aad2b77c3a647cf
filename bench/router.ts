import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { thisMachine } from "./machine.ts";
import { isMet, type RowResult } from "./statistics.ts";
import { type MeasuredRow, render } from "./table.ts";

/**
 * `npm run bench:router`: what is promised of the router, with its peers in the same run. Needs root, and what
 * `bench/install-peers` brings; no instance is installed.
 *
 *     npm run bench:router -- [rate | scale]... [--rounds N] [--seconds N] [--json FILE] [--strict]
 */
const USAGE = "npm run bench:router -- [rate | scale]... [--rounds N] [--seconds N] [--json FILE] [--strict]";
const ROWS = [
  {
    id: "rate",
    what: "a trivial app through the router, plain HAProxy, nginx, and reached directly",
    measure: async (rounds: number, seconds: number) => (await import("./router-rate.ts")).measureRate(rounds, seconds),
  },
  {
    id: "scale",
    what: "2,000 apps, 10,000 domains, 10,000 dynos in one configuration",
    measure: async (rounds: number) => (await import("./router-scale.ts")).measureScale(rounds),
  },
] as const;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: "string", default: "7" },
      seconds: { type: "string", default: "4" },
      json: { type: "string" },
      strict: { type: "boolean", default: false },
    },
  });
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
  const isKnown = positionals.every((name) => ROWS.some(({ id }) => id === name));
  if (!isKnown || !Number.isSafeInteger(rounds) || rounds < 1 || !Number.isSafeInteger(seconds) || seconds < 1)
    return say(USAGE, 2);
  if (process.getuid?.() !== 0) return say("The router is measured as root: HAProxy runs as a user of its own.", 1);
  const rows: MeasuredRow[] = [];
  for (const { id, what, measure } of ROWS) {
    if (positionals.length > 0 && !positionals.includes(id)) continue;
    process.stderr.write(`measuring ${id}...\n`);
    const failed = (error: unknown): RowResult & { readonly failure: string } => {
      process.stderr.write(`${id}: ${error instanceof Error ? error.stack : String(error)}\n`);
      return { samples: [], verdicts: [], notes: [], failure: String(error) };
    };
    rows.push({ id, what, ...(await measure(rounds, seconds).catch(failed)) });
  }
  const machine = await thisMachine(["haproxy", "nginx", "wrk"]);
  process.stdout.write(`${render(machine, rows)}\n`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ machine, rows }, null, 2)}\n`);
  const missed = rows.some(
    ({ failure, verdicts }) => failure !== undefined || verdicts.some((each) => isMet(each) !== true),
  );
  return values.strict && missed ? 1 : 0;
}

function say(text: string, status: number): number {
  process.stderr.write(`${text}\n`);
  return status;
}

process.exitCode = await main();
