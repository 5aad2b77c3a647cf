import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { pipeline } from "node:stream/promises";
import { appOf } from "../app-name.ts";
import { type BuildJson, follow } from "../builds.ts";
import { Client, errorOf, requester, textOf } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const [tar, given, version] = ["source-tar", "source-url", "version"].map((name) => input.text(name));
  if ((tar === undefined) === (given === undefined))
    throw new UsageError("Name what is to be built: --source-tar FILE or --source-url URL.", 1);
  const client = new Client();
  const app = await appOf(input, client.platform);
  const url = tar === undefined ? given : await action("Uploading source", () => upload(client, tar));
  const body = { source_blob: { url, ...(version !== undefined && { version }) } };
  const build = await client.call<BuildJson>("POST", `/apps/${app}/builds`, { body });
  return follow(client, app, build);
}

/** Gives the address under which the build finds it. */
async function upload(client: Client, file: string): Promise<string> {
  const { size } = await stat(file).catch((error: unknown) => {
    throw new UsageError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`, 1);
  });
  const { source_blob } = await client.call<{ source_blob: { get_url: string; put_url: string } }>("POST", "/sources");
  const url = new URL(source_blob.put_url);
  const headers = { "Content-Length": String(size) };
  const outgoing = requester(url)(url, client.requestOptions(url, "PUT", { headers }));
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.once("response", resolve);
    outgoing.once("error", (error) => reject(client.unreachable(error)));
  });
  await Promise.all([answered, pipeline(createReadStream(file), outgoing).catch(() => {})]); // the answer tells
  const response = await answered;
  const text = await textOf(response);
  if (response.statusCode !== 200) throw errorOf(response.statusCode ?? 0, text);
  return source_blob.get_url;
}
