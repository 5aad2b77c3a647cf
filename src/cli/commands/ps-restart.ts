import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked } from "../output.ts";
import { inWords, whichOf } from "../which-dynos.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const which = whichOf(input);
  const app = await appOf(input, client.platform);
  const path =
    { all: "dynos", dyno: "dynos/", type: "formations/" }[which.kind] + (which.kind === "all" ? "" : which.name);
  await action(`Restarting ${inWords(which)} on ${marked(app)}`, () => client.call("DELETE", `/apps/${app}/${path}`));
  return 0;
}
