import { connect, type Socket } from "node:net";
import type { Clock } from "../lib/clock.ts";

const ANSWER_MS = 5_000;
const PROMPT = "\n> ";

/**
 * A conversation with the worker that has `stats.sock` when it begins. It stays that one's when a reload gives the socket to
 * another, and goes on while the master begins anew and answers nobody.
 */
export class HaproxyTalk implements Disposable {
  readonly #socket: Socket;
  readonly #clock: Clock;
  #text = "";
  #wake = (): void => {};

  private constructor(socket: Socket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    socket.setEncoding("utf8");
    socket.on("error", () => {}); // whoever waits is told by the close
    socket.on("close", () => this.#wake());
    socket.on("data", (text: string) => {
      this.#text += text;
      this.#wake();
    });
  }

  /** Throws if nobody answers. */
  static async open(path: string, clock: Clock): Promise<HaproxyTalk> {
    const talk = new HaproxyTalk(connect(path), clock);
    await talk.ask(["prompt"]);
    return talk;
  }

  /** The answers to commands, which must fit a line of HAProxy's together; one call after the other. Throws if the worker is gone. */
  async ask(commands: readonly string[]): Promise<readonly string[]> {
    this.#text = "";
    this.#socket.write(`${commands.join(";")}\n`);
    const late = new AbortController();
    this.#clock.sleep(ANSWER_MS, late.signal).then(
      () => this.#socket.destroy(),
      () => {}, // answered
    );
    for (;;) {
      const answers = splitPrompts(this.#text);
      if (answers.length >= commands.length || this.#socket.destroyed) late.abort();
      if (answers.length >= commands.length) return answers;
      if (this.#socket.destroyed) throw new Error("HAProxy's worker hung up");
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

/** What a worker answered to each command, as far as it has come: behind each stands a prompt. */
export function splitPrompts(text: string): readonly string[] {
  return text
    .split(PROMPT)
    .slice(0, -1)
    .map((answer) => answer.trimEnd());
}
