import { PlatformError } from "../../model/errors.ts";

/** The row, or `not_found` in the API's words. */
export function found<T>(row: T | undefined, resource: string): T {
  if (row === undefined) throw new PlatformError("not_found", `Couldn't find that ${resource}.`, { resource });
  return row;
}
