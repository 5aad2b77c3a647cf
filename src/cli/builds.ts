import type { Client } from "./client.ts";
import { pour } from "./output.ts";

/** What the commands about builds read of the API's answers. */
export interface BuildJson {
  readonly id: string;
  readonly status: string;
  readonly created_at: string;
  readonly output_stream_url: string;
  readonly buildpacks: readonly { readonly url: string }[] | null;
  readonly source_blob: { readonly url: string; readonly version: string | null };
  readonly release: { readonly id: string } | null;
  readonly user: { readonly email: string };
}

/** The named build, else the newest. */
export async function buildOf(client: Client, app: string, id: string | undefined): Promise<BuildJson | undefined> {
  if (id !== undefined) return client.get<BuildJson>(`/apps/${app}/builds/${encodeURIComponent(id)}`);
  const headers = { Range: "created_at ..; max=1, order=desc" };
  return (await client.get<readonly BuildJson[]>(`/apps/${app}/builds`, headers))[0];
}

/** Writes what the build says until its end; gives the exit status. */
export async function follow(client: Client, app: string, build: BuildJson): Promise<number> {
  await pour(await client.open("GET", build.output_stream_url));
  const { status } = await client.get<BuildJson>(`/apps/${app}/builds/${build.id}`);
  return status === "failed" ? 1 : 0;
}
