import { createInterface } from "node:readline";
import type { Client } from "./client.ts";
import { type Input, UsageError } from "./command.ts";

/** `/apps/:app/stator/recordings`: ours. */
export interface RecordingJson {
  readonly id: string;
  readonly dyno: string;
  readonly command: string;
  readonly user: { readonly email: string };
  readonly created_at: string;
  readonly updated_at: string;
  readonly exit_status: number | null;
  readonly bytes: number;
}

export const recordingsPath = (app: string): string => `/apps/${app}/stator/recordings`;

/** By its id, or the beginning of it. Throws `UsageError`. */
export async function recordingOf(client: Client, app: string, input: Input): Promise<RecordingJson> {
  const [wanted = ""] = input.positionals;
  if (wanted === "") throw new UsageError("Name the recording; stator recordings lists them.");
  const all = await client.call<readonly RecordingJson[]>("GET", recordingsPath(app));
  const [found, ...more] = all.filter(({ id }) => id.startsWith(wanted));
  if (found === undefined) throw new UsageError(`${app} has no recording ${wanted}; stator recordings lists them.`, 1);
  if (more.length > 0) throw new UsageError(`Several recordings of ${app} begin with ${wanted}: give more of it.`, 1);
  return found;
}

/** One event of an asciicast: seconds since the beginning, what it is, its text. */
export interface CastEvent {
  readonly at: number;
  readonly type: string;
  readonly text: string;
}

/** A line after the first; undefined: none, as the half last one that a killed daemon leaves. */
export function castEvent(line: string): CastEvent | undefined {
  try {
    const [at, type, text] = JSON.parse(line) as readonly unknown[]; // checked next
    const isEvent = typeof at === "number" && typeof type === "string" && typeof text === "string";
    return isEvent ? { at, type, text } : undefined;
  } catch {
    return undefined;
  }
}

/** The events of a recording, as they come. */
export async function* castOf(client: Client, app: string, id: string): AsyncGenerator<CastEvent> {
  const lines = createInterface({ input: await client.open("GET", `${recordingsPath(app)}/${id}/cast`) });
  let isHead = true;
  for await (const line of lines) {
    const event = isHead ? undefined : castEvent(line);
    isHead = false;
    if (event !== undefined) yield event;
  }
}
