import type { Migration } from "kysely/migration";
import { up as first } from "./0001-first.ts";
import { up as isolation } from "./0007-isolation.ts";

/** Every step of the schema, in order. Forward only; a step that was released never changes. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  "0001-first": { up: first },
  "0007-isolation": { up: isolation },
};
