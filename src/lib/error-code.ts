/** The `code` of an error of Node's or the system's; undefined: it has none. */
export function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
