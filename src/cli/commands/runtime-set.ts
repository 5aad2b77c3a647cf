import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const change = changeOf(input.positionals);
  const app = await appOf(input, client.platform);
  await action(`Setting ${input.positionals.join(" ")} on ⬢ ${app}`, () =>
    client.call("PATCH", `/apps/${app}/runtime`, { body: change }),
  );
  return 0;
}

const HINT = "Try: stator runtime:set boot-timeout=90 restart-policy=heroku -a APP";
/** What is a name of a list is checked by the platform, which knows the list. */
const SETTINGS: Readonly<Record<string, (value: string) => string | number | boolean | null | undefined>> = {
  "boot-timeout": wholeNumber,
  "stop-grace": wholeNumber,
  "restart-policy": (value) => value,
  rollout: (value) => value,
  "preboot-delay": wholeNumber,
  "daily-cycling": (value) => ({ on: true, off: false })[value],
  "cycling-hour": (value) => (value === "none" ? null : wholeNumber(value)),
};

/** `boot-timeout=90 cycling-hour=none` as the API takes it. */
export function changeOf(words: readonly string[]): Readonly<Record<string, string | number | boolean | null>> {
  if (words.length === 0) throw new UsageError(`Say which settings. ${HINT}`);
  const pairs = words.map((word) => {
    const [name = "", value = ""] = word.split(/=(.*)/s);
    const read = Object.hasOwn(SETTINGS, name) ? SETTINGS[name] : undefined;
    if (read === undefined)
      throw new UsageError(`${word} is no setting: there are ${Object.keys(SETTINGS).join(", ")}. ${HINT}`);
    const setting = read(value);
    if (setting === undefined || value === "")
      throw new UsageError(`${name} cannot be ${JSON.stringify(value)}. ${HINT}`);
    return [name.replaceAll("-", "_"), setting] as const;
  });
  return Object.fromEntries(pairs);
}

function wholeNumber(value: string): number | undefined {
  return /^\d{1,6}$/.test(value) ? Number(value) : undefined;
}
