import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked } from "../output.ts";
import { onOrOff, type Setting, type SettingReaders, settingsOf, wholeNumber } from "../settings.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const change = changeOf(input.positionals);
  const app = await appOf(input, client.platform);
  await action(`Setting ${input.positionals.join(" ")} on ${marked(app)}`, () =>
    client.call("PATCH", `/apps/${app}/routing`, { body: change }),
  );
  return 0;
}

const HINT = "Try: stator routing:set balance=least-connections first-byte-timeout=60 -a APP";
const SETTINGS: SettingReaders = {
  balance: (value) => value,
  "session-affinity": onOrOff,
  "first-byte-timeout": wholeNumber,
  "rolling-timeout": wholeNumber,
  "https-redirect": onOrOff,
  "dyno-protocol": (value) => value,
};

export function changeOf(words: readonly string[]): Readonly<Record<string, Setting>> {
  return settingsOf(words, SETTINGS, HINT);
}
