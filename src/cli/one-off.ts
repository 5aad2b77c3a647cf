import type { DynoJson } from "./api.ts";
import type { Client } from "./client.ts";
import { type Input, UsageError } from "./command.ts";

export interface OneOffOptions {
  readonly attach: boolean;
  readonly terminal: boolean;
}

/** Asks for a one-off dyno that runs the command in the input's words. */
export function createDyno(client: Client, app: string, input: Input, options: OneOffOptions): Promise<DynoJson> {
  const size = input.text("size");
  const type = input.text("type");
  const { rows, columns } = process.stdout;
  const window = options.terminal ? { TERM: process.env["TERM"] ?? "xterm", COLUMNS: columns, LINES: rows } : {};
  const body = {
    command: commandOf(input.positionals),
    attach: options.attach,
    env: { ...window, ...envOf(input.text("env")) },
    ...(size !== undefined && { size }),
    ...(type !== undefined && { type }),
    ...(!options.terminal && { force_no_tty: true }),
  };
  return client.call<DynoJson>("POST", `/apps/${app}/dynos`, { body });
}

/**
 * The command line for the dyno's shell (spec 5.2): one word is taken as it is; of several, those with blanks or quotes are
 * quoted, so that they stay words, while `$VAR` is still the dyno's. Throws `UsageError` for none.
 */
export function commandOf(words: readonly string[]): string {
  const [only, ...more] = words;
  if (only === undefined || only === "")
    throw new UsageError("Usage: stator run [--] COMMAND\nRequires a command to run.", 1);
  if (more.length === 0) return only;
  return words.map((word) => (/[\s"']|^$/.test(word) ? `"${word.replaceAll(/["\\]/g, "\\$&")}"` : word)).join(" ");
}

/** `A=1;B=2`. Throws `UsageError`. */
export function envOf(text: string | undefined): Readonly<Record<string, string>> {
  const pairs = (text ?? "").split(";").filter((pair) => pair !== "");
  return Object.fromEntries(
    pairs.map((pair) => {
      const equals = pair.indexOf("=");
      if (equals < 1) throw new UsageError(`--env ${pair}: must be as 'A=1;B=2'.`);
      return [pair.slice(0, equals), pair.slice(equals + 1)];
    }),
  );
}
