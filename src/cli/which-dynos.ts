import { type Input, UsageError } from "./command.ts";

/** Which dynos of an app a command is about, by `-d`, `-p`, or a bare word (`web.1`, `web`). */
export type Which =
  | { readonly kind: "all" }
  | { readonly kind: "dyno"; readonly name: string }
  | { readonly kind: "type"; readonly name: string };

/** Throws `UsageError` for what cannot be a dyno or a process type. */
export function whichOf(input: Input): Which {
  const [word, extra] = input.positionals;
  if (extra !== undefined) throw new UsageError(`Unexpected argument: ${extra}`);
  const dyno = input.text("dyno-name");
  const type = input.text("process-type");
  if ([word, dyno, type].filter((each) => each !== undefined).length > 1)
    throw new UsageError("Name one dyno (-d) or one process type (-p), not both.");
  if (dyno !== undefined) return { kind: "dyno", name: checkedName(dyno) };
  if (type !== undefined) return { kind: "type", name: checkedName(type) };
  if (word === undefined) return { kind: "all" };
  return { kind: word.includes(".") ? "dyno" : "type", name: checkedName(word) };
}

/** `dyno web.1`, `all web dynos`, `all dynos`. */
export function inWords(which: Which): string {
  if (which.kind === "all") return "all dynos";
  return which.kind === "dyno" ? `dyno ${which.name}` : `all ${which.name} dynos`;
}

function checkedName(name: string): string {
  if (!/^[-\w]{1,128}(?:\.\d{1,9})?$/.test(name)) throw new UsageError(`${name} is no dyno and no process type.`);
  return name;
}
