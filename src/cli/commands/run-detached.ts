import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { readLog } from "../log-stream.ts";
import { commandOf, createDyno } from "../one-off.ts";
import { action, marked, print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const command = commandOf(input.positionals);
  const app = await appOf(input, client.platform);
  const dyno = await action(
    `Running ${command} on ${marked(app)}`,
    () => createDyno(client, app, input, { attach: false, terminal: false }),
    (made) => made.name,
  );
  if (!input.has("tail")) {
    print(`Run stator logs --app ${app} --dyno ${dyno.name} to view the output.`);
    return 0;
  }
  const interrupted = new AbortController();
  process.once("SIGINT", () => interrupted.abort());
  await readLog(client, app, { dyno: dyno.name, tail: true }, print, interrupted.signal);
  return 0;
}
