/** Facts of one thing that happened; never config vars, tokens or a user's text as the event's name. */
export type Facts = Readonly<Record<string, unknown>>;

/** Operators get one JSON line for each thing that happened: a constant `event`, ids, durations. */
export interface Logger {
  info(event: string, facts?: Facts): void;
  warn(event: string, facts?: Facts): void;
  error(event: string, facts?: Facts): void;
}

/** Writes JSON lines to `out` (standard error by default). An `Error` in `facts.error` is written whole. */
export function jsonLogger(part: string, write: (line: string) => void = (line) => process.stderr.write(line)): Logger {
  const at =
    (level: string) =>
    (event: string, facts: Facts = {}) => {
      const { error, ...rest } = facts;
      const failure = error === undefined ? {} : { error: describe(error) };
      write(`${JSON.stringify({ time: new Date().toISOString(), level, part, event, ...rest, ...failure })}\n`);
    };
  return { info: at("info"), warn: at("warn"), error: at("error") };
}

export const silentLogger: Logger = { info: () => {}, warn: () => {}, error: () => {} };

function describe(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? {} : { cause: describe(error.cause) };
  return { name: error.name, message: error.message, stack: error.stack, ...cause };
}
