import { setTimeout as pause } from "node:timers/promises";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { note } from "../output.ts";
import { castOf, recordingOf } from "../recordings.ts";

/** Nobody waits longer for a person who thought. */
const PAUSE_S_MAX = 2;

export async function run(input: Input): Promise<number> {
  const speed = Number(input.text("speed") ?? 1);
  if (!(speed > 0)) throw new UsageError("--speed is a number above 0, as 2 or 0.5.");
  const client = new Client();
  const app = await appOf(input, client.platform);
  const { id } = await recordingOf(client, app, input);
  let before = 0;
  for await (const { at, type, text } of castOf(client, app, id)) {
    await pause((Math.min(PAUSE_S_MAX, Math.max(0, at - before)) * 1000) / speed);
    before = at;
    if (type === "o") process.stdout.write(text);
    if (type === "m") note(`\n(${text})`);
  }
  return 0;
}
