import { appOf } from "../app-name.ts";
import { attach, SESSION_LOST } from "../attach.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { commandWanted, enter, isTerminal } from "../inside.ts";
import { commandOf } from "../one-off.ts";
import { marked } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const [dyno, ...words] = input.positionals;
  if (dyno === undefined || words.length === 0)
    throw new UsageError("Usage: stator run:inside DYNO [--] COMMAND\nRequires a dyno and a command to run in it.", 1);
  const command = commandOf(words[0] === "--" ? words.slice(1) : words);
  const app = await appOf(input, client.platform);
  process.stderr.write(`Running ${command} on ${marked(app)}... `);
  try {
    const secret = await enter({ client, app, dyno }, commandWanted(command));
    process.stderr.write(`up, ${dyno}\n`);
    return await attach(client, secret, isTerminal(), { lost: SESSION_LOST });
  } catch (error) {
    process.stderr.write("!\n");
    throw error;
  }
}
