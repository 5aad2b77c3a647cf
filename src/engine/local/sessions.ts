import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { addAbortListener } from "../../lib/abort.ts";
import { type ChildProcess, ended, start } from "../../lib/command.ts";
import { BASE_ENVIRONMENT, bareArguments, checkArguments } from "../../model/boot.ts";
import type { Isolation } from "../../model/isolation.ts";
import { type ByteStream, EngineError, type ExecRequest } from "../engine.ts";
import type { DynoFolder } from "./dyno-folder.ts";
import { type ExecFiles, killExecuted } from "./runtime.ts";
import type { Workshop } from "./workshop.ts";

/** Of a running dyno. */
export interface SessionTarget {
  readonly id: string;
  readonly folder: DynoFolder;
  readonly isolation: Isolation;
  /** Aborted when it has ended. */
  readonly life: AbortSignal;
}

/** What is known of each: the process (`.json`), its number (`.pid`), the socket of its terminal (`.sock`). */
export const SESSIONS_FOLDER = "sessions";
/** Each costs 8 MB of the host's memory while it is open. */
const OF_DYNO_MAX = 32;
const OF_ALL_MAX = 256;
/** After the dyno's end. */
const LINGER_MS = 5000;
/** A short name: the path of a socket holds 107 bytes. */
const NAME_BYTES = 4;
/** Numbers of system calls that Perl cannot make by name. */
const CALLS =
  process.arch === "x64"
    ? { STATOR_RECVMSG: "47", STATOR_SETSID: "112" }
    : { STATOR_RECVMSG: "212", STATOR_SETSID: "157" };

/**
 * Processes beside those of dynos, each held by a small program (`session.pl`), which hangs its process up as soon as nobody holds
 * the session's stream any more: so a host process that is killed leaves none behind.
 */
export class LocalSessions implements Disposable {
  readonly #shop: Pick<Workshop, "runtime" | "gvisor" | "programFolder" | "clock" | "logger">;
  readonly #open = new Map<ChildProcess, string>();

  constructor(shop: Pick<Workshop, "runtime" | "gvisor" | "programFolder" | "clock" | "logger">) {
    this.#shop = shop;
  }

  /** Throws `EngineError("invalid")` where the runtime cannot, or there are too many. */
  async open(target: SessionTarget, request: ExecRequest): Promise<ByteStream> {
    const { runtime, gvisor, programFolder, clock, logger } = this.#shop;
    const { id, isolation, life } = target;
    if (isolation === "container" && !runtime.canExec) {
      const why = `Nothing can be run inside a running dyno on this machine: its runtime, ${runtime.name}, cannot. Install crun.`;
      throw new EngineError("invalid", why);
    }
    this.#refuseTooMany(id);
    const files = await processFiles(target, request);
    const isGvisor = isolation === "gvisor";
    const [program, args] = isGvisor
      ? gvisor.execCommand({ ...files, console: null, innerPidFile: `${files.pidFile}.inner` }) // it makes no terminals for those it waits for
      : runtime.execCommand(files);
    const { rows, columns } = request.terminal ?? { rows: 0, columns: 0 };
    const child = start("perl", [join(programFolder, "src/engine/local/session.pl"), program, ...args], {
      env: {
        STATOR_CONSOLE: files.console === null ? "" : isGvisor ? "own" : files.console,
        STATOR_PID_FILE: files.pidFile,
        STATOR_INNER_PID_FILE: isGvisor ? `${files.pidFile}.inner` : "",
        STATOR_WINDOW: `${rows}x${columns}`,
        ...CALLS,
      },
      stdio: ["pipe", "pipe", "ignore"],
    });
    this.#open.set(child, id);
    const { stdin, stdout } = child;
    if (stdin === null || stdout === null) throw new Error("perl has no standard input or output");
    const close = (): void => {
      stdin.destroy();
      stdout.destroy();
    };
    const over = new AbortController();
    const listening = addAbortListener(life, () => {
      // Its processes went with the dyno, and their ends are told at once; this is for a runtime that hangs.
      clock.sleep(LINGER_MS, over.signal).then(
        () => stdin.destroy(),
        () => {}, // it has ended
      );
    });
    ended(child, "perl")
      .catch((error: unknown) => logger.error("session.failed", { dynoId: id, error }))
      .finally(() => {
        listening[Symbol.dispose]();
        over.abort();
        this.#open.delete(child);
        void forget(files);
      });
    for (const stream of [stdin, stdout]) stream.on("error", () => {}); // the other end went: both streams end
    return { readable: stdout, writable: stdin, close };
  }

  /** All end; their processes are hung up. */
  [Symbol.dispose](): void {
    for (const child of this.#open.keys()) {
      child.stdin?.destroy();
      child.stdout?.destroy();
    }
  }

  #refuseTooMany(id: string): void {
    const ofDyno = [...this.#open.values()].filter((each) => each === id).length;
    if (ofDyno < OF_DYNO_MAX && this.#open.size < OF_ALL_MAX) return;
    const what = ofDyno >= OF_DYNO_MAX ? `${OF_DYNO_MAX} sessions are open in this dyno` : "Too many sessions are open";
    throw new EngineError("invalid", `${what}: close one first.`);
  }
}

/** What a killed host process left; without it nobody holds them. */
export async function endLostSessions(folder: DynoFolder): Promise<void> {
  const sessions = folder.file(SESSIONS_FOLDER);
  const left = await readdir(sessions).catch(() => []); // it had none
  for (const name of left) if (name.endsWith(".pid")) await killExecuted(join(sessions, name));
  for (const name of left) await rm(join(sessions, name), { force: true }); // these alone: new ones may begin meanwhile
}

/** The dyno's own process with other arguments: user, limits, no capabilities and all the rest are the same. */
async function processFiles(target: SessionTarget, request: ExecRequest): Promise<ExecFiles> {
  const { id, folder } = target;
  const { command, setting, env, terminal } = request;
  const bundle = JSON.parse(await readFile(folder.file("config.json"), "utf8").catch(() => "null")) as {
    readonly process: { readonly consoleSize?: unknown; readonly env: readonly string[] };
  } | null; // ours
  if (bundle === null) throw new EngineError("not_found", "The dyno has ended.");
  const { consoleSize: _size, env: ownEnv, ...own } = bundle.process;
  const given = Object.entries(setting === "bare" ? { ...BASE_ENVIRONMENT, ...env } : env);
  const replaced = new Set(given.map(([name]) => name));
  const kept = setting === "bare" ? [] : ownEnv.filter((each) => !replaced.has(each.slice(0, each.indexOf("="))));
  const spec = {
    ...own,
    terminal: terminal !== null,
    ...(terminal && { consoleSize: { height: terminal.rows, width: terminal.columns } }),
    args: setting === "bare" ? bareArguments(command) : checkArguments(command),
    env: [...kept, ...given.map(([name, value]) => `${name}=${value}`)],
  };
  const sessions = folder.file(SESSIONS_FOLDER);
  await mkdir(sessions, { recursive: true, mode: 0o700 });
  const base = join(sessions, randomBytes(NAME_BYTES).toString("hex"));
  await writeFile(`${base}.json`, JSON.stringify(spec), { mode: 0o600, flag: "wx" });
  return { id, process: `${base}.json`, pidFile: `${base}.pid`, console: terminal === null ? null : `${base}.sock` };
}

async function forget({ process: spec, pidFile, console }: ExecFiles): Promise<void> {
  for (const file of [spec, pidFile, `${pidFile}.inner`, console]) if (file !== null) await rm(file, { force: true });
}
