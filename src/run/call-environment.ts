import { PlatformError } from "../model/errors.ts";

type CallEnv = Readonly<Record<string, string | number>>;

const KEY = /^[A-Za-z_][A-Za-z0-9_]*$/;
const BYTES_MAX = 64 * 1024;
const WINDOW = { rows: 24, columns: 80 };
const WINDOW_MAX = 10_000;

/**
 * The environment that comes with the call (spec 3.9). A terminal tells its size itself, and follows the client's: COLUMNS
 * and LINES would freeze it for the programs that look at them first. Throws `invalid_params`.
 */
export function environment(env: CallEnv, hasTerminal: boolean): Readonly<Record<string, string>> {
  const kept = Object.entries(env).filter(([key]) => !(hasTerminal && (key === "COLUMNS" || key === "LINES")));
  let bytes = 0;
  for (const [key, value] of kept) {
    if (!KEY.test(key))
      throw new PlatformError("invalid_params", `env ${JSON.stringify(key)} is not a variable's name.`);
    if (key === "__proto__" || String(value).includes("\0")) {
      throw new PlatformError("invalid_params", `env ${key} cannot be put into an environment.`);
    }
    bytes += key.length + Buffer.byteLength(String(value));
  }
  if (bytes > BYTES_MAX) throw new PlatformError("invalid_params", `env takes ${bytes} bytes: at most ${BYTES_MAX}.`);
  return Object.fromEntries(kept.map(([key, value]) => [key, String(value)]));
}

/** The size of the client's terminal, from COLUMNS and LINES, or the usual 80 by 24. */
export function windowOf(env: CallEnv): { readonly rows: number; readonly columns: number } {
  return { rows: cells(env["LINES"], WINDOW.rows), columns: cells(env["COLUMNS"], WINDOW.columns) };
}

/** A number of rows or columns; `byDefault` for what cannot be one. */
export function cells(value: unknown, byDefault: number): number {
  const number = Number(value ?? Number.NaN);
  return Number.isSafeInteger(number) && number >= 1 && number <= WINDOW_MAX ? number : byDefault;
}
