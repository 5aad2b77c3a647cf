import { readFileSync } from "node:fs";
import type { AccountJson } from "../api.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { readCredentials, saveCredential } from "../credentials.ts";
import { note } from "../output.ts";
import { choosePlatform, originOf } from "../platform.ts";
import { askSecretly } from "../prompt.ts";

export async function run(input: Input): Promise<number> {
  const current = choosePlatform();
  const [given, extra] = input.positionals;
  if (extra !== undefined) throw new UsageError(`Unexpected argument: ${extra}`);
  const url = given === undefined ? current.url : originOf(given);
  const caFile = input.text("ca");
  const ca = caFile === undefined ? readCredentials()[url]?.ca : readFileSync(caFile, "utf8");
  const token = input.text("token") ?? (process.env["STATOR_TOKEN"] || (await askSecretly(`Token for ${url}: `)));
  if (token === "")
    throw new UsageError("No token given. On the platform's machine, `sudo stator token --new` makes one.", 1);
  const account = await new Client({ url, token, ca, local: false }).get<AccountJson>("/account");
  for (const [other, { default: was, ...rest }] of Object.entries(readCredentials())) {
    if (was === true && other !== url) await saveCredential(other, rest);
  }
  await saveCredential(url, { token, email: account.email, ...(ca !== undefined && { ca }), default: true });
  note(`Logged in to ${url} as ${account.email}`);
  return 0;
}
