import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { UsageError } from "./command.ts";

/** Asks on the terminal. Throws `UsageError` where there is none, so that scripts never hang. */
export async function ask(question: string): Promise<string> {
  if (process.stdin.isTTY !== true) throw new UsageError(`${question}\nThere is no terminal to ask on.`, 1);
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await lines.question(question)).trim();
  } finally {
    lines.close();
  }
}

/** As `ask`, but what is typed is not shown; from a pipe, its first line is the answer. */
export async function askSecretly(question: string): Promise<string> {
  process.stderr.write(question);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: process.stdin.isTTY === true });
  try {
    const { value } = await lines[Symbol.asyncIterator]().next();
    return String(value ?? "").trim();
  } finally {
    lines.close();
    process.stderr.write("\n");
  }
}
