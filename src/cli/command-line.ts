import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../config.ts";
import { CommandError } from "../lib/command.ts";
import { guardAgainstShells } from "../lib/guard.ts";
import { ApiError, UnreachableError } from "./client.ts";
import { type CommandSpec, helpOf, parseInput, UsageError } from "./command.ts";
import { COMMANDS, commandNamed } from "./commands.ts";
import { beginOutput, endOutput, isJsonOutput, note, print, table } from "./output.ts";

/** The command line: finds the command, runs it, tells what went wrong in a sentence. Gives the exit status. */
async function main(args: readonly string[]): Promise<number> {
  const [name = "help", ...rest] = args;
  if (["help", "--help", "-h"].includes(name)) return help(rest[0]);
  if (["version", "--version", "-v"].includes(name)) {
    print(`stator/${version()} linux-${process.arch} node-${process.version}`);
    return 0;
  }
  const spec = commandNamed(name);
  if (spec === undefined) {
    beginOutput({ json: false }); // the official client's own to do
    return (await import("./commands/other.ts")).runOfficial(args);
  }
  const input = parseInput(spec, rest);
  if (input.has("help")) return help(spec.name);
  beginOutput({ json: input.has("json") });
  const { run } = await spec.load();
  const status = await run(input);
  endOutput(spec.many === true);
  return status;
}

function help(name: string | undefined): number {
  const spec = name === undefined ? undefined : commandNamed(name);
  if (spec !== undefined) {
    print(helpOf(spec));
    return 0;
  }
  const rows = (group: CommandSpec["group"]) =>
    table(
      COMMANDS.filter((each) => each.group === group && each.hidden !== true).map((each) => [
        `  ${each.name}`,
        each.summary,
      ]),
    ).join("\n");
  print("stator: dynos on this machine\n\nThe machine:\n");
  print(`${rows("machine")}\n\nApps (-a APP, or the git remote of the folder, or STATOR_APP):\n`);
  print(
    `${rows("apps")}\n\nstator COMMAND --help tells more. Other commands go to the official heroku CLI where it is installed.`,
  );
  return 0;
}

function version(): string {
  const text = readFileSync(join(import.meta.dirname, "..", "..", "package.json"), "utf8");
  return String((JSON.parse(text) as { version: unknown }).version); // our own file
}

/** A sentence for what the person can mend; everything else is our bug and is shown whole. */
function report(error: unknown): number {
  if (error instanceof UsageError) return complain("usage", error.message, error.status);
  if (error instanceof ConfigError) return complain("config", error.message, 1);
  if (error instanceof UnreachableError) return complain("unreachable", error.message, error.status);
  if (error instanceof CommandError) return complain("program_failed", error.message, 1);
  if (error instanceof ApiError) {
    if (error.status === 401)
      return complain(error.id, `${error.message} Type \`stator login\` with a token, or set STATOR_TOKEN.`, 1);
    const id = error.id === "" || isJsonOutput() ? "" : `\n ›\n ›   Error ID: ${error.id}`;
    return complain(error.id, `${error.message}${id}`, 2);
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return isJsonOutput() ? complain("bug", text, 1) : (note(text), 1);
}

/** On standard error, for machines too: what stands on standard output is data. */
function complain(id: string, message: string, status: number): number {
  note(isJsonOutput() ? JSON.stringify({ error: { id, message, status } }) : ` ›   Error: ${message}`);
  return status;
}

/** Runs what the process was called with, and sets its exit status. */
export async function runCommandLine(args: readonly string[]): Promise<void> {
  guardAgainstShells();
  // `stator logs | head` is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  process.exitCode = await statusOf(args);
}

/** Runs one command to its end; the result is its exit status. */
export async function statusOf(args: readonly string[]): Promise<number> {
  beginOutput({ json: args.includes("--json") }); // for what is said of arguments that cannot be read
  try {
    return await main(args);
  } catch (error) {
    return report(error);
  }
}
