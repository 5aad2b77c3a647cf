import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, json, marked, print } from "../output.ts";

interface MaintenanceJson {
  readonly maintenance: boolean;
}

export async function show(input: Input): Promise<number> {
  const client = new Client();
  const { maintenance } = await client.get<MaintenanceJson>(`/apps/${await appOf(input, client.platform)}`);
  if (input.has("json")) json({ maintenance });
  else print(maintenance ? "on" : "off");
  return 0;
}

export const on = (input: Input): Promise<number> => turn(input, true);
export const off = (input: Input): Promise<number> => turn(input, false);

async function turn(input: Input, maintenance: boolean): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  await action(`${maintenance ? "Enabling" : "Disabling"} maintenance mode for ${marked(app)}`, () =>
    client.call("PATCH", `/apps/${app}`, { body: { maintenance } }),
  );
  return 0;
}
