import type { Migration } from "kysely/migration";
import { up as first } from "./0001-first.ts";
import { up as manifest } from "./0003-manifest.ts";
import { up as health } from "./0004-health.ts";

/** Every step of the schema, in order. Forward only; a step that was released never changes. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  "0001-first": { up: first },
  "0003-manifest": { up: manifest },
  "0004-health": { up: health },
};
