/** The words of a line that somebody is typing, as a shell would read them; quotes may be open yet. Nothing is expanded. */
export function wordsOf(line: string): readonly string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let index = 0; index < line.length; index++) {
    const char = line.charAt(index);
    if (quote === "" && /\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (char === quote) quote = "";
    else if (quote === "" && (char === "'" || char === '"')) {
      quote = char;
      word ??= "";
    } else if (char === "\\" && quote !== "'") word = (word ?? "") + line.charAt(++index);
    else word = (word ?? "") + char;
  }
  return [...words, word ?? ""];
}

/**
 * What bash takes as the whole word begins behind the last of its word breaks (`ps:sc` is completed from `sc`): without
 * what stands before, a candidate fits there.
 */
export function behindBreaks(candidate: string, typed: string, breaks: string): string {
  const at = Math.max(...[":", "="].map((char) => (breaks.includes(char) ? typed.lastIndexOf(char) : -1)));
  return candidate.slice(at + 1);
}
