import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { SimEngine } from "../src/engine/sim/sim-engine.ts";
import { systemClock } from "../src/lib/clock.ts";
import { silentLogger } from "../src/lib/logger.ts";
import { systemRandom } from "../src/lib/random.ts";
import { NO_MANIFEST } from "../src/model/app-manifest.ts";
import { openStore } from "../src/store/sqlite.ts";
import type { Store } from "../src/store/store.ts";
import { startSupervisor } from "../src/supervisor/supervisor.ts";
import { dynoRecord } from "../test/support/dyno.ts";
import { median, type RowResult } from "./statistics.ts";

const APPS = 10_000;
const FEW = 10;
const ROUNDS = 9;
/** Longer than a pass takes, and than a change takes to be done. */
const WINDOW_MS = 700;
/** What the process may use in a window when nothing happens. */
const QUIET_MS = 70;

/**
 * The supervisor over a real database on disk and an engine in memory, each app with one web dyno that is up. Counted is the
 * processor time of the whole process, less what it uses in as long a time when nothing happens.
 */
export async function measurePlan(): Promise<RowResult> {
  const many = await measureWith(APPS);
  const few = await measureWith(FEW);
  const ratio = median(many.changed) / median(few.changed);
  return {
    samples: [
      { who: `a pass over ${APPS} apps, nothing to do`, unit: "ms", values: many.passes },
      { who: `one of ${APPS} apps scaled from 1 to 2, until it is up`, unit: "ms", values: many.changed },
      { who: `one of ${FEW} apps, the same`, unit: "ms", values: few.changed },
    ],
    verdicts: [
      { claim: "nothing to do, processor time", unit: "ms", value: median(many.passes), bound: { atMost: 50 } },
      { claim: `one changed, over the same with ${FEW} apps`, unit: "times", value: ratio, bound: { atMost: 2 } },
    ],
    notes: ["Processor time of the whole process; the database is a file, the engine is in memory."],
  };
}

