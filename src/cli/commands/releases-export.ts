import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { newestReleases, type ReleaseJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, marked } from "../output.ts";
import { versionOf } from "../releases.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const named = input.positionals[0];
  const version = named === undefined ? await currentVersion(client, app) : versionOf(named);
  const file = input.text("output");
  if (file === undefined && process.stdout.isTTY === true)
    throw new UsageError(
      `The image is not for a terminal: type stator releases:export v${version} -a ${app} > ${app}.tar`,
    );
  await action(`Exporting v${version} of ${marked(app)}`, async () => {
    const image = await client.open("GET", `/apps/${app}/releases/${version}/stator/image`, {
      headers: { Accept: "*/*" },
    });
    if (file === undefined) await pipeline(image, process.stdout, { end: false });
    else await writeWhole(file, (partial) => pipeline(image, createWriteStream(partial)));
  });
  return 0;
}

async function currentVersion(client: Client, app: string): Promise<number> {
  const releases = await client.get<readonly ReleaseJson[]>(`/apps/${app}/releases`, newestReleases(50));
  const current = releases.find((release) => release.current) ?? releases[0];
  if (current === undefined) throw new UsageError(`${app} has no releases.`, 1);
  return current.version;
}

/** A file that is whole or not there. */
async function writeWhole(file: string, write: (partial: string) => Promise<void>): Promise<void> {
  const partial = `${file}.part`;
  try {
    await write(partial);
    await rename(partial, file);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}
