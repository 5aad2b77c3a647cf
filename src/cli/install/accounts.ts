import { existsSync, readFileSync } from "node:fs";
import { writeFileAtomic } from "../../lib/atomic-file.ts";
import { run } from "../../lib/command.ts";
import type { Instance } from "../../model/instance.ts";

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

/** A line of `/etc/passwd`; undefined if there is no such name. */
export function accountNamed(name: string, passwd = readFileSync("/etc/passwd", "utf8")): Account | undefined {
  const fields = passwd
    .split("\n")
    .map((line) => line.split(":"))
    .find((each) => each[0] === name);
  if (fields === undefined) return undefined;
  return { name, uid: Number(fields[2]), gid: Number(fields[3]), home: fields[5] ?? "/" };
}

/** Users of the instance that are not there yet. */
export function missingAccounts(instance: Instance): readonly string[] {
  return Object.values(instance.users).filter((name) => accountNamed(name) === undefined);
}

/** Makes a system user with a group of its own and no way to log in. */
export async function createAccount(name: string): Promise<void> {
  const nowhere = ["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"];
  await run("useradd", ["--system", "--user-group", ...nowhere, "--comment", "Stator", "--", name]);
}

/** Removes the instance's users; also what is left of them in the tables of subordinate ids. */
export async function removeAccounts(instance: Instance): Promise<void> {
  for (const name of Object.values(instance.users)) {
    if (accountNamed(name) !== undefined) await run("userdel", ["--", name]);
    for (const table of ["/etc/subuid", "/etc/subgid"]) await removeLinesOf(name, table);
  }
}

/** Some versions of `userdel` leave them. */
async function removeLinesOf(name: string, table: string): Promise<void> {
  if (!existsSync(table)) return;
  const before = readFileSync(table, "utf8");
  const after = before
    .split("\n")
    .filter((line) => !line.startsWith(`${name}:`))
    .join("\n");
  if (after !== before) await writeFileAtomic(table, after, { mode: 0o644 });
}

/** The person behind `sudo`, else who runs this. */
export function person(env: Readonly<Record<string, string | undefined>> = process.env): Account {
  const name = env["SUDO_USER"];
  const behind = name === undefined || name === "root" ? undefined : accountNamed(name);
  if (behind !== undefined && process.getuid?.() === 0) return behind;
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  return { name: env["USER"] ?? "root", uid, gid, home: env["HOME"] ?? "/root" };
}
