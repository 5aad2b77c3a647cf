import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Instant } from "../../lib/clock.ts";
import { UUID } from "../../lib/uuid.ts";
import type { CheckProgress } from "../../model/health.ts";
import { DEFAULT_ISOLATION } from "../../model/isolation.ts";
import type { DynoSize } from "../../model/size.ts";
import type { DynoSpec, ObservedState, StartMarks } from "../engine.ts";

/**
 * What is known of a dyno, on tmpfs, so that the next host process finds it and a reboot forgets it:
 *
 *     <bundles>/<dynoId>/labels.json   from the first moment of the dyno: what it is, without its environment
 *                        config.json   the OCI bundle, with it (0600)
 *                        started.json  once its command runs
 *                        marks.json    when the steps of its start were done
 *                        listening     once its port accepted a connection
 *                        health.json   once its checks have found out something
 *                        checks/       what they run in it, with its environment (0600)
 *                        sessions/     what runs beside its command, with its environment (0600)
 *                        ended.json    once it has ended
 *     <bundles>/exits/<dynoId>         exit status, written by conmon
 */
export interface Labels extends Omit<DynoSpec, "env"> {
  readonly createdAt: Instant;
  /** What its size's name meant when it was started, which its group has still; a host process of before wrote none. */
  readonly limits?: DynoSize;
}

/** A process that cannot be mistaken for a later one with the same id. */
export interface ProcessRef {
  readonly pid: number;
  /** Clock ticks since the machine started. */
  readonly startedAt: string;
}

export interface StartedFacts {
  readonly at: Instant;
  readonly conmon: ProcessRef;
}

/** Taken before the container is made: the network that has to be given back; forgotten once it is. */
export interface NetworkFacts {
  readonly index: number;
}

export type EndedFacts = Extract<ObservedState, { kind: "ended" }>;

export const EXITS = "exits";

export function labelsOf({ env: _env, ...spec }: DynoSpec, size: DynoSize, now: Instant): Labels {
  return { ...spec, createdAt: now, limits: size };
}

export class DynoFolder {
  readonly path: string;
  readonly #id: string;
  readonly #exit: string;

  constructor(bundles: string, id: string) {
    this.#id = id;
    this.path = join(bundles, id);
    this.#exit = join(bundles, EXITS, id);
  }

  file(name: string): string {
    return join(this.path, name);
  }

  async create(labels: Labels): Promise<void> {
    mkdirSync(this.path, { recursive: true, mode: 0o700 }); // it is there where the dyno was created ahead
    await this.#write("labels.json", labels);
  }

  async labels(): Promise<Labels | undefined> {
    const labels = await this.#read<Labels>("labels.json");
    return labels && { ...labels, isolation: labels.isolation ?? DEFAULT_ISOLATION }; // a host process before 0018 wrote none
  }

  network(): Promise<NetworkFacts | undefined> {
    return this.#read<NetworkFacts>("network.json");
  }

  setNetwork(facts: NetworkFacts): Promise<void> {
    return this.#write("network.json", facts);
  }

  async forgetNetwork(): Promise<void> {
    await rm(this.file("network.json"), { force: true });
  }

  started(): Promise<StartedFacts | undefined> {
    return this.#read<StartedFacts>("started.json");
  }

  setStarted(facts: StartedFacts): Promise<void> {
    return this.#write("started.json", facts);
  }

  async marks(): Promise<StartMarks> {
    return (await this.#read<StartMarks>("marks.json")) ?? {};
  }

  setMarks(marks: StartMarks): Promise<void> {
    return this.#write("marks.json", marks);
  }

  /** Its conmon; undefined: it is gone, or never came. By now its number may be another process's. */
  async conmon(): Promise<ProcessRef | undefined> {
    const pid = Number(await readFile(this.file("conmon.pid"), "utf8").catch(() => "0")); // it never came so far
    const conmon = processRef(pid);
    const command = readQuietly(`/proc/${pid}/cmdline`) ?? "";
    return command.includes("conmon") && command.includes(this.#id) ? conmon : undefined;
  }

  ended(): Promise<EndedFacts | undefined> {
    return this.#read<EndedFacts>("ended.json");
  }

  setEnded(facts: EndedFacts): Promise<void> {
    return this.#write("ended.json", facts);
  }

  /** What its checks have found out, one by one. */
  health(): Promise<readonly CheckProgress[] | undefined> {
    return this.#read<readonly CheckProgress[]>("health.json");
  }

  setHealth(progress: readonly CheckProgress[]): Promise<void> {
    return this.#write("health.json", progress);
  }

  async listening(): Promise<boolean> {
    return (await this.#read("listening")) !== undefined;
  }

  setListening(): Promise<void> {
    return this.#write("listening", true);
  }

  /** The status that conmon wrote; undefined while the dyno lives, or conmon does not. */
  exitStatus(): number | undefined {
    if (!existsSync(this.#exit)) return undefined; // nearly always, and an error costs ten times as much
    const text = readQuietly(this.#exit);
    return text === undefined || !/^\d{1,3}$/.test(text.trim()) ? undefined : Number(text);
  }

  async remove(): Promise<void> {
    await rm(this.#exit, { force: true });
    await rm(this.path, { recursive: true, force: true });
  }

  async #write(name: string, value: unknown): Promise<void> {
    const beside = this.file(`.${name}.tmp`); // one writer at a time for each dyno
    // On tmpfs, so at once: waiting in line for a thread takes ten times as long, twice.
    writeFileSync(beside, JSON.stringify(value), { mode: 0o600 });
    renameSync(beside, this.file(name));
  }

  /** Only the host process can write here: what is there is what was written. */
  async #read<T>(name: string): Promise<T | undefined> {
    const text = await readFile(this.file(name), "utf8").catch(ignoreMissing);
    return text === undefined ? undefined : (JSON.parse(text) as T);
  }
}

/** Ids of all dynos that have a folder. */
export async function dynoFolders(bundles: string): Promise<readonly string[]> {
  return (await readdir(bundles)).filter((name) => UUID.test(name));
}

/** The apps of all dynos that have a network and have not ended, by the network's index. */
export async function networkOwners(bundles: string): Promise<ReadonlyMap<number, string>> {
  const ids = await dynoFolders(bundles).catch(() => []); // none before the first dyno, and none after a reboot
  const owners = ids.map(async (id): Promise<readonly (readonly [number, string])[]> => {
    const folder = new DynoFolder(bundles, id);
    const [labels, network, ended] = await Promise.all([folder.labels(), folder.network(), folder.ended()]);
    return labels && network && ended === undefined ? [[network.index, labels.appId]] : [];
  });
  return new Map((await Promise.all(owners)).flat());
}

/** The reference to a process; undefined if it is gone or only waits for its parent to notice that it ended. */
export function processRef(pid: number): ProcessRef | undefined {
  const text = readQuietly(`/proc/${pid}/stat`);
  const fields = text?.slice(text.lastIndexOf(")") + 2).split(" "); // its name may hold anything
  const [state, startedAt] = [fields?.[0], fields?.[19]];
  return state === undefined || startedAt === undefined || state === "Z" || state === "X"
    ? undefined
    : { pid, startedAt };
}

export function isAlive(process: ProcessRef): boolean {
  return processRef(process.pid)?.startedAt === process.startedAt;
}

/** A file of the kernel's or on tmpfs, read at once: waiting for a thread takes ten times as long. undefined: it is not there. */
function readQuietly(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH"))
      return undefined;
    throw error;
  }
}

function ignoreMissing(error: unknown): undefined {
  if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
}
