import { createHash } from "node:crypto";

/** The same UUID for the same words, for ever: ids of what is in no table (stacks, regions, sizes). */
export function constantId(kind: string, name: string): string {
  const hex = createHash("sha256").update(`${kind}/${name}`).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

const constants = new Map<string, { readonly id: string; readonly name: string }>();

/** Of what is in no table and has a name of ours: there are few, so that they are remembered. */
export function constantRef(kind: string, name: string): { readonly id: string; readonly name: string } {
  const key = `${kind}/${name}`;
  const made = constants.get(key) ?? Object.freeze({ id: constantId(kind, name), name });
  constants.set(key, made);
  return made;
}
