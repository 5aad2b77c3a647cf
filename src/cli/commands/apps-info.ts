import { inspect } from "node:util";
import type { AppJson, DynoJson } from "../api.ts";
import { appIfAny, checked } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { gitUrl } from "../git-remote.ts";
import { fields, fileSize, json, print } from "../output.ts";

/** With the official client's names: it is what `--json` shows. */
export interface AppInfo {
  readonly addons: readonly unknown[];
  readonly app: AppJson;
  readonly collaborators: readonly { readonly user: { readonly email: string } }[];
  readonly dynos: readonly DynoJson[];
  readonly pipeline_coupling: { readonly pipeline: { readonly name: string }; readonly stage: string } | null;
}

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const given = input.positionals[0];
  const name = given === undefined ? await appIfAny(input, client.platform) : checked(given);
  if (name === undefined) throw new UsageError("No app specified.\nUSAGE: stator apps:info --app my-app", 1);
  const info = await infoOf(client, name);
  const url = gitUrl(client.platform, info.app.name);
  if (input.has("json")) json(info);
  else if (input.has("shell")) for (const line of shellLines(info, url)) print(line);
  else for (const line of format(info, url)) print(line);
  if (input.has("extended") && !input.has("json") && !input.has("shell")) print("\n\n--- Extended Information ---\n\n");
  return 0;
}

async function infoOf(client: Client, name: string): Promise<AppInfo> {
  const of = <T>(what: string, otherwise: T): Promise<T> =>
    client.get<T>(`/apps/${name}/${what}`).catch(() => otherwise); // hidden from the caller, or there is none
  const [addons, app, dynos, collaborators, coupling] = await Promise.all([
    of<AppInfo["addons"]>("addons", []),
    client.get<AppJson>(`/apps/${name}`),
    of<AppInfo["dynos"]>("dynos", []),
    of<AppInfo["collaborators"]>("collaborators", []),
    of<AppInfo["pipeline_coupling"]>("pipeline-couplings", null),
  ]);
  return { addons, app, collaborators, dynos, pipeline_coupling: coupling };
}

/** What is shown of an app, in the official client's order. */
export function format(info: AppInfo, url: string): readonly string[] {
  const { app, pipeline_coupling: coupling } = info;
  const next = app.build_stack.name;
  const facts = {
    Collaborators: othersOf(info),
    Pipeline: coupling && `${coupling.pipeline.name} - ${coupling.stage}`,
    "Auto Cert Mgmt": app.acm,
    "Git URL": url,
    "Web URL": app.web_url,
    "Repo Size": fileSize(app.repo_size),
    "Slug Size": fileSize(app.slug_size),
    Owner: app.owner.email,
    Region: app.region.name,
    Dynos: countsOf(info),
    Stack: next === app.stack.name ? next : `${app.stack.name} (next build will use ${next})`,
    Isolation: app.isolation,
  };
  return [`=== ${app.name}`, "", ...fields(facts)];
}

/** Not quoted, as the official client's are not. */
export function shellLines(info: AppInfo, url: string): readonly string[] {
  const { app, pipeline_coupling: coupling } = info;
  const facts: Readonly<Record<string, string | undefined>> = {
    auto_cert_mgmt: String(app.acm),
    addons: "",
    collaborators: othersOf(info).join(","),
    pipeline: coupling === null ? undefined : `${coupling.pipeline.name}:${coupling.stage}`,
    git_url: url,
    web_url: String(app.web_url),
    repo_size: fileSize(app.repo_size),
    slug_size: fileSize(app.slug_size),
    owner: app.owner.email,
    region: app.region.name,
    dynos: inspect(countsOf(info)),
    stack: app.stack.name,
    isolation: app.isolation,
  };
  return Object.entries(facts).flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${value}`]));
}

function othersOf({ app, collaborators }: AppInfo): readonly string[] {
  return collaborators
    .map(({ user }) => user.email)
    .filter((email) => email !== app.owner.email)
    .toSorted();
}

/** How many dynos there are of each process type. */
function countsOf({ dynos }: AppInfo): Readonly<Record<string, number>> {
  const byType = Map.groupBy(dynos, ({ type }) => type);
  return Object.fromEntries([...byType].map(([type, all]) => [type, all.length]));
}
