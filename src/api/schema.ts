import Type, { type Static, type TObject, type TProperties, type TSchema } from "typebox";
import type { Instant } from "../lib/clock.ts";
import { UUID } from "../lib/uuid.ts";

export { constantId, constantRef } from "../lib/constant-id.ts";

/** An object of a response: exactly these fields. */
export function exactly<T extends TProperties>(properties: T): TObject<T> {
  return Type.Object(properties, { additionalProperties: false });
}

export function nullable<T extends TSchema>(schema: T) {
  return Type.Union([schema, Type.Null()]);
}

export const Uuid = Type.String({ pattern: UUID.source });
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
