import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { recordingOf, recordingsPath } from "../recordings.ts";

/** The asciicast as it is kept, for any player. */
export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const { id } = await recordingOf(client, app, input);
  const stream = await client.open("GET", `${recordingsPath(app)}/${id}/cast`);
  for await (const chunk of stream) process.stdout.write(chunk as Buffer); // without an encoding a response gives Buffers
  return 0;
}
