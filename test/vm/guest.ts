import type { Machine } from "./machine.ts";

/** What is there, as `inside/apps.ts show` prints it: `ids` apart, since a reboot changes them. */
export interface Shown {
  readonly as: unknown;
  readonly ids: readonly string[];
}

/** Writes that are on their way until the machine goes. */
export interface Writing {
  /** The last one that was answered with 2xx. */
  last(): number;
  output(): string;
  hasEnded(): boolean;
  readonly ended: Promise<void>;
}

const NODE = "/root/node"; // a copy, which an uninstall leaves
// Stripping types and compiling are most of a command's time there; the tests' own runs are nobody's concern but theirs.
const INSIDE = `cd /root/stator && STATOR_TEST_MACHINE=throw-away NODE_COMPILE_CACHE=/root/compile-cache ${NODE}`;
const APPS = `${INSIDE} test/vm/inside/apps.ts`;
const TEST_MS = 600_000;
const FILE_MS = 1_800_000;

/** The machine with Stator in it, as the steps see it. */
export class Guest {
  readonly machine: Machine;
  #standing: Shown | undefined;

  constructor(machine: Machine) {
    this.machine = machine;
  }

  /** Runs a command line as root inside; its output. Throws unless it ends with 0. */
  async ask(commandLine: string, timeoutMs = 120_000): Promise<string> {
    const { code, output } = await this.machine.shell(commandLine, { timeoutMs });
    if (code !== 0) throw new Error(`status ${code}\n$ ${commandLine}\n${output}`);
    return output.trim();
  }

  /** The last that our processes warned of: the machine is gone when somebody asks why. */
  async warnings(): Promise<string> {
    const { output } = await this.machine.shell(
      `journalctl -u 'stator-*' -o cat --no-pager -n 2000 | grep -E '"level":"(warn|error)"' | tail -n 6 | cut -c1-500`,
    );
    return output.trim();
  }

  /** Once `bin/up` has been there: a Node of our own, and the dependencies of the tests' own `stator`, which is the checkout's. */
  async prepare(): Promise<void> {
    await this.ask(`cp /opt/stator/current/toolchain/node_modules/node-linux-*/bin/node ${NODE}`);
    await this.ask("ln -sfn /opt/stator/current/node_modules /root/stator/node_modules");
  }

  /** Runs tests of a file inside, those whose names match. Gives how many passed. */
  async test(file: string, only: string | undefined): Promise<string> {
    const pattern = only === undefined ? "" : ` --test-name-pattern='${only}'`;
    const options = `--test --test-timeout=${TEST_MS} --test-reporter=spec${pattern}`;
    const { code, output } = await this.machine.shell(`${INSIDE} ${options} ${file}`, {
      timeoutMs: FILE_MS,
      onOutput: (text) => void process.stdout.write(text),
    });
    const passed = Number(/\bpass (\d+)/.exec(output)?.[1]);
    if (code !== 0 || !(passed > 0)) throw new Error(`status ${code}, ${passed} passed`);
    return `${passed} tests`;
  }

  /** The apps that must outlive everything; deployed when they are first asked for. */
  async standing(): Promise<Shown> {
    if (this.#standing === undefined) {
      await this.ask(`${APPS} make`, 300_000);
      this.#standing = await this.shown();
    }
    return this.#standing;
  }

  /** What is there; with `expected`, as soon as it is so, and else as it is after so many seconds. */
  async shown(expected?: unknown, forSeconds = 0): Promise<Shown> {
    const text = expected === undefined ? "" : JSON.stringify(expected).replaceAll("'", "'\\''");
    return JSON.parse(await this.ask(`${APPS} show '${text}' ${forSeconds}`, (forSeconds + 180) * 1000)) as Shown;
  }

  /** Begins to write through the API, one value after the other, until the machine is gone. */
  acknowledging(): Writing {
    let [output, hasEnded] = ["", false];
    const shell = this.machine.shell(`${APPS} write`, { timeoutMs: 300_000, onOutput: (text) => (output += text) });
    return {
      last: () => Number([...output.matchAll(/^(\d+)\r?\n/gm)].at(-1)?.[1] ?? 0), // ssh adds a word about its end
      output: () => output,
      hasEnded: () => hasEnded,
      ended: shell.then(() => void (hasEnded = true)),
    };
  }

  /** The value that is there. */
  async acknowledged(): Promise<number> {
    return Number(await this.ask(`${APPS} written`, 300_000));
  }

  leftovers(): Promise<string> {
    return this.ask(`${INSIDE} test/vm/inside/leftovers.ts`);
  }

  route6(): Promise<string> {
    return this.ask("ip -6 route show default | cut -d' ' -f1-5"); // without the seconds it is good for
  }
}
