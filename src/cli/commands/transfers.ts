import type { AccountJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, json, marked, print, table } from "../output.ts";
import { wordOf } from "../words.ts";

interface TransferJson {
  readonly app: { readonly name: string };
  readonly owner: { readonly email: string };
  readonly recipient: { readonly email: string };
  readonly state: string;
}

const PATH = "/account/app-transfers";

export async function offer(input: Input): Promise<number> {
  const recipient = wordOf("apps:transfer", "EMAIL -a APP", input);
  const client = new Client();
  const app = await appOf(input, client.platform);
  await action(
    `Initiating transfer of ${marked(app)} to ${recipient}`,
    () => client.call("POST", PATH, { body: { app, recipient } }),
    () => `theirs once they type stator apps:transfers:accept ${app}`,
  );
  return 0;
}

export async function list(input: Input): Promise<number> {
  const all = await new Client().get<readonly TransferJson[]>(PATH);
  if (input.has("json")) json(all);
  else for (const line of format(all)) print(line);
  return 0;
}

export function format(all: readonly TransferJson[]): readonly string[] {
  if (all.length === 0) return ["No app was offered to you or by you."];
  return table(all.map(({ app, owner, recipient, state }) => [app.name, `${owner.email} → ${recipient.email}`, state]));
}

export const accept = (input: Input): Promise<number> => answer(input, "accepted");
export const decline = (input: Input): Promise<number> => answer(input, "declined");

async function answer(input: Input, state: "accepted" | "declined"): Promise<number> {
  const [command, doing] = state === "accepted" ? ["accept", "Accepting"] : ["decline", "Declining"];
  const app = wordOf(`apps:transfers:${command}`, "APP", input);
  const client = new Client();
  await action(`${doing} ${marked(app)}`, () =>
    client.call("PATCH", `${PATH}/${encodeURIComponent(app)}`, { body: { state } }),
  );
  return 0;
}

export async function cancel(input: Input): Promise<number> {
  const app = wordOf("apps:transfers:cancel", "APP", input);
  const client = new Client();
  await action(`Cancelling the transfer of ${marked(app)}`, () =>
    client.call("DELETE", `${PATH}/${encodeURIComponent(app)}`),
  );
  return 0;
}

export async function leave(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const { email } = await client.get<AccountJson>("/account");
  await action(`Leaving ${marked(app)}`, () =>
    client.call("DELETE", `/apps/${app}/collaborators/${encodeURIComponent(email)}`),
  );
  return 0;
}

const NO_TEAMS = "There are no teams here";
export const join = refuse(`${NO_TEAMS} whose apps one joins: whoever manages the app types stator access:add EMAIL.`);
export const lock = refuse(`${NO_TEAMS}, and nobody joins an app without being asked: see stator access.`);
export const unlock = lock;

function refuse(why: string): () => Promise<number> {
  return async () => {
    throw new UsageError(why, 1);
  };
}
