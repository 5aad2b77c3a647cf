import { ended, start } from "../../lib/command.ts";
import type { AppJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, note, print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await client.get<AppJson>(`/apps/${await appOf(input, client.platform)}`);
  const url = new URL(input.positionals[0] ?? "", app.web_url ?? undefined).href;
  if (input.has("json")) json({ url });
  else if (await browse(url)) note(`Opening ${url}... done`);
  else print(url);
  return 0;
}

/** Whether a browser could be asked; there is none on most servers. */
async function browse(url: string): Promise<boolean> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter((pair): pair is [string, string] => pair[1] !== undefined),
  );
  if (env["DISPLAY"] === undefined && env["WAYLAND_DISPLAY"] === undefined) return false;
  try {
    return (await ended(start("xdg-open", [url], { env }), "xdg-open")).code === 0;
  } catch {
    return false; // no such program: the caller prints the URL
  }
}
