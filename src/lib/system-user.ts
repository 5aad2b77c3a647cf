import { readFile } from "node:fs/promises";

export interface SystemUser {
  readonly uid: number;
  readonly gid: number;
}

/** A system user by name. Throws when `up` has not made it yet. */
export async function userNamed(name: string): Promise<SystemUser> {
  const lines = (await readFile("/etc/passwd", "utf8")).split("\n");
  const [, , uid, gid] = lines.find((line) => line.startsWith(`${name}:`))?.split(":") ?? [];
  if (uid === undefined || gid === undefined) throw new Error(`There is no user ${name}. Run: stator up`);
  return { uid: Number(uid), gid: Number(gid) };
}
