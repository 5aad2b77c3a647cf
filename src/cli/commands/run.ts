import { appOf } from "../app-name.ts";
import { attach, secretOf } from "../attach.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { commandOf, createDyno } from "../one-off.ts";
import { marked } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const command = commandOf(input.positionals);
  const app = await appOf(input, client.platform);
  const terminal = !input.has("no-tty") && process.stdin.isTTY === true && process.stdout.isTTY === true;
  process.stderr.write(`Running ${command} on ${marked(app)}... `);
  try {
    const dyno = await createDyno(client, app, input, { attach: true, terminal });
    process.stderr.write(`up, ${dyno.name}\n`);
    return await attach(client, secretOf(dyno.attach_url), terminal);
  } catch (error) {
    process.stderr.write("!\n");
    throw error;
  }
}
