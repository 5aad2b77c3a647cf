import { spawn } from "node:child_process";
import { stdout } from "node:process";

/** Something the app's owner must mend; shown after ` !     `. */
export class Trouble extends Error {}

export function step(text: string): void {
  stdout.write(`-----> ${text}\n`);
}

export function detail(text: string): void {
  stdout.write(`       ${text}\n`);
}

export function warn(text: string): void {
  stdout.write(` !     ${text}\n`);
}

export interface RunOptions {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Runs a program, its output indented as a buildpack's detail. Gives its exit status. */
export async function runShown(program: string, args: readonly string[], options: RunOptions): Promise<number> {
  // One pipe for both outputs keeps their order.
  const child = spawn("/bin/bash", ["-c", 'exec "$@" 2>&1', "bash", program, ...args], {
    ...options,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 137));
  });
  let atStart = true;
  for await (const chunk of child.stdout.setEncoding("utf8")) {
    const text: string = (atStart ? "\n" : "") + String(chunk);
    stdout.write(text.replace(/\n(?=[^\n])/g, "\n       ").slice(atStart ? 1 : 0));
    atStart = text.endsWith("\n");
  }
  if (!atStart) stdout.write("\n");
  return ended;
}

/** Runs a program and gives what it printed. Throws `Trouble` with its last words unless it ends with 0. */
export async function outputOf(program: string, args: readonly string[], options: RunOptions): Promise<string> {
  const child = spawn(program, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 137));
  });
  const [out, words] = [[] as string[], [] as string[]];
  child.stdout.setEncoding("utf8").on("data", (text: string) => out.push(text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => words.push(text));
  const status = await ended;
  if (status !== 0) throw new Trouble(words.join("").trim().slice(-1500) || `${program} ended with status ${status}`);
  return out.join("");
}
