import { UsageError } from "./command.ts";
import { shellQuote } from "./output.ts";

/** Config vars as lines of a file that a person edits: `KEY=value`, quoted where a POSIX shell would need it (config:edit). */
export function linesOf(vars: Readonly<Record<string, string>>): string {
  return Object.keys(vars)
    .toSorted()
    .map((key) => `${key}=${quoted(vars[key] ?? "")}\n`)
    .join("");
}

/** Throws `UsageError` for a line that is none. */
export function varsOf(text: string): Readonly<Record<string, string>> {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return Object.fromEntries(
    lines.map((line) => {
      const equals = line.indexOf("=");
      if (equals < 1) throw new UsageError(`Invalid line: ${line}`, 1);
      return [line.slice(0, equals), unquoted(line.slice(equals + 1))];
    }),
  );
}

/** One line, whatever the value holds: '...', or "..." with \n for a line break where it holds quotes or breaks itself. */
export function quoted(value: string): string {
  if (!/["'\s#!$&()*,:;<=>?@[\\\]^`{|}]/.test(value)) return value;
  if (!/['\n]/.test(value)) return `'${value}'`;
  return `"${value.replaceAll(/["\\$`!]/g, "\\$&").replaceAll("\n", "\\n")}"`;
}

/** As the official client quotes it for a shell, but where a shell would read another value: `~` at the front, `\n` and `\!` in "...". */
export function shellValue(value: string): string {
  const isRead = !/^~|\n/.test(value) && !(value.includes("'") && value.includes("!"));
  return isRead ? quoted(value) : shellQuote(value);
}

/** The opposite of `quoted`. Nothing is expanded. Throws `UsageError` for a quote that has no end. */
export function unquoted(text: string): string {
  const quote = text[0];
  if (quote !== '"' && quote !== "'") return text;
  if (text.length < 2 || !text.endsWith(quote)) throw new UsageError(`Invalid token: ${text}`, 1);
  const inner = text.slice(1, -1);
  if (quote === "'") return inner;
  return inner.replaceAll(/\\([\s\S])/g, (_, escaped: string) => (escaped === "n" ? "\n" : escaped));
}
