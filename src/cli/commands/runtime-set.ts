import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked } from "../output.ts";
import { onOrOff, type Setting, type SettingReaders, settingsOf, wholeNumber, wholeNumberOrNone } from "../settings.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const change = changeOf(input.positionals);
  const app = await appOf(input, client.platform);
  await action(`Setting ${input.positionals.join(" ")} on ${marked(app)}`, () =>
    client.call("PATCH", `/apps/${app}/runtime`, { body: change }),
  );
  return 0;
}

const HINT = "Try: stator runtime:set boot-timeout=90 restart-policy=heroku -a APP";
const SETTINGS: SettingReaders = {
  "boot-timeout": wholeNumber,
  "stop-grace": wholeNumber,
  "release-timeout": wholeNumber,
  "restart-policy": (value) => value,
  rollout: (value) => value,
  "preboot-delay": wholeNumber,
  "daily-cycling": onOrOff,
  "cycling-hour": wholeNumberOrNone,
  "sleep-after": wholeNumberOrNone,
};

export function changeOf(words: readonly string[]): Readonly<Record<string, Setting>> {
  return settingsOf(words, SETTINGS, HINT);
}
