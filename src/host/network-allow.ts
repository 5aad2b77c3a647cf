import { createHash } from "node:crypto";
import { constants, watch } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import Type from "typebox";
import { Compile } from "typebox/compile";
import type { AllowedByApp, AppAllow } from "../engine/local/app-allow.ts";
import { writeFileAtomic } from "../lib/atomic-file.ts";
import { withFileLock } from "../lib/file-lock.ts";
import { UUID } from "../lib/uuid.ts";
import { type Destination, parseDestination } from "../model/destination.ts";
import type { Instance } from "../model/instance.ts";

/**
 * What apps were allowed (`stator network:allow`), in `$STATOR_HOME/network-allow.json`: root's own file, which the daemon
 * can read and not change, so that whoever takes over the daemon cannot open the network.
 *
 *     { "apps": { "<app id>": ["10.0.0.5:5432", "10.20.0.0/16"] } }
 */
const FileContent = Compile(
  Type.Object(
    {
      apps: Type.Record(
        Type.String({ pattern: UUID.source }),
        Type.Array(Type.String({ maxLength: 24 }), { uniqueItems: true, minItems: 1, maxItems: 100 }),
        { additionalProperties: false },
      ),
    },
    { additionalProperties: false },
  ),
);

/** Destinations that one app may have. */
export const DESTINATIONS_MAX = 100;
const LOCK_MS = 10_000;

type Apps = ReadonlyMap<string, readonly Destination[]>;

export const allowFileOf = ({ home }: Pick<Instance, "home">): string => join(home, "network-allow.json");

/** Holds the version whose content the rules say, while the host process runs: `network:allow` waits for its own. */
export const appliedFileOf = ({ paths }: Pick<Instance, "paths">): string => join(paths.run, "network-allow.applied");

/** What the file says; nothing, where there is none. Throws for one that others can write, or that makes no sense. */
export async function readAllowed(instance: Pick<Instance, "home">): Promise<AllowedByApp> {
  const text = await readOwn(allowFileOf(instance));
  return { apps: text === undefined ? new Map() : parseAllowed(text), version: versionOf(text ?? "") };
}

/** Changes the file as one step, one process at a time. `change` gives the app's new destinations; what it throws is thrown. */
export async function changeAllowed(
  instance: Instance,
  appId: string,
  change: (before: readonly Destination[]) => readonly Destination[],
): Promise<void> {
  await mkdir(instance.paths.run, { recursive: true, mode: 0o755 });
  await withFileLock(join(instance.paths.run, "network-allow.lock"), LOCK_MS, async () => {
    const before = await readAllowed(instance);
    const after = new Map(before.apps).set(appId, change(before.apps.get(appId) ?? []));
    const apps = new Map([...after].filter(([, destinations]) => destinations.length > 0));
    const text = renderAllowed(apps);
    if (text !== renderAllowed(before.apps)) await writeFileAtomic(allowFileOf(instance), text, { mode: 0o644 });
  });
}

/** Throws a sentence about the first thing in it that cannot be. */
export function parseAllowed(text: string): Apps {
  const value: unknown = JSON.parse(text);
  if (!FileContent.Check(value)) {
    const [error] = FileContent.Errors(value);
    throw new Error(`${error?.instancePath ?? ""}: ${error?.message ?? "not as it should be"}`);
  }
  return new Map(Object.entries(value.apps).map(([appId, texts]) => [appId, texts.map(parseDestination)]));
}

export function renderAllowed(apps: Apps): string {
  const texts = [...apps].map(([appId, all]) => [appId, all.map(({ text }) => text)] as const);
  const sorted = texts.toSorted(([one], [other]) => (one < other ? -1 : 1));
  return `${JSON.stringify({ apps: Object.fromEntries(sorted) }, null, 2)}\n`;
}

/** The file as the network asks for it. */
export class AllowFile implements AppAllow {
  readonly #instance: Instance;

  constructor(instance: Instance) {
    this.#instance = instance;
  }

  read(): Promise<AllowedByApp> {
    return readAllowed(this.#instance);
  }

  watch(listener: () => void): Disposable {
    const path = allowFileOf(this.#instance);
    try {
      // The folder, since the file is replaced and need not be there.
      const watcher = watch(dirname(path), (_event, name) => {
        if (name === null || name === basename(path)) listener();
      });
      watcher.on("error", () => {}); // it is read again from time to time anyway
      return { [Symbol.dispose]: () => watcher.close() };
    } catch {
      return { [Symbol.dispose]: () => {} }; // no watches left on this machine: likewise
    }
  }

  async applied({ version }: AllowedByApp): Promise<void> {
    await writeFileAtomic(appliedFileOf(this.#instance), version, { mode: 0o644 });
  }

  async forget(appId: string): Promise<void> {
    const { apps } = await readAllowed(this.#instance);
    if (apps.has(appId)) await changeAllowed(this.#instance, appId, () => []);
  }
}

/** A file that nobody but root (and we, who may be the daemon, or a test) can change; undefined: there is none. */
async function readOwn(path: string): Promise<string | undefined> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    const { uid, mode } = await file.stat();
    if ((uid !== 0 && uid !== process.getuid?.()) || (mode & 0o022) !== 0)
      throw new Error(`${path} can be changed by others than root: chown root ${path} && chmod 644 ${path}`);
    return await file.readFile("utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

const versionOf = (text: string): string => createHash("sha256").update(text).digest("hex");
