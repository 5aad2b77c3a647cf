import { connect } from "node:net";
import type { Clock } from "../lib/clock.ts";
import type { Command, Worker, WorkerServer } from "./haproxy-commands.ts";
import { BACKEND_NAME, eachMap, type HaproxyLayout, MAP_NAMES, mapPath } from "./haproxy-config.ts";

const ANSWER_MS = 5_000;
/** A line of commands must fit HAProxy's buffer of 16 kB. */
const LINE_BYTES_MAX = 8_000;

/**
 * Speaks to the workers of one HAProxy through its master's socket. Each command names the worker's pid, so that during a
 * reload none reaches the wrong one.
 */
export class HaproxySocket {
  readonly #path: string;
  readonly #clock: Clock;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  /** The worker that takes new connections, and those that make way. Throws while there is none. */
  async workers(): Promise<{ readonly current: number; readonly old: readonly number[] }> {
    const [current = "", old = ""] = (await this.#ask("show proc")).split("# old workers");
    const pids = (text: string) => [...text.matchAll(/^(\d+)\s+worker\s/gm)].map((match) => Number(match[1]));
    const [pid] = pids(current);
    if (pid === undefined) throw new Error("HAProxy has no worker");
    return { current: pid, old: pids(old) };
  }

  /** Sends commands in order. Throws at the first answer that is not as expected; what went before it has taken effect. */
  async apply(worker: Worker, commands: readonly Command[]): Promise<void> {
    await applyBy((texts) => this.#askEach(worker.pid, texts), worker, commands);
  }

  /** Sends commands of which each is answered with one line (`del server`) and may fail by itself. */
  async tryEach(worker: Worker, commands: readonly Command[]): Promise<void> {
    for (const batch of batches(commands)) {
      const text = await this.#ask(batch.map((command) => `@!${worker.pid} ${command.text}`).join(";"));
      const answers = splitLines(text, batch.length);
      for (const [index, command] of batch.entries())
        if (command.expected.test(answers[index] ?? "no answer")) command.apply(worker);
    }
  }

  /** One command, which may have content: lines after `<<`, until an empty one. */
  async one(pid: number, text: string): Promise<string> {
    return (await this.#askEach(pid, [text]))[0] ?? "no answer";
  }

  /** Everything that a worker has, asked of itself. */
  async look(pid: number, layout: HaproxyLayout): Promise<Worker> {
    const backends = await this.#ask(`@!${pid} show backend`);
    const servers = await this.#ask(`@!${pid} show servers state`);
    const maps = eachMap(() => new Map<string, string>());
    for (const name of MAP_NAMES) {
      const text = await this.#ask(`@!${pid} show map ${mapPath(layout, name)}`);
      for (const [, key = "", value = ""] of text.matchAll(/^0x[0-9a-f]+ (\S+) (\S+)$/gm)) maps[name].set(key, value);
    }
    return {
      pid,
      backends: new Set([...backends.matchAll(/^[al]\d+$/gm)].map(([name]) => name)),
      servers: new Map(parseServers(servers)),
      maps,
      told: new Map(),
    };
  }

  async #askEach(pid: number, commands: readonly string[]): Promise<readonly string[]> {
    return splitAnswers(await this.#ask(commands.map((text) => `@!${pid} ${text}`).join(";")));
  }

  #ask(line: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const answered = new AbortController();
      const socket = connect(this.#path);
      const chunks: Buffer[] = [];
      this.#clock.sleep(ANSWER_MS, answered.signal).then(
        () => socket.destroy(new Error(`HAProxy gave no answer to ${line.slice(0, 100)}`)),
        () => {}, // answered
      );
      socket.on("data", (chunk: Buffer) => chunks.push(chunk));
      socket.once("error", reject);
      socket.once("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
      socket.once("close", () => {
        answered.abort();
        reject(new Error("HAProxy hung up")); // of no effect once resolved
      });
      socket.end(`${line}\n`);
    });
  }
}

/** `HaproxySocket.apply`, whoever carries commands and answers. */
export async function applyBy(
  ask: (texts: readonly string[]) => Promise<readonly string[]>,
  worker: Worker,
  commands: readonly Command[],
): Promise<void> {
  for (const batch of batches(commands)) {
    const answers = await ask(batch.map(({ text }) => text));
    for (const [index, command] of batch.entries()) {
      const answer = answers[index] ?? "no answer";
      if (!command.expected.test(answer)) throw new Error(`HAProxy answered ${command.text} with: ${answer}`);
      command.apply(worker);
    }
  }
}

/** The answers to commands joined by `;`: each ends with an empty line. */
export function splitAnswers(text: string): readonly string[] {
  const answers: string[] = [];
  let lines: string[] = [];
  for (const line of text.split("\n").slice(0, -1)) {
    if (line !== "") lines.push(line);
    else {
      answers.push(lines.join("\n"));
      lines = [];
    }
  }
  return answers;
}

/** The answers to commands of which each has one line, with no empty one behind it; none if they are not as many as commands. */
export function splitLines(text: string, count: number): readonly string[] {
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.length === count ? lines : [];
}

/** `show servers state`: one line for each server, with columns named in the second. */
export function parseServers(text: string): readonly (readonly [string, WorkerServer])[] {
  return text.split("\n").flatMap((line) => {
    const columns = line.split(" ");
    const [, backend = "", , name = "", address = "", , admin = ""] = columns;
    if (!BACKEND_NAME.test(backend)) return [];
    return [[`${backend}/${name}`, { address: `${address}:${columns[18] ?? ""}`, up: admin === "0" }] as const];
  });
}

/** `show stat` of servers: the names of those that have sessions. */
export function parseBusy(text: string): readonly string[] {
  const [head = "", ...lines] = text.split("\n");
  const columns = head.replace(/^# /, "").split(",");
  const [name, sessions] = [columns.indexOf("svname"), columns.indexOf("scur")];
  return lines
    .map((line) => line.split(","))
    .flatMap((cells) => (Number(cells[sessions]) > 0 ? [cells[name] ?? ""] : []));
}

function batches(commands: readonly Command[]): readonly (readonly Command[])[] {
  const all: Command[][] = [];
  let size = Number.POSITIVE_INFINITY;
  for (const command of commands) {
    const bytes = command.text.length + 16;
    if (size + bytes > LINE_BYTES_MAX) {
      all.push([]);
      size = 0;
    }
    all.at(-1)?.push(command);
    size += bytes;
  }
  return all;
}
