import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, marked } from "../output.ts";
import { inWords, whichOf } from "../which-dynos.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const which = whichOf(input);
  if (which.kind === "all") throw new UsageError("Name a dyno (web.1) or a process type (web) to stop.");
  const app = await appOf(input, client.platform);
  const path = `${which.kind === "dyno" ? "dynos" : "formations"}/${which.name}/actions/stop`;
  await action(`Stopping ${inWords(which)} on ${marked(app)}`, () => client.call("POST", `/apps/${app}/${path}`));
  return 0;
}
