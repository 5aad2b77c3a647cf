import type { Client } from "./client.ts";
import { type Input, UsageError } from "./command.ts";

/** What the commands about an app's own egress rules share. */
export interface EgressJson {
  readonly id: string;
  readonly action: "allow" | "deny";
  readonly cidr: string;
  readonly port: number | null;
}

export const textOf = ({ cidr, port }: Pick<EgressJson, "cidr" | "port">): string =>
  `${cidr}${port === null ? "" : `:${port}`}`;

/** `10.0.0.0/8:5432`, as one word; whether it is a block the platform says. Throws `UsageError`. */
export function placeOf(command: string, input: Input): Pick<EgressJson, "cidr" | "port"> {
  const [text, ...more] = input.positionals;
  const [, cidr, port] = /^([^:]+)(?::(\d{1,5}))?$/.exec(text ?? "") ?? [];
  if (cidr === undefined || more.length > 0)
    throw new UsageError(
      `Usage: stator ${command} CIDR[:PORT] -a APP\nName one block, as 0.0.0.0/0 or 203.0.113.0/24:443.`,
    );
  return { cidr, port: port === undefined ? null : Number(port) };
}

export function rulesOf(client: Client, app: string): Promise<readonly EgressJson[]> {
  return client.get<readonly EgressJson[]>(`/apps/${app}/egress-rules`);
}
