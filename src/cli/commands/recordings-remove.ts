import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked } from "../output.ts";
import { recordingOf, recordingsPath } from "../recordings.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const { id } = await recordingOf(client, app, input);
  await action(`Removing the recording ${id.slice(0, 8)} of ${marked(app)}`, () =>
    client.call("DELETE", `${recordingsPath(app)}/${id}`),
  );
  return 0;
}
