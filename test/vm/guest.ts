import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ended, start } from "../../src/lib/command.ts";
import type { Machine, ShellOptions } from "./machine.ts";

/** What is there, as `apps.ts show` prints it: `ids` apart, since a reboot changes them. */
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

const NODE = "/root/node"; // a name of its own for the same file, which an uninstall leaves
// Stripping types and compiling are most of a command's time there; the tests' own runs are nobody's concern but theirs.
const INSIDE = `cd /root/stator && STATOR_TEST_MACHINE=throw-away NODE_COMPILE_CACHE=/root/compile-cache ${NODE}`;
const checkout = join(import.meta.dirname, "..", "..");
const APPS = join(import.meta.dirname, "apps.ts");
/** Where the person's side of the platform is kept that speaks to it from this host. */
const CREDENTIALS = ".config/stator/credentials.json";
const TEST_MS = 600_000;
const FILE_MS = 1_800_000;
const TEST_OPTIONS = ["--test", `--test-timeout=${TEST_MS}`, "--test-reporter=spec"];

/** The machine with Stator in it, as the steps see it. */
export class Guest {
  readonly machine: Machine;
  readonly #folder: string;
  #deployed: Promise<string> | undefined;
  #standing: Shown | undefined;

  /** `folder`: for the person who speaks to the platform from outside. */
  constructor(machine: Machine, folder: string) {
    this.machine = machine;
    this.#folder = join(folder, "person");
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

  /**
   * Once `bin/up` has been there: a Node of our own, the dependencies of the tests' own `stator`, which is the checkout's, and for the tests
   * outside the person's token. Throws unless `examples/hello` answers.
   */
  async prepare(): Promise<void> {
    await this.ask(`ln -f /opt/stator/current/toolchain/node_modules/node-linux-*/bin/node ${NODE}`);
    await this.ask("ln -sfn /opt/stator/current/node_modules /root/stator/node_modules");
    const saved = JSON.parse(await this.ask(`cat /root/${CREDENTIALS}`)) as Record<string, unknown>;
    const [mine] = Object.values(saved);
    const path = join(this.#folder, CREDENTIALS);
    mkdirSync(join(path, ".."), { recursive: true, mode: 0o700 });
    writeFileSync(path, JSON.stringify({ [`http://127.0.0.1:${this.machine.ports.api}`]: mine }), { mode: 0o600 });
    await this.ask(
      "curl -sS -f -m 300 --retry 10 --retry-connrefused -H 'Host: hello.localhost' http://127.0.0.1/",
      600_000,
    );
  }

  /** Runs tests of a file inside, those whose names match. Gives how many passed. */
  async testInside(file: string, only: string | undefined): Promise<string> {
    const pattern = only === undefined ? [] : [`--test-name-pattern='${only}'`];
    const line = [INSIDE, ...TEST_OPTIONS, ...pattern, file].join(" ");
    return passed(await this.machine.shell(line, { timeoutMs: FILE_MS }));
  }

  /**
   * The same on this host, against the platform inside: what the tests' own programs do is not emulated. For files that see the platform as
   * its users do, by its API, git and router.
   */
  async testOutside(file: string, only: string | undefined): Promise<string> {
    const pattern = only === undefined ? [] : [`--test-name-pattern=${only}`];
    return passed(await this.#outside([...TEST_OPTIONS, ...pattern, file], { timeoutMs: FILE_MS }));
  }

  /** Node here, as a person's elsewhere who reaches the platform by its forwarded ports. */
  async #outside(args: readonly string[], options: ShellOptions): Promise<Outside> {
    const { ports, ssh } = this.machine;
    const own = Object.entries(process.env).filter(
      (pair): pair is [string, string] => pair[1] !== undefined && !/^(STATOR_|NODE_TEST_)/.test(pair[0]),
    );
    const child = start(process.execPath, args, {
      cwd: checkout,
      env: {
        ...Object.fromEntries(own),
        HOME: this.#folder,
        STATOR_HOME: join(this.#folder, "none"),
        STATOR_API_PORT: String(ports.api),
        STATOR_HTTP_PORT: String(ports.http),
        STATOR_TEST_SSH: JSON.stringify(ssh),
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [output, stdout] = ["", ""];
    const take = (text: string) => {
      output += text;
      options.onOutput?.(text);
    };
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      take(text);
    });
    child.stderr?.setEncoding("utf8").on("data", take);
    const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs);
    const { code } = await ended(child, "node");
    clearTimeout(timer);
    return { code, output, stdout };
  }

  async #apps(args: readonly string[], timeoutMs = 300_000): Promise<string> {
    const { code, output, stdout } = await this.#outside([APPS, ...args], { timeoutMs });
    if (code !== 0) throw new Error(`status ${code}: ${args.join(" ")}\n${output}`);
    return stdout.trim();
  }

  /** Deploys the apps that must outlive everything; once. */
  deploy(): Promise<string> {
    this.#deployed ??= this.#apps(["make"], 600_000);
    return this.#deployed;
  }

  /** What is there of them before it is put to the test. */
  async standing(): Promise<Shown> {
    await this.deploy();
    this.#standing ??= await this.shown();
    return this.#standing;
  }

  /** What is there; with `expected`, as soon as it is so, and else as it is after so many seconds. */
  async shown(expected?: unknown, forSeconds = 0): Promise<Shown> {
    const text = expected === undefined ? "" : JSON.stringify(expected);
    return JSON.parse(await this.#apps(["show", text, String(forSeconds)], (forSeconds + 180) * 1000)) as Shown;
  }

  /** Begins to write through the API, one value after the other, until the machine is gone. */
  acknowledging(): Writing {
    let [output, hasEnded] = ["", false];
    const program = this.#outside([APPS, "write"], { timeoutMs: 300_000, onOutput: (text) => (output += text) });
    return {
      last: () => Number([...output.matchAll(/^(\d+)\r?\n/gm)].at(-1)?.[1] ?? 0), // the last line may be why it ended
      output: () => output,
      hasEnded: () => hasEnded,
      ended: program.then(() => void (hasEnded = true)),
    };
  }

  /** The value that is there. */
  async acknowledged(): Promise<number> {
    return Number(await this.#apps(["written"]));
  }

  /** What runs as our services: a program and its arguments each. */
  async mainProcesses(): Promise<readonly string[]> {
    const line = `for unit in $(systemctl list-units --type=service --state=running --no-legend --plain 'stator-*' | cut -d' ' -f1); do
      tr '\\0' ' ' < /proc/$(systemctl show -p MainPID --value $unit)/cmdline; echo; done`;
    return (await this.ask(line)).split("\n");
  }

  leftovers(): Promise<string> {
    return this.ask(`${INSIDE} test/vm/inside/leftovers.ts`);
  }

  route6(): Promise<string> {
    return this.ask("ip -6 route show default | cut -d' ' -f1-5"); // without the seconds it is good for
  }
}

interface Outside {
  readonly code: number | null;
  /** Both streams. */
  readonly output: string;
  readonly stdout: string;
}

/** How many of the tests passed. Throws with all that they said if one did not. */
function passed({ code, output }: { readonly code: number | null; readonly output: string }): string {
  const count = Number(/\bpass (\d+)/.exec(output)?.[1]);
  if (code !== 0 || !(count > 0)) throw new Error(`status ${code}, ${count} passed\n${output}`);
  process.stdout.write(output.replace(/^ℹ (tests|suites|cancelled|skipped|todo|pass|fail) .*\n/gm, ""));
  return `${count} tests`;
}
