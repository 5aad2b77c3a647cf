import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { action, json, print, warn } from "../output.ts";
import { wordOf } from "../words.ts";

interface KeyJson {
  readonly id: string;
  readonly email: string;
  readonly comment: string;
  readonly public_key: string;
}

export async function list(input: Input): Promise<number> {
  const keys = await ownKeys(new Client());
  if (input.has("json")) json(keys);
  else if (keys[0] === undefined) warn("You have no SSH keys.");
  else {
    print(`=== ${keys[0].email} keys`);
    print();
    for (const { public_key } of keys) print(input.has("long") ? public_key : shortened(public_key));
  }
  return 0;
}

/** `ssh-rsa AAAAB3NzaC...kHzXYcXcQg== me@laptop` */
export function shortened(key: string): string {
  const [type = "", base64 = "", ...comment] = key.trim().split(/\s+/);
  return `${type} ${base64.slice(0, 10)}...${base64.slice(-10)} ${comment.join(" ")}`.trimEnd();
}

export async function add(input: Input): Promise<number> {
  const file = input.positionals.length === 0 ? ownKeyFile() : wordOf("keys:add", "[FILE]", input);
  const body = { public_key: publicKeyIn(file) };
  await action(`Uploading ${file} SSH key`, () => new Client().call("POST", "/account/keys", { body }));
  warn("git talks HTTPS here, with your token as the password: keys are kept, and nothing asks for them yet.");
  return 0;
}

function ownKeyFile(): string {
  const files = ["id_ed25519.pub", "id_rsa.pub"].map((name) => join(homedir(), ".ssh", name));
  const there = files.find((file) => existsSync(file));
  if (there !== undefined) return there;
  throw new UsageError(`No SSH key found: there is neither ${files.join(" nor ")}. ssh-keygen makes one.`, 1);
}

/** A private key that was named by mistake stays here. */
function publicKeyIn(file: string): string {
  const text = readFileSync(file, "utf8");
  if (!text.includes("PRIVATE KEY")) return text;
  throw new UsageError(`${file} holds a private key, which nobody else should see: name ${file}.pub`, 1);
}

export async function remove(input: Input): Promise<number> {
  const comment = wordOf("keys:remove", "COMMENT", input);
  const client = new Client();
  await action(`Removing ${comment} SSH key`, async () => {
    const keys = await ownKeys(client);
    const found = keys.filter((key) => key.comment === comment);
    if (keys.length === 0) throw new UsageError("No SSH keys on account", 1);
    if (found.length === 0)
      throw new UsageError(
        `SSH Key ${comment} not found.\nFound keys: ${keys.map((key) => key.comment).join(", ")}.`,
        1,
      );
    await forget(client, found);
  });
  return 0;
}

export async function clear(): Promise<number> {
  const client = new Client();
  await action("Removing all SSH keys", async () => forget(client, await ownKeys(client)));
  return 0;
}

function ownKeys(client: Client): Promise<readonly KeyJson[]> {
  return client.get<readonly KeyJson[]>("/account/keys");
}

async function forget(client: Client, keys: readonly KeyJson[]): Promise<void> {
  for (const { id } of keys) await client.call("DELETE", `/account/keys/${id}`);
}
