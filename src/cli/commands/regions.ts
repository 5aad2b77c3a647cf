import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, print, titled } from "../output.ts";

interface RegionJson {
  readonly name: string;
  readonly description: string;
  readonly private_capable: boolean;
}

export async function run(input: Input): Promise<number> {
  const all = await new Client().get<readonly RegionJson[]>("/regions");
  const regions = all.filter(({ private_capable: isPrivate }) =>
    input.has("private") ? isPrivate : !input.has("common") || !isPrivate,
  );
  if (input.has("json")) json(regions);
  else {
    const rows = regions.map(({ name, description, private_capable: isPrivate }) => [
      name,
      description,
      isPrivate ? "Private Spaces" : "Common Runtime",
    ]);
    for (const line of titled([["ID", "Location", "Runtime"], ...rows])) print(line);
  }
  return 0;
}
