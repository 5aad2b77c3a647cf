import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Config, loadConfig } from "../config.ts";
import { appliedFileOf, readAllowed } from "../host/network-allow.ts";
import { type Destination, DestinationError, parseDestination } from "../model/destination.ts";
import { type Instance, programOf } from "../model/instance.ts";
import { listApps } from "./admin.ts";
import { appIfAny, appOf } from "./app-name.ts";
import { UnreachableError } from "./client.ts";
import { type Input, UsageError } from "./command.ts";
import { processesOf } from "./install/processes.ts";
import { shellQuote } from "./output.ts";
import { localUrl, type Platform } from "./platform.ts";

/** What the commands about the network share: they are for the operator of this machine, and its platform alone. */
export interface NamedApp {
  readonly id: string;
  readonly name: string;
}

export function needRoot(command: string, input: Input): void {
  if (process.getuid?.() === 0) return;
  const app = input.text("app");
  const words = [command, ...input.positionals, ...(app === undefined ? [] : ["-a", app])].map(shellQuote);
  const program = programOf(loadConfig().instance);
  throw new UsageError(`This is for root of the platform's machine: type sudo ${program} ${words.join(" ")}`, 1);
}

/** The one destination that is named. Throws `UsageError` with what to type instead. */
export function destinationOf(command: string, input: Input): Destination {
  const [text, ...more] = input.positionals;
  if (text === undefined || more.length > 0)
    throw new UsageError(`Usage: stator ${command} ADDRESS[:PORT] -a APP\nName one address, as 10.0.0.5:5432.`);
  try {
    return parseDestination(text);
  } catch (error) {
    if (error instanceof DestinationError) throw new UsageError(error.message, 1);
    throw error;
  }
}

/** The app that is named, by its name or id, or by the git remote of the folder. */
export async function namedApp(input: Input, config: Config): Promise<NamedApp> {
  return findApp(await appOf(input, thisMachine(config)), config.instance);
}

export async function namedAppIfAny(input: Input, config: Config): Promise<NamedApp | undefined> {
  if (!input.has("app") && !input.has("remote")) return undefined; // all apps, in whatever folder
  const name = await appIfAny(input, thisMachine(config));
  return name === undefined ? undefined : findApp(name, config.instance);
}

/** The same, but an id that was allowed something is taken as it is: neither the daemon nor the app need be there. */
export async function allowedApp(input: Input, config: Config): Promise<NamedApp> {
  const given = input.text("app") ?? "";
  const { apps } = await readAllowed(config.instance);
  return apps.has(given) ? { id: given, name: given } : namedApp(input, config);
}

/** Names of all apps by their ids; none where the daemon cannot be asked. */
export async function appNames({ instance }: Config): Promise<ReadonlyMap<string, string>> {
  try {
    return new Map((await listApps(instance)).map(({ id, name }) => [id, name]));
  } catch (error) {
    if (error instanceof UnreachableError) return new Map();
    throw error;
  }
}

async function findApp(nameOrId: string, instance: Instance): Promise<NamedApp> {
  const found = (await listApps(instance)).find(({ id, name }) => name === nameOrId || id === nameOrId);
  if (found === undefined) throw new UsageError(`There is no app ${nameOrId} on this machine's platform.`, 1);
  return found;
}

/** Whatever platform other commands speak to: only this machine's has its rules here. */
function thisMachine(config: Config): Platform {
  return { url: localUrl(config), token: undefined, ca: undefined, local: true };
}

const APPLIED_MS = 10_000;

/** Waits until the rules say what the file says; false: nothing of ours runs that could make them. Throws when they never do. */
export async function untilApplied(instance: Instance): Promise<boolean> {
  if (!processesOf(instance).some(({ role }) => role === "host")) return false;
  for (const deadline = performance.now() + APPLIED_MS; performance.now() < deadline; await pause(20)) {
    const applied = await readFile(appliedFileOf(instance), "utf8").catch(() => ""); // not yet
    if (applied === (await readAllowed(instance)).version) return true;
  }
  const log = join(instance.paths.processLogs, "host.log");
  throw new UsageError(`It is noted, but the rules do not say it after ${APPLIED_MS / 1000} s: look into ${log}`, 1);
}
