/** How the official client sorts people's words: its lists by `localeCompare`, its tables so that `a9` stands before `a10`. */
export function byWords<T>(list: readonly T[], wordOf: (item: T) => string): readonly T[] {
  return list.toSorted((one, other) => wordOf(one).localeCompare(wordOf(other)));
}

export function naturally<T>(list: readonly T[], wordOf: (item: T) => string): readonly T[] {
  return list.toSorted((one, other) => compareNaturally(wordOf(one), wordOf(other)));
}

/** Numbers by what they say and before words, words whatever their case; what only starts the same stands first. Pure. */
export function compareNaturally(one: string, other: string): number {
  const [a, b] = [one, other].map((text) => text.toLowerCase().trim());
  if (isNumber(a) && isNumber(b)) return Number(a) - Number(b);
  const [these, those] = [partsOf(a), partsOf(b)];
  for (const [index, part] of these.entries()) {
    const counterpart = those[index];
    if (counterpart === undefined) return 1;
    const order = compareParts(part, counterpart);
    if (order !== 0) return order;
  }
  return these.length - those.length;
}

const isNumber = (text = ""): boolean => /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/.test(text);

/** At the beginning a number may have a sign and a fraction; later it is digits alone. */
const partsOf = (text = ""): readonly string[] =>
  text.split(/(^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?(?!\.?\d)|\d+)/).filter((part) => part !== "");

function compareParts(one: string, other: string): number {
  const [isOneNumber, isOtherNumber] = [isNumber(one), isNumber(other)];
  if (isOneNumber && isOtherNumber) return Number(one) - Number(other) || compareCodes(one, other);
  if (isOneNumber !== isOtherNumber) return isOneNumber ? -1 : 1;
  // oxlint-disable-next-line no-control-regex -- its own rule: all of ASCII, and one more
  const isPlain = /^[\x00-\x80]*$/.test(one + other);
  return isPlain ? compareCodes(one.trim(), other.trim()) : one.trim().localeCompare(other.trim());
}

const compareCodes = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);
