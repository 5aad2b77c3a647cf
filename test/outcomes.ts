import { closeSync, openSync, readFileSync } from "node:fs";
import { ended, start } from "../src/lib/command.ts";

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

/** What `node --test` says at the end, without the time. */
const COUNT = /^ℹ (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) ([\d.]+)\n/gm;

/** What was done, whether it went well and how long it took; each output is in the log in one piece. */
export class Outcomes {
  readonly #lines: string[] = [];
  readonly #counts = new Map<string, number>();
  /** Of programs that failed, what their tests said. */
  readonly #failures: string[] = [];
  #failed = 0;

  /** Runs a program whose output is seen as it comes: nothing else runs meanwhile. True: status 0. */
  shown(title: string, command: Command): Promise<boolean> {
    say(`\n=== ${title}\n`);
    return this.#take(title, async () => (await statusOf(command, "inherit")) === 0);
  }

  /** Runs a program whose output is shown when it has ended, since others run beside it; until then `file` holds it. */
  async whole(title: string, command: Command, file: string): Promise<boolean> {
    say(`begun  ${title}\n`);
    const began = performance.now();
    const isGood = await this.#take(title, async () => {
      const output = openSync(file, "w"); // no pipe: a process that stays would keep it open
      try {
        return (await statusOf(command, output)) === 0;
      } finally {
        closeSync(output);
      }
    });
    const text = readFileSync(file, "utf8").replaceAll(COUNT, (_, name: string, count: string) => {
      this.#counts.set(name, (this.#counts.get(name) ?? 0) + Number(count));
      return "";
    });
    if (!isGood) this.#failures.push(`=== ${title}\n${failuresIn(text)}\n`);
    say(`\n=== ${title}: ${isGood ? "ok" : "FAILED"} after ${secondsSince(began)} s\n${text}\n`);
    return isGood;
  }

  /** Does it, maybe beside others; what it throws is its failure. */
  work(title: string, action: () => Promise<unknown>): Promise<boolean> {
    say(`begun  ${title}\n`);
    return this.#take(title, async () => {
      await action();
      return true;
    });
  }

  add(title: string, isGood: boolean, seconds = 0): boolean {
    if (!isGood) this.#failed++;
    this.#lines.push(`${isGood ? "ok    " : "FAILED"} ${String(seconds).padStart(4)} s  ${title}\n`);
    return isGood;
  }

  /** Prints all of them, and last, where a log is cut to its end, why some failed; the status to end with. */
  report(): number {
    const counts = [...this.#counts]
      .filter(([name]) => name !== "duration_ms")
      .map(([name, count]) => `${name} ${count}`);
    say(`\n${this.#lines.join("")}${counts.join(", ")}\n`);
    if (this.#failures.length > 0) say(`\n${this.#failures.join("\n")}\n`);
    say(`${this.#lines.length - this.#failed} passed, ${this.#failed} failed\n`);
    return this.#failed === 0 ? 0 : 1;
  }

  async #take(title: string, action: () => Promise<boolean>): Promise<boolean> {
    const began = performance.now();
    const isGood = await action().catch((error: unknown) => {
      say(`${title}: ${error instanceof Error ? error.stack : String(error)}\n`);
      return false;
    });
    return this.add(title, isGood, secondsSince(began));
  }
}

const LINES_OF_FAILURES = 40;

/** Pure. What `node --test` says again at its end about what failed, without the way through its own files; else the last lines. */
export function failuresIn(output: string): string {
  const [, again] = output.split("\n✖ failing tests:\n");
  const lines = (again ?? output)
    .trim()
    .split("\n")
    .filter((line) => !/^\s+at .*\bnode:|^\s*$/.test(line));
  return (again === undefined ? lines.slice(-LINES_OF_FAILURES) : lines.slice(0, LINES_OF_FAILURES)).join("\n");
}

const say = (text: string): boolean => process.stdout.write(text);
const secondsSince = (began: number): number => Math.round((performance.now() - began) / 1000);

async function statusOf({ program, args, env, cwd }: Command, output: "inherit" | number): Promise<number> {
  const child = start(program, args, { env, cwd, stdio: ["ignore", output, output] });
  return (await ended(child, program)).code ?? 1;
}
