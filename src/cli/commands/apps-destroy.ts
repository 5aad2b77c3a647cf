import type { AppJson } from "../api.ts";
import { appOf, checked } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { dropRemotes } from "../git-remote.ts";
import { action, marked, warn } from "../output.ts";
import { ask } from "../prompt.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const given = input.positionals[0];
  const name = given === undefined ? await appOf(input, client.platform) : checked(given);
  const app = await client.get<AppJson>(`/apps/${name}`);
  await confirm(app.name, input.text("confirm"));
  await action(`Destroying ${marked(app.name)} (including all add-ons)`, () =>
    client.call("DELETE", `/apps/${app.id}`),
  );
  await dropRemotes(client.platform, app.name);
  return 0;
}

async function confirm(app: string, given: string | undefined): Promise<void> {
  if (given === undefined) {
    warn(`This will destroy ${marked(app)} including all its data.`);
    const answer = await ask(`To proceed, type ${app} or re-run this command with --confirm ${app}: `);
    if (answer === app) return;
  } else if (given === app) return;
  throw new UsageError(`Confirmation did not match ${app}. Aborted.`, 1);
}
