import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked } from "../output.ts";

export async function run(input: Input): Promise<number> {
  return setRecording(input, true);
}

/** Holds for sessions that begin from now on. */
export async function setRecording(input: Input, enabled: boolean): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  await action(`${enabled ? "Enabling" : "Disabling"} the recording of sessions for ${marked(app)}`, () =>
    client.call("PATCH", `/apps/${app}/stator/session-recording`, { body: { enabled } }),
  );
  return 0;
}
