import type { AppJson, DynoJson } from "../api.ts";
import { appOf, checked } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { gitUrl } from "../git-remote.ts";
import { fileSize, json, keyed, print, shellQuote } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const given = input.positionals[0];
  const name = given === undefined ? await appOf(input, client.platform) : checked(given);
  const [app, dynos] = await Promise.all([
    client.get<AppJson>(`/apps/${name}`),
    client.get<readonly DynoJson[]>(`/apps/${name}/dynos`),
  ]);
  if (input.has("json")) {
    json({ app, dynos });
    return 0;
  }
  const facts = factsOf(app, dynos, gitUrl(client.platform, app.name));
  if (input.has("shell")) {
    for (const [key, value] of facts) print(`${key.toLowerCase().replaceAll(" ", "_")}=${shellQuote(value)}`);
    return 0;
  }
  print(`=== ${app.name}\n`);
  for (const line of keyed(facts)) print(line);
  return 0;
}

/** What is shown of an app, in the official client's order. */
export function factsOf(app: AppJson, dynos: readonly DynoJson[], url: string): readonly (readonly [string, string])[] {
  const types = [...new Set(dynos.map((dyno) => dyno.type))].toSorted();
  const counts = types.map((type) => `${type}: ${dynos.filter((dyno) => dyno.type === type).length}`);
  return [
    ["Auto Cert Mgmt", String(app.acm)],
    ["Git URL", url],
    ["Web URL", app.web_url ?? ""],
    ["Repo Size", fileSize(app.repo_size)],
    ["Slug Size", fileSize(app.slug_size)],
    ["Owner", app.owner.email],
    ["Region", app.region.name],
    ["Dynos", counts.join(", ")],
    ["Stack", app.stack.name],
    ...(app.isolation === undefined ? [] : [["Isolation", app.isolation] as const]),
  ];
}