async function measureWith(count: number): Promise<{ readonly passes: number[]; readonly changed: number[] }> {
  const folder = mkdtempSync(join(tmpdir(), "stator-bench-"));
  const path = join(folder, "stator.db");
  try {
    await using store = await openStore({ path, key: [randomBytes(32)], clock: systemClock });
    const engine = new HintedEngine({ clock: systemClock });
    const appId = await fill(store, path, engine, count);
    await using _supervisor = await startSupervisor({
      store,
      engine,
      clock: systemClock,
      random: systemRandom,
      logger: silentLogger,
      domain: "localhost",
      routerPorts: [],
      builds: { isLive: () => false },
      routing: { settle: async () => {} },
      slugs: { ensure: async () => {} },
      sink: { append: () => {} },
      commands: { follow: () => {} },
      logs: { follow: () => {}, ended: async () => {}, forget: () => {}, output: async function* () {} },
    });
    await untilQuiet();
    const [passes, changed] = [[] as number[], [] as number[]];
    for (let round = 0; round < ROUNDS; round++) {
      passes.push(await extraCpu(async () => engine.hint()));
      const change = (quantity: number) => store.formation.change(appId, [{ type: "web", quantity }]);
      changed.push(await extraCpu(() => change(2)));
      const dynos = await store.dynos.list(appId);
      if (dynos.filter(({ state }) => state === "up").length !== 2)
        throw new Error("the second dyno is not up in time");
      await change(1);
      await pause(WINDOW_MS);
    }
    return { passes, changed };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** An engine of which somebody says that anything may have changed: what the host process's return does. */
class HintedEngine extends SimEngine {
  readonly #listeners = new Set<(dynoId: string | undefined) => void>();

  override watch(listener: (dynoId: string | undefined) => void): Disposable {
    this.#listeners.add(listener);
    return super.watch(listener);
  }

  hint(): void {
    for (const listener of this.#listeners) listener(undefined);
  }
}

/** One app as the store makes it, then as many of the same as it takes; gives the id of the first. */
async function fill(store: Store, path: string, engine: SimEngine, count: number): Promise<string> {
  const owner = await store.users.ensure("bench@example.com");
  const app = await store.apps.create({ name: "bench-0", ownerId: owner.id, stack: "debian-12", domain: "localhost" });
  const digest = "a".repeat(64);
  const slug = await store.slugs.create({
    appId: app.id,
    digest,
    sizeBytes: 1,
    processTypes: { web: "stay" },
    stack: "debian-12",
    commit: null,
    buildpackDescription: null,
    manifest: NO_MANIFEST,
  });
  const release = await store.releases.create({
    appId: app.id,
    slugId: slug.id,
    description: "Deploy",
    userId: owner.id,
    status: "succeeded",
  });
  await store.apps.update(app.id, { currentReleaseId: release.id, releasedAt: systemClock.now() });
  await store.formation.sync(app.id, ["web"]);
  const first = randomUUID();
  const facts = { id: first, appId: app.id, releaseId: release.id, command: "stay", port: 5000 };
  await store.dynos.create(dynoRecord(facts, systemClock.now()));
  await engine.putSlug({ digest, uidIndex: app.uidIndex }, Readable.from([]));
  const copies = copyApp(path, { appId: app.id, releaseId: release.id, dynoId: first }, count - 1);
  for (const { appId, releaseId, dynoId } of [{ appId: app.id, releaseId: release.id, dynoId: first }, ...copies]) {
    await engine.start({
      id: dynoId,
      appId,
      uidIndex: app.uidIndex,
      kind: "formation",
      name: "web.1",
      releaseId,
      stack: "debian-12",
      slugDigest: digest,
      command: "stay",
      env: {},
      size: "Basic",
      port: 5000,
      terminal: null,
      stdin: false,
      io: false,
      isolation: "container",
    });
  }
  return app.id;
}

interface Ids {
  readonly appId: string;
  readonly releaseId: string;
  readonly dynoId: string;
}

/** In the database itself: more apps than one installation has ranges of user ids for. */
function copyApp(path: string, of: Ids, count: number): readonly Ids[] {
  using database = new DatabaseSync(path);
  const columns = (table: string): readonly string[] =>
    database
      .prepare(`select name from pragma_table_info('${table}')`)
      .all()
      .map(({ name }) => String(name));
  const copy = (
    table: string,
    where: string,
    changed: Readonly<Record<string, string>>,
  ): ((...values: string[]) => void) => {
    const names = columns(table);
    const values = names.map((name) => changed[name] ?? name).join(", ");
    const statement = database.prepare(
      `insert into ${table} (${names.join(", ")}) select ${values} from ${table} where ${where}`,
    );
    return (...given) => void statement.run(...given);
  };
  const app = copy("apps", `id = '${of.appId}'`, {
    id: "?",
    name: "?",
    uid_index: "cast(? as integer)",
    current_release_id: "?",
  });
  const release = copy("releases", `id = '${of.releaseId}'`, { id: "?", app_id: "?" });
  const formation = copy("formation", `app_id = '${of.appId}'`, { id: "?", app_id: "?" });
  const dyno = copy("dynos", `id = '${of.dynoId}'`, {
    id: "?",
    app_id: "?",
    release_id: "?",
    seq: "seq + cast(? as integer)",
  });
  const all = Array.from({ length: count }, () => ({
    appId: randomUUID(),
    releaseId: randomUUID(),
    dynoId: randomUUID(),
  }));
  database.exec("pragma foreign_keys = off; begin");
  for (const [index, { appId, releaseId, dynoId }] of all.entries()) {
    app(
      ...inOrder("apps", columns, {
        id: appId,
        name: `bench-${index + 1}`,
        uid_index: String(index + 10_000),
        current_release_id: releaseId,
      }),
    );
    release(...inOrder("releases", columns, { id: releaseId, app_id: appId }));
    formation(...inOrder("formation", columns, { id: randomUUID(), app_id: appId }));
    dyno(...inOrder("dynos", columns, { id: dynoId, app_id: appId, release_id: releaseId, seq: String(index + 1) }));
  }
  database.exec("commit");
  return all;
}

/** The values in the order in which the table's columns ask for them. */
function inOrder(
  table: string,
  columns: (table: string) => readonly string[],
  values: Readonly<Record<string, string>>,
): readonly string[] {
  return columns(table).flatMap((name) => values[name] ?? []);
}

async function untilQuiet(): Promise<void> {
  for (let quiet = 0; quiet < 2; quiet = (await cpuIn(async () => {})) < QUIET_MS ? quiet + 1 : 0);
}

async function extraCpu(act: () => Promise<unknown>): Promise<number> {
  const idle = await cpuIn(async () => {});
  return Math.max(0, (await cpuIn(act)) - idle);
}

/** Milliseconds of processor time in one window that begins with the act. */
async function cpuIn(act: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await act();
  await pause(WINDOW_MS);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
