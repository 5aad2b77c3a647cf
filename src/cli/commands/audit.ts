import { appIfAny } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { json, print, table } from "../output.ts";

export interface AuditEventJson {
  readonly created_at: string;
  readonly actor: { readonly email: string } | null;
  readonly app: { readonly name: string } | null;
  readonly type: string;
  readonly action: string;
  readonly outcome: string;
  readonly request: { readonly ip_address: string | null };
  readonly data: Readonly<Record<string, unknown>>;
}

const LINES = 50;
const LINES_MAX = 1000;

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = input.has("all") ? undefined : await appIfAny(input, client.platform);
  const count = countOf(input.text("num"));
  const range = { Range: `sequence ..; max=${count}, order=desc` };
  const path = app === undefined ? "/audit-events" : `/apps/${app}/audit-events`;
  const events = (await client.get<readonly AuditEventJson[]>(path, range)).toReversed();
  if (input.has("json")) json(events);
  else for (const line of format(events, app !== undefined)) print(line);
  return 0;
}

function countOf(text: string | undefined): number {
  if (text === undefined) return LINES;
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= LINES_MAX) return count;
  throw new UsageError(`--num ${text}: a number from 1 to ${LINES_MAX}`);
}

/** Oldest first: when, who, from where, what, of which app, and what was named in it. */
export function format(events: readonly AuditEventJson[], isOfApp: boolean): readonly string[] {
  return table(
    events.map((event) => [
      event.created_at,
      event.actor?.email ?? "root",
      event.request.ip_address ?? "local",
      `${event.type}:${event.action}${event.outcome === "refused" ? " (refused)" : ""}`,
      ...(isOfApp ? [] : [event.app?.name ?? "-"]),
      Object.entries(event.data).map(inWords).join(" "),
    ]),
  );
}

/** Others chose these words: none of them may speak to the terminal. */
function inWords([name, value]: readonly [string, unknown]): string {
  const text = typeof value === "string" ? JSON.stringify(value) : inBrief(value);
  return `${name}=${text}`.replaceAll(/\p{C}/gu, "?");
}

function inBrief(value: unknown): string {
  return Array.isArray(value) && value.every((each) => typeof each === "string")
    ? value.join(",")
    : JSON.stringify(value);
}
