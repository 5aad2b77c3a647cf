import { existsSync, readFileSync, statfsSync, statSync } from "node:fs";
import { freemem, totalmem } from "node:os";
import { dirname } from "node:path";
import { parseEnv } from "node:util";
import { type Config, SETTINGS } from "../../config.ts";
import { shellQuote } from "../output.ts";
import { type Holder, holderOf, type Listener, listeners, takes } from "./ports.ts";

/** What the machine is like, before anything is changed on it. */
export interface Facts {
  readonly uid: number;
  readonly arch: string;
  /** `debian`, `ubuntu`, ... and `12`, `24.04`. */
  readonly distribution: string;
  readonly version: string;
  readonly hasApt: boolean;
  readonly memoryMb: number;
  readonly diskMb: number;
  readonly taken: readonly TakenPort[];
  /** The first folder on the way to the home that other users may not pass; dynos and the daemon must. */
  readonly closedFolder: string | undefined;
}

export interface TakenPort {
  /** The setting that names it. */
  readonly setting: Setting;
  readonly port: number;
  readonly holder: Holder | undefined;
  /** A port that is free. */
  readonly instead: number;
}

type Setting = (typeof SETTINGS)[number];

const MEMORY_MB_MIN = 900;
/** Stacks, packages, the toolchain, and room for a first slug. */
const DISK_MB_MIN = 4_000;
const DISK_MB_AGAIN = 500;
const SUPPORTED: Readonly<Record<string, readonly string[]>> = { debian: ["12", "13"], ubuntu: ["24.04", "26.04"] };

export interface Verdict {
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

export interface Invocation {
  /** What the person typed: `./bin/up` or `stator up`. */
  readonly command: string;
  /** Whether they came through sudo. */
  readonly sudo: boolean;
  /** Settings that they gave. */
  readonly given: Readonly<Record<string, string>>;
  readonly installed: boolean;
}

/** What stands in the way, each in a sentence with what to do about it. Pure. */
export function judge(facts: Facts, config: Config, invocation: Invocation): Verdict {
  const problems: string[] = [];
  const warnings: string[] = [];
  if (facts.uid !== 0) problems.push(`This needs root: type sudo ${invocation.command}`);
  if (!facts.hasApt) problems.push("This machine has no apt: Debian 12 or 13, or Ubuntu 24.04 or newer, is needed.");
  else if (SUPPORTED[facts.distribution]?.includes(facts.version) !== true) {
    const known = "Debian 12 and 13, Ubuntu 24.04 and 26.04";
    warnings.push(`${facts.distribution} ${facts.version} is not among what this is tried on (${known}); going on.`);
  }
  if (!["x64", "arm64"].includes(facts.arch))
    problems.push(`Processors of kind ${facts.arch} are not supported: x64 or arm64.`);
  if (facts.memoryMb < MEMORY_MB_MIN)
    problems.push(`This machine has ${facts.memoryMb} MB of memory; at least ${MEMORY_MB_MIN} MB are needed.`);
  const disk = invocation.installed ? DISK_MB_AGAIN : DISK_MB_MIN;
  if (facts.diskMb < disk)
    problems.push(
      `Only ${facts.diskMb} MB are free where ${config.instance.home} goes; at least ${disk} MB are needed. Choose another place with STATOR_HOME=/path.`,
    );
  if (facts.closedFolder !== undefined)
    problems.push(
      `${facts.closedFolder} is closed to other users, and dynos must pass: type chmod o+x ${shellQuote(facts.closedFolder)}, or choose another place with STATOR_HOME=/path.`,
    );
  for (const [setting, port] of [
    ["STATOR_API_PORT", config.apiPort],
    ["STATOR_TLS_PORT", config.tlsPort],
  ] as const) {
    if (port < 1024)
      problems.push(`${setting}=${port}: the unprivileged daemon cannot open ports below 1024; choose a higher one.`);
  }
  if (facts.taken.length > 0) problems.push(portsTaken(facts.taken, invocation));
  return { problems, warnings };
}

function portsTaken(taken: readonly TakenPort[], { command, sudo, given }: Invocation): string {
  const lines = taken.map(({ setting, port, holder }) => {
    const by =
      holder === undefined ? "a process that cannot be seen from here" : `${holder.name} (process ${holder.pid})`;
    return `Port ${port} (${setting}) is taken by ${by}.`;
  });
  const settings = { ...given, ...Object.fromEntries(taken.map(({ setting, instead }) => [setting, String(instead)])) };
  const words = Object.entries(settings).map(([name, value]) => `${name}=${shellQuote(value)}`);
  return `${lines.join("\n")}\nChoose another ${taken.length === 1 ? "one" : "one for each"}:\n  ${[...(sudo ? ["sudo"] : []), ...words, command].join(" ")}`;
}

/** Looks at the machine. `own`: processes of this instance, whose ports are ours already. */
export function look(config: Config, own: ReadonlySet<number>): Facts {
  const release = parseEnv(readIfThere("/etc/os-release") ?? "");
  return {
    uid: process.getuid?.() ?? -1,
    arch: process.arch,
    distribution: release["ID"] ?? "unknown",
    version: release["VERSION_ID"] ?? "",
    hasApt: existsSync("/usr/bin/apt-get"),
    memoryMb: Math.round(Math.max(totalmem(), freemem()) / 1024 / 1024),
    diskMb: freeMb(config.instance.home),
    taken: takenPorts(config, listeners(), (inode) => holderOf(inode), own),
    closedFolder: closedFolder(config.instance.home),
  };
}

function closedFolder(path: string): string | undefined {
  if (path === "/") return undefined;
  const isClosed = existsSync(path) && (statSync(path).mode & 0o001) === 0;
  return closedFolder(dirname(path)) ?? (isClosed ? path : undefined);
}

/** Ports of the configuration that somebody else listens on, each with a free one instead. Pure but for `holder`. */
export function takenPorts(
  config: Config,
  all: readonly Listener[],
  holder: (inode: string) => Holder | undefined,
  own: ReadonlySet<number>,
): readonly TakenPort[] {
  const wanted = [
    { setting: "STATOR_HTTP_PORT", port: config.httpPort, where: "any", first: 8080 },
    { setting: "STATOR_HTTPS_PORT", port: config.httpsPort, where: "any", first: 8443 },
    { setting: "STATOR_API_PORT", port: config.apiPort, where: "loopback", first: config.apiPort + 1 },
    { setting: "STATOR_TLS_PORT", port: config.tlsPort, where: "any", first: config.tlsPort + 1 },
  ] as const;
  const used = new Set([...all.map((each) => each.port), ...wanted.map((each) => each.port)]);
  return wanted.flatMap(({ setting, port, where, first }) => {
    const listener = all.find((each) => takes(each, port, where));
    if (listener === undefined) return [];
    const who = holder(listener.inode);
    if (who !== undefined && own.has(who.pid)) return [];
    let instead = first;
    while (used.has(instead)) instead++;
    used.add(instead);
    return [{ setting, port, holder: who, instead }];
  });
}

function freeMb(path: string): number {
  const there = existsSync(path) || path === "/" ? path : undefined;
  if (there === undefined) return freeMb(dirname(path));
  const { bavail, bsize } = statfsSync(there);
  return Math.floor((bavail * bsize) / 1024 / 1024);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
