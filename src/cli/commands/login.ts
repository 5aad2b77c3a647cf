import { readFileSync } from "node:fs";
import type { AccountJson } from "../api.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { readCredentials, saveCredential } from "../credentials.ts";
import { note } from "../output.ts";
import { choosePlatform, originOf } from "../platform.ts";
import { askSecretly } from "../prompt.ts";
import { trusted } from "../trust.ts";

export async function run(input: Input): Promise<number> {
  const current = choosePlatform();
  const [given, extra] = input.positionals;
  if (extra !== undefined) throw new UsageError(`Unexpected argument: ${extra}`);
  await logIn(given === undefined ? current.url : originOf(given), input);
  return 0;
}

/** Asks for what is needed to speak to the platform, tries it, and keeps it. Throws `UsageError`, `ApiError`. */
export async function logIn(url: string, input: Input): Promise<void> {
  const caFile = input.text("ca");
  const ca =
    caFile === undefined
      ? await trusted(url, { known: readCredentials()[url]?.ca, fingerprint: input.text("fingerprint") })
      : readFileSync(caFile, "utf8");
  const token = input.text("token") ?? (process.env["STATOR_TOKEN"] || (await askSecretly(`Token for ${url}: `)));
  if (token === "")
    throw new UsageError("No token given. On the platform's machine, `sudo stator token --new` makes one.", 1);
  const account = await new Client({ url, token, ca, local: false }).get<AccountJson>("/account");
  for (const [other, { default: was, ...rest }] of Object.entries(readCredentials())) {
    if (was === true && other !== url) await saveCredential(other, rest);
  }
  await saveCredential(url, { token, email: account.email, ...(ca !== undefined && { ca }), default: true });
  note(`Logged in to ${url} as ${account.email}`);
}
