import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { ownInstance } from "./instance.ts";
import { thisMachine } from "./machine.ts";
import { ROWS, type RowSpec } from "./rows.ts";
import { isMet } from "./statistics.ts";
import { type MeasuredRow, render } from "./table.ts";

/**
 * `npm run bench`: every promise of speed, measured on this machine with its peers in the same run, as one table.
 *
 *     npm run bench -- [ROW]... [--rounds N] [--json FILE] [--no-peers] [--strict]
 *
 * The instance it measures is its own: installed before, taken away after. Only the rows `plan`, `api` and `cli` need no root.
 */
const USAGE = `npm run bench -- [ROW]... [--rounds N] [--json FILE] [--no-peers] [--strict]\nRows: ${ROWS.map(({ id }) => id).join(" ")}`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: "string", default: "30" },
      json: { type: "string" },
      "no-peers": { type: "boolean", default: false },
      strict: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return say(USAGE, 0);
  const unknown = positionals.filter((name) => !ROWS.some(({ id }) => id === name));
  const rounds = Number(values.rounds);
  if (unknown.length > 0) return say(`No such row: ${unknown.join(", ")}.\n${USAGE}`, 2);
  if (!Number.isSafeInteger(rounds) || rounds < 1)
    return say(`--rounds ${values.rounds}: a whole number, at least 1.`, 2);
  const chosen = ROWS.filter(({ id }) => positionals.length === 0 || positionals.includes(id));
  if (chosen.some(({ needsRoot }) => needsRoot) && process.getuid?.() !== 0)
    return say(
      "The benchmark installs an instance of its own, which needs root. Without: npm run bench -- plan api cli",
      1,
    );

  const rows = await measureAll(chosen, rounds, !values["no-peers"]);
  const machine = await thisMachine(["crun", "runc", "conmon", "docker", "podman", "haproxy"]);
  process.stdout.write(`${render(machine, rows)}\n`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ machine, rows }, null, 2)}\n`);
  const missed = rows.filter(
    ({ failure, verdicts }) => failure !== undefined || verdicts.some((each) => isMet(each) !== true),
  );
  return values.strict && missed.length > 0 ? 1 : 0;
}

async function measureAll(chosen: readonly RowSpec[], rounds: number, peers: boolean): Promise<readonly MeasuredRow[]> {
  const rows: MeasuredRow[] = [];
  const measured = async ({ id, what }: RowSpec, measure: () => Promise<Omit<MeasuredRow, "id" | "what">>) => {
    process.stderr.write(`measuring ${id}...\n`);
    const failed = (error: unknown) => {
      process.stderr.write(`${id}: ${error instanceof Error ? error.stack : String(error)}\n`);
      return { samples: [], verdicts: [], notes: [], failure: String(error) };
    };
    rows.push({ id, what, ...(await measure().catch(failed)) });
  };
  const rooted = chosen.filter((row) => row.needsRoot);
  if (rooted.length > 0) {
    await using _instance = await ownInstance();
    const { openBench } = await import("./open.ts"); // it reads the instance from the environment
    // Peers' daemons stand only while they are compared with: what they hold and do is no part of the other rows.
    for (const needsPeers of [true, false]) {
      const those = rooted.filter((row) => row.needsPeers === needsPeers);
      if (those.length === 0) continue;
      await using bench = await openBench(rounds, peers && needsPeers);
      for (const row of those) await measured(row, async () => (await row.load())(bench));
    }
  }
  for (const row of chosen) if (!row.needsRoot) await measured(row, async () => (await row.load())());
  return rows.toSorted((a, b) => indexOf(a.id) - indexOf(b.id));
}

const indexOf = (id: string): number => ROWS.findIndex((row) => row.id === id);

function say(text: string, status: number): number {
  (status === 0 ? process.stdout : process.stderr).write(`${text}\n`);
  return status;
}

process.exitCode = await main();
