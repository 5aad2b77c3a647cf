import type { RoutingJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, keyed, print } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const routing = await client.get<RoutingJson>(`/apps/${app}/routing`);
  if (input.has("json")) json(routing);
  else for (const line of format(routing, app)) print(line);
  return 0;
}

/** The names are those that `routing:set` takes. */
export function format(routing: RoutingJson, app: string): readonly string[] {
  const users = routing.basic_auth_users;
  return [
    `=== ${app} Routing`,
    "",
    ...keyed([
      ["balance", routing.balance],
      ["session-affinity", routing.session_affinity ? "on" : "off"],
      ["first-byte-timeout", `${routing.first_byte_timeout} s`],
      ["rolling-timeout", `${routing.rolling_timeout} s`],
      ["https-redirect", routing.https_redirect ? "on" : "off"],
      ["dyno-protocol", routing.dyno_protocol],
      ["basic auth", users.length === 0 ? "off" : users.join(", ")],
    ]),
  ];
}
