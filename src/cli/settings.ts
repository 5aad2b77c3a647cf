import { UsageError } from "./command.ts";

export type Setting = string | number | boolean | null;
/** How each setting's value is read; undefined: it is none. What is a name of a list the platform checks, which knows the list. */
export type SettingReaders = Readonly<Record<string, (value: string) => Setting | undefined>>;

/** `boot-timeout=90 cycling-hour=none` as the API takes it. Throws `UsageError`. */
export function settingsOf(
  words: readonly string[],
  readers: SettingReaders,
  hint: string,
): Readonly<Record<string, Setting>> {
  if (words.length === 0) throw new UsageError(`Say which settings. ${hint}`);
  const pairs = words.map((word) => {
    const [name = "", value = ""] = word.split(/=(.*)/s);
    const read = Object.hasOwn(readers, name) ? readers[name] : undefined;
    if (read === undefined)
      throw new UsageError(`${word} is no setting: there are ${Object.keys(readers).join(", ")}. ${hint}`);
    const setting = read(value);
    if (setting === undefined || value === "")
      throw new UsageError(`${name} cannot be ${JSON.stringify(value)}. ${hint}`);
    return [name.replaceAll("-", "_"), setting] as const;
  });
  return Object.fromEntries(pairs);
}

export function wholeNumber(value: string): number | undefined {
  return /^\d{1,6}$/.test(value) ? Number(value) : undefined;
}

/** `none` is null. */
export function wholeNumberOrNone(value: string): number | null | undefined {
  return value === "none" ? null : wholeNumber(value);
}

export function onOrOff(value: string): boolean | undefined {
  return new Map([
    ["on", true],
    ["off", false],
  ]).get(value);
}
