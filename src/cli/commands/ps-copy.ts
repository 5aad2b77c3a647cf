import { existsSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { basename } from "node:path";
import { appOf } from "../app-name.ts";
import { attach, SESSION_LOST } from "../attach.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { dynoOf, enter } from "../inside.ts";
import { action, marked, print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const [source] = input.positionals;
  if (source === undefined) throw new UsageError("Name the file to copy from the dyno.");
  const target = input.text("output") ?? basename(source);
  print(`Copying ${source} to ${target}`);
  if (existsSync(target)) throw new UsageError(`The local file ${target} already exists`, 1);
  const client = new Client();
  const place = { client, app: await appOf(input, client.platform), dyno: dynoOf(input) };
  const secret = await action(`Connecting to ${place.dyno} on ${marked(place.app)}`, () =>
    enter(place, { file: source }),
  );
  const file = await open(target, "wx");
  const output = file.createWriteStream();
  let status = 1;
  try {
    status = await attach(client, secret, false, { output, takesInput: false, lost: SESSION_LOST });
    await new Promise<void>((resolve, reject) => {
      output.once("error", reject).end(resolve);
    });
  } finally {
    if (status !== 0) await rm(target, { force: true }); // a part of it is no copy
  }
  return status === 0 ? 0 : 1;
}
