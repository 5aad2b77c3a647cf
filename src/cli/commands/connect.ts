import { setTimeout as pause } from "node:timers/promises";
import { systemClock } from "../../lib/clock.ts";
import { start } from "../../lib/command.ts";
import { startRelay } from "../../relay/relay.ts";
import { type Input, UsageError } from "../command.ts";
import { isAccepted } from "../official.ts";
import { note, warn } from "../output.ts";
import { choosePlatform, originOf, type Platform, platformNamed } from "../platform.ts";
import {
  clientOf,
  execAddressFor,
  originOfRelay,
  readRelays,
  relayTo,
  runsRelay,
  type SavedRelay,
  saveRelay,
} from "../relays.ts";
import { logIn } from "./login.ts";

/** How long one in the background may take to answer. */
const READY_MS = 15_000;
const LOOK_MS = 100;

export async function run(input: Input): Promise<number> {
  const url = urlOf(input);
  let platform = platformNamed(url);
  if (platform.token === undefined) {
    await logIn(url, input);
    platform = platformNamed(url);
  }
  const wanted = portOf(input);
  const saved = await relayTo(url);
  const relay = wanted === undefined ? saved : { ...saved, port: wanted };
  if (await runsRelay(url, saved)) {
    note(`A relay to ${url} runs already, on ${originOfRelay(saved)}.`);
    return 0;
  }
  return input.has("background") ? inBackground(url, relay) : inForeground(platform, relay);
}

export async function disconnect(input: Input): Promise<number> {
  const url = urlOf(input);
  const relay = readRelays()[url];
  if (relay === undefined || !(await runsRelay(url, relay))) {
    note(`No relay to ${url} runs.`);
    return 1;
  }
  await clientOf(relay).call("DELETE", "/stator/relay");
  note(`The relay to ${url} has ended.`);
  return 0;
}

/** Until it is interrupted, or `stator disconnect` ends it. */
async function inForeground(platform: Platform, relay: SavedRelay): Promise<number> {
  const { url, token = "", ca } = platform;
  await using running = await startRelay({
    ...relay,
    platform: { url, token, ca },
    execAddress: execAddressFor(url),
    clock: systemClock,
  }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EADDRINUSE") throw error;
    throw new UsageError(
      `Port ${relay.port} of 127.0.0.1, which this relay has, is taken. Give it another one with --port (0: any that is free).`,
      1,
    );
  });
  const listening = { ...relay, port: running.port };
  await saveRelay(url, listening);
  note(`The relay to ${url} listens on ${originOfRelay(listening)}; Ctrl-C ends it.`);
  if (running.execRefusal !== null) warn(`ps:exec of the official CLI does not work here: ${running.execRefusal}.`);
  note('In other terminals: eval "$(stator env)", then heroku as ever.');
  const signalled = new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => resolve());
  });
  await Promise.race([signalled, running.askedToStop]);
  return 0;
}

/** The same in a process of its own, which outlives this terminal; returns once it answers. */
async function inBackground(url: string, relay: SavedRelay): Promise<number> {
  const own = Object.entries(process.env).filter((pair): pair is [string, string] => pair[1] !== undefined);
  const args = [...process.execArgv, process.argv[1] ?? "", "connect", url, "--port", String(relay.port)];
  const child = start(process.execPath, args, { env: Object.fromEntries(own), stdio: "ignore", detached: true });
  let code: number | null | undefined;
  child.once("exit", (status) => (code = status));
  child.unref();
  for (let waited = 0; waited < READY_MS && code === undefined; waited += LOOK_MS) {
    await pause(LOOK_MS);
    const now = readRelays()[url] ?? relay;
    if (!(await runsRelay(url, now))) continue;
    note(`The relay to ${url} listens on ${originOfRelay(now)}; stator disconnect ends it.`);
    note('Now: eval "$(stator env)", then heroku as ever.');
    return 0;
  }
  throw new UsageError(`The relay to ${url} does not answer; see why with: stator connect ${url}`, 1);
}

function urlOf(input: Input): string {
  const [given, extra] = input.positionals;
  if (extra !== undefined) throw new UsageError(`Unexpected argument: ${extra}`);
  const url = given === undefined ? choosePlatform().url : originOf(given);
  if (url.startsWith("https:")) return url;
  const why = isAccepted(url)
    ? `The official CLI reaches ${url} without a relay: eval "$(stator env)".`
    : `A relay goes to a platform by https alone, not to ${url}.`;
  throw new UsageError(why, 1);
}

function portOf(input: Input): number | undefined {
  const text = input.text("port");
  if (text === undefined) return undefined;
  const port = Number(text);
  if (Number.isInteger(port) && (port === 0 || (port >= 1024 && port <= 65_535))) return port;
  throw new UsageError(`--port ${text}: must be a port from 1024 to 65535, or 0 for any that is free`);
}
