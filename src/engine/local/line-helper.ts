import { createInterface } from "node:readline";
import { addAbortListener, timeLimit } from "../../lib/abort.ts";
import { type ChildProcess, start } from "../../lib/command.ts";

export interface LineHelperOptions {
  /** Perl; part of the program. It reads `<number> <question>` lines and prints `<number> <answer>` for each. */
  readonly script: string;
  /** What the script is told, so that its argument vector is constant. */
  readonly env: Readonly<Record<string, string>>;
}

const ANSWER_MS_MAX = 5000;

/** A small program that lives as long as we do, for calls that Node does not have: a new one for each call would cost 5 ms. */
export class LineHelper implements AsyncDisposable {
  readonly #options: LineHelperOptions;
  #child: ChildProcess | undefined;
  #counter = 0;
  readonly #waiting = new Map<string, (answer: string) => void>();

  constructor(options: LineHelperOptions) {
    this.#options = options;
  }

  /** Gives what follows `ok` in the answer; throws with any other answer. */
  async ask(question: string): Promise<string> {
    const number = String(this.#counter++);
    using limit = timeLimit(ANSWER_MS_MAX, "no answer in time");
    using _late = addAbortListener(limit.signal, () => this.#answer(number, "no answer in time"));
    const answer = await new Promise<string>((resolve) => {
      this.#waiting.set(number, resolve);
      this.#running().stdin?.write(`${number} ${question}\n`);
    });
    if (answer !== "ok" && !answer.startsWith("ok ")) throw new Error(`${question}: ${answer}`);
    return answer.slice("ok ".length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child?.stdin?.end();
    this.#child = undefined;
  }

  #answer(number: string, text: string): void {
    const resolve = this.#waiting.get(number);
    this.#waiting.delete(number);
    resolve?.(text);
  }

  #running(): ChildProcess {
    return (this.#child ??= this.#begin());
  }

  #begin(): ChildProcess {
    const { script, env } = this.#options;
    const child = start("perl", [script], { env, stdio: ["pipe", "pipe", "ignore"] });
    const gone = () => {
      if (this.#child === child) this.#child = undefined; // the next one asks a new one
      for (const number of this.#waiting.keys()) this.#answer(number, "the helper ended");
    };
    child.once("error", gone);
    child.once("exit", gone);
    child.stdin?.on("error", () => {}); // its end is seen above
    if (child.stdout) {
      createInterface({ input: child.stdout }).on("line", (text) => {
        const [number = "", ...rest] = text.split(" ");
        this.#answer(number, rest.join(" ").trim());
      });
    }
    return child;
  }
}
