import type { Input } from "../command.ts";
import { COMMANDS } from "../commands.ts";
import { type Candidate, completionOf } from "../completion/candidates.ts";
import { namesOf } from "../completion/names.ts";
import { behindBreaks, wordsOf } from "../completion/words.ts";
import { print } from "../output.ts";

/** For the scripts of `completion`: what could come next, a word a line. Says nothing else, and never fails. */
export async function run({ positionals: [shell, ...args] }: Input): Promise<number> {
  if (shell === "bash") {
    const [breaks = "", line = ""] = args;
    const [, ...words] = wordsOf(line);
    for (const { text } of await allOf(words)) print(behindBreaks(text, words.at(-1) ?? "", breaks));
  } else {
    // zsh gives words as they were typed, with their quotes; fish without.
    const words = shell === "zsh" ? args.map((word) => wordsOf(word.trim()).join(" ")) : args;
    for (const { text, summary } of await allOf(words)) print(summary === undefined ? text : `${text}\t${summary}`);
  }
  return 0;
}

async function allOf(words: readonly string[]): Promise<readonly Candidate[]> {
  const completion = completionOf(words, COMMANDS);
  const { before, candidates, typed } = completion;
  const names = await namesOf(completion).catch(() => []); // no platform to ask: none
  const fitting = [...candidates.filter(({ text }) => text.startsWith(typed)), ...names.map((text) => ({ text }))];
  return fitting.map((each) => ({ ...each, text: `${before}${each.text}` }));
}
