import { createInterface } from "node:readline";
import { CommandError, ended, type Readable, start } from "../../lib/command.ts";

/**
 * The machine's ordinary clients (apt, npm) with the person's own settings for them: proxies, registry, authorities.
 */
const KEPT =
  /^(?:npm_config_\w+|(?:https?|no|all|ftp)_proxy|\w*CA_CERTS|SSL_CERT_(?:FILE|DIR)|CURL_CA_BUNDLE|HOME|LANG|LC_\w+)$/i;

export function clientEnvironment(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Readonly<Record<string, string>> {
  const kept = Object.entries(env).filter(
    (pair): pair is [string, string] => pair[1] !== undefined && KEPT.test(pair[0]),
  );
  // The toolchain's Node brings authorities of its own; the machine's own store counts too, as for the distribution's Node.
  return { NODE_USE_SYSTEM_CA: "1", ...Object.fromEntries(kept) };
}

const TAIL_LINES = 25;

export interface LoudOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Each line that it prints, on either stream. */
  readonly onLine: (line: string) => void;
}

/** Runs a program that takes long; when it fails, its last lines are in the error. Throws `CommandError`. */
export async function runLoud(program: string, args: readonly string[], options: LoudOptions): Promise<void> {
  const child = start(program, args, {
    env: options.env,
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const tail: string[] = [];
  const read = async (stream: Readable | null): Promise<void> => {
    if (stream === null) return;
    for await (const line of createInterface({ input: stream })) {
      tail.push(line);
      if (tail.length > TAIL_LINES) tail.shift();
      options.onLine(line);
    }
  };
  const [end] = await Promise.all([ended(child, program), read(child.stdout), read(child.stderr)]);
  if (end.code !== 0) {
    const what = end.code === null ? `killed by ${end.signal}` : `status ${end.code}`;
    throw new CommandError([program, ...args].join(" "), what, end.code, `\n${tail.join("\n")}`);
  }
}
