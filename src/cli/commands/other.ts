import { constants } from "node:os";
import { systemClock } from "../../lib/clock.ts";
import { ended, start } from "../../lib/command.ts";
import { startRelay } from "../../relay/relay.ts";
import { type Input, UsageError } from "../command.ts";
import { isAccepted, officialEnvironment, relayEnvironment } from "../official.ts";
import { whyElsewhere } from "../official-elsewhere.ts";
import { note } from "../output.ts";
import { choosePlatform, type Platform } from "../platform.ts";
import { programNamed } from "../programs.ts";
import { execAddressFor, newSecret, relayTo } from "../relays.ts";

/** `stator heroku ...` */
export function run(input: Input): Promise<number> {
  return runOfficial(input.positionals, "the official heroku CLI is not installed");
}

/**
 * The official CLI, pointed at this platform, with its arguments as they are: its terminal is ours, and so is its exit status. For a
 * platform elsewhere a relay is there as long as the command runs, on a port and with a secret of its own. Throws `UsageError` for
 * commands that would take the token to Heroku.
 */
export async function runOfficial(
  args: readonly string[],
  missing = `stator has no command ${args[0]}, and the official heroku CLI, which may know it, is not installed`,
): Promise<number> {
  const elsewhere = whyElsewhere(args);
  if (elsewhere !== undefined) throw new UsageError(elsewhere, 1);
  const program = programNamed("heroku");
  if (program === undefined) {
    note(` ›   Error: ${missing}: npm install -g heroku`);
    return 127;
  }
  const platform = choosePlatform();
  if (isAccepted(platform.url)) return toItsEnd(program, args, await officialEnvironment(platform));
  const { url, token, ca } = platform;
  if (token === undefined) throw new UsageError(`No token for ${url} yet: type stator login ${url}`, 1);
  const saved = await relayTo(url);
  const secret = newSecret();
  await using relay = await startRelay({
    ...saved,
    platform: { url, token, ca },
    port: 0,
    secret,
    execAddress: execAddressFor(secret), // not that of a relay which runs beside this one
    clock: systemClock,
  });
  return await toItsEnd(program, args, await environment({ ...saved, secret, port: relay.port }, platform));
}

/** A remote that git is given now must lead somewhere later too: to the platform itself. */
function environment(relay: Parameters<typeof relayEnvironment>[0], platform: Platform) {
  return relayEnvironment(relay, process.env, platform);
}

async function toItsEnd(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<number> {
  const own = Object.entries(process.env).filter((pair): pair is [string, string] => pair[1] !== undefined);
  const env = { ...Object.fromEntries(own), ...environment };
  const child = start(program, args, { env, cwd: process.cwd(), stdio: "inherit" });
  // A terminal gives Ctrl-C to it as well as to us.
  process.on("SIGINT", () => {
    if (process.stdin.isTTY !== true) child.kill("SIGINT");
  });
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  const { code, signal } = await ended(child, program);
  return code ?? (signal === null ? 1 : 128 + constants.signals[signal]);
}
