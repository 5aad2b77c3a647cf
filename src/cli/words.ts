import { type Input, UsageError } from "./command.ts";

/** The one word that a command is given. Throws `UsageError`. */
export function wordOf(command: string, what: string, { positionals }: Input): string {
  const [word, extra] = positionals;
  if (word !== undefined && word !== "" && extra === undefined) return word;
  throw new UsageError(`Usage: stator ${command} ${what}`);
}

/** `a, b,c` as a list. */
export function listOf(text: string): readonly string[] {
  return text
    .split(",")
    .map((each) => each.trim())
    .filter((each) => each !== "");
}
