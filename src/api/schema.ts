import { createHash } from "node:crypto";
import Type, { type Static, type TObject, type TProperties, type TSchema } from "typebox";
import type { Instant } from "../lib/clock.ts";

/** An object of a response: exactly these fields. */
export function exactly<T extends TProperties>(properties: T): TObject<T> {
  return Type.Object(properties, { additionalProperties: false });
}

export function nullable<T extends TSchema>(schema: T) {
  return Type.Union([schema, Type.Null()]);
}

export const Uuid = Type.String({ pattern: "^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$" });
/** UTC, whole seconds. */
export const DateTime = Type.String({ pattern: "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ$" });
export const Named = exactly({ id: Uuid, name: Type.String() });
export const Person = exactly({ id: Uuid, email: Type.String() });
export const Empty = exactly({});
export const Nothing = Type.Array(Type.Never());
/** A request body of which nothing is read. */
export const Anything = Type.Unknown();

/** Words that people read on terminals: no control characters. */
export function words(maxLength: number, minLength = 0) {
  return Type.String({
    maxLength,
    minLength,
    pattern: "^[^\\u0000-\\u001f\\u007f-\\u009f\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]*$",
  });
}

export type DateTime = Static<typeof DateTime>;

export function dateTime(at: Instant): DateTime {
  return `${new Date(at).toISOString().slice(0, 19)}Z`;
}

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
