import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, json, note, print, table } from "../output.ts";
import { wordOf } from "../words.ts";

interface UserJson {
  readonly email: string;
  readonly operator: boolean;
  readonly suspended_at: string | null;
}

export async function list(input: Input): Promise<number> {
  const users = await new Client().get<readonly UserJson[]>("/stator/users");
  if (input.has("json")) json(users);
  else for (const line of format(users)) print(line);
  return 0;
}

export function format(users: readonly UserJson[]): readonly string[] {
  return table(
    users.map(({ email, operator, suspended_at }) => [
      email,
      suspended_at === null ? (operator ? "operator" : "") : `suspended since ${suspended_at}`,
    ]),
  );
}

export async function add(input: Input): Promise<number> {
  const email = wordOf("users:add", "EMAIL", input);
  const body = { email, operator: input.has("operator") };
  await action(`Adding ${email}`, () => new Client().call("POST", "/stator/users", { body }));
  note(`A token for them is made on the platform's machine: sudo stator token --new --email ${email}`);
  return 0;
}

export async function suspend(input: Input): Promise<number> {
  const email = wordOf("users:suspend", "EMAIL", input);
  await action(`Suspending ${email}`, () => change(email, { suspended: true }));
  return 0;
}

export async function resume(input: Input): Promise<number> {
  const email = wordOf("users:resume", "EMAIL", input);
  await action(`Resuming ${email}`, () => change(email, { suspended: false }));
  return 0;
}

export async function remove(input: Input): Promise<number> {
  const email = wordOf("users:remove", "EMAIL", input);
  const heir = input.text("apps-to");
  const body = { apps_to: heir ?? null };
  await action(`Removing ${email}`, () => new Client().call("DELETE", pathOf(email), { body }));
  return 0;
}

function change(email: string, body: unknown): Promise<unknown> {
  return new Client().call("PATCH", pathOf(email), { body });
}

function pathOf(email: string): string {
  return `/stator/users/${encodeURIComponent(email)}`;
}
