import { buildpackOf } from "../buildpacks.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, print, titled } from "../output.ts";

interface RevisionJson {
  readonly release: number;
  readonly created_at: string;
  readonly status: string;
}

export async function run(input: Input): Promise<number> {
  const name = buildpackOf("buildpacks:versions", input);
  const all = await new Client().get<readonly RevisionJson[]>(`/buildpacks/${encodeURIComponent(name)}/revisions`);
  if (input.has("json")) {
    json(all);
    return 0;
  }
  const rows = all.map(({ release, created_at, status }) => [String(release), created_at, status]);
  for (const line of titled([["Version", "Released At", "Status"], ...rows])) print(line);
  return 0;
}
