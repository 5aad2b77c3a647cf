import type { AccountJson } from "../api.ts";
import { ApiError, Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { forgetCredential } from "../credentials.ts";
import { byWords } from "../order.ts";
import { action, json, print, titled, warn } from "../output.ts";
import { wordOf } from "../words.ts";

interface SessionJson {
  readonly id: string;
  readonly description: string;
}

/** As the official client: 100 for nobody. */
const NOBODY = 100;

export async function whoami(input: Input): Promise<number> {
  const client = new Client();
  if (client.platform.token === undefined) return nobody();
  try {
    const account = await client.get<AccountJson>("/account");
    if (input.has("json")) json(account);
    else print(account.email);
    return 0;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return nobody();
    throw error;
  }
}

function nobody(): never {
  throw new UsageError("not logged in", NOBODY);
}

export async function token(input: Input): Promise<number> {
  const { platform } = new Client();
  if (platform.token === undefined) throw new UsageError("not logged in", 1);
  if (input.has("json")) json({ token: platform.token });
  else print(platform.token);
  return 0;
}

export async function logout(): Promise<number> {
  const client = new Client();
  if (client.platform.token === undefined) throw new UsageError("not logged in", 1);
  await action("Logging out", async () => {
    try {
      await client.call("DELETE", "/oauth/sessions/~");
    } catch (error) {
      const isGone = error instanceof ApiError && (error.status === 401 || error.status === 404);
      if (!isGone) throw error; // its session is over, or it never was one
    }
    await forgetCredential(client.platform.url);
  });
  if (process.env["STATOR_TOKEN"]) warn("STATOR_TOKEN is set, and goes on being used: unset STATOR_TOKEN");
  return 0;
}

export async function sessions(input: Input): Promise<number> {
  const all = await new Client().get<readonly SessionJson[]>("/oauth/sessions");
  const sorted = byWords(all, ({ description }) => description);
  if (input.has("json")) json(sorted);
  else if (sorted.length === 0) print("No OAuth sessions.");
  else
    for (const line of titled([["Description", "ID"], ...sorted.map(({ description, id }) => [description, id])]))
      print(line);
  return 0;
}

export async function destroySession(input: Input): Promise<number> {
  const id = wordOf("sessions:destroy", "ID", input);
  await action(`Destroying ${id}`, () => new Client().call("DELETE", `/oauth/sessions/${encodeURIComponent(id)}`));
  return 0;
}
