import { randomUUID } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { Readable } from "node:stream";
import type { SimEngine } from "../src/engine/sim/sim-engine.ts";
import { systemClock } from "../src/lib/clock.ts";
import { silentLogger } from "../src/lib/logger.ts";
import { systemRandom } from "../src/lib/random.ts";
import { NO_MANIFEST } from "../src/model/app-manifest.ts";
import type { Store } from "../src/store/store.ts";
import type { Supervision } from "../src/supervisor/supervision.ts";
import { startSupervisor } from "../src/supervisor/supervisor.ts";
import { dynoRecord } from "../test/support/dyno.ts";

/** Every app is the same. */
export interface Shape {
  readonly apps: number;
  /** Besides the two that a new app has. */
  readonly releases: number;
  /** `web.1`: the dynos that are up, of which the formation is made too. */
  readonly dynos: readonly string[];
}

const STAY = "stay";

/**
 * One app as the store makes it, then as many of the same as it takes, and an engine in memory that runs their dynos. Gives
 * the id of the first; they are called `bench-0`, `bench-1`, ...
 */
export async function fillApps(store: Store, path: string, engine: SimEngine, shape: Shape): Promise<string> {
  const owner = await store.users.ensure("bench@example.com");
  const app = await store.apps.create({ name: "bench-0", ownerId: owner.id, stack: "debian-12", domain: "localhost" });
  const digest = "a".repeat(64);
  const types = [...new Set(shape.dynos.map(typeOf))];
  const slug = await store.slugs.create({
    appId: app.id,
    digest,
    sizeBytes: 1,
    processTypes: Object.fromEntries(types.map((type) => [type, STAY])),
    stack: "debian-12",
    commit: null,
    buildpackDescription: null,
    manifest: NO_MANIFEST,
  });
  const release = {
    appId: app.id,
    slugId: slug.id,
    description: "Deploy",
    userId: owner.id,
    status: "succeeded",
  } as const;
  const releases: string[] = [];
  for (let n = 0; n < shape.releases; n++) releases.push((await store.releases.create(release)).id);
  const current = releases.at(-1) ?? "";
  await store.apps.update(app.id, { currentReleaseId: current, releasedAt: systemClock.now() });
  await store.formation.sync(app.id, types);
  const quantity = (type: string) => shape.dynos.filter((name) => typeOf(name) === type).length;
  await store.formation.change(
    app.id,
    types.map((type) => ({ type, quantity: quantity(type) })),
  );
  const dynos: string[] = [];
  for (const name of shape.dynos) {
    const facts = {
      id: randomUUID(),
      name,
      type: typeOf(name),
      appId: app.id,
      releaseId: current,
      command: STAY,
      port: 5000,
    };
    await store.dynos.create(dynoRecord(facts, systemClock.now()));
    dynos.push(facts.id);
  }
  await engine.putSlug({ digest, uidIndex: app.uidIndex }, Readable.from([]));
  const first = { appId: app.id, releases, dynos };
  for (const each of [first, ...copyApp(path, first, shape.apps - 1)]) {
    for (const [index, name] of shape.dynos.entries()) {
      await engine.start({
        id: each.dynos[index] ?? "",
        appId: each.appId,
        uidIndex: app.uidIndex,
        kind: "formation",
        name,
        releaseId: each.releases.at(-1) ?? "",
        stack: "debian-12",
        slugDigest: digest,
        command: STAY,
        env: {},
        size: "Basic",
        port: 5000,
        terminal: null,
        stdin: false,
        io: false,
        isolation: "container",
      });
    }
  }
  return app.id;
}

/** The real supervisor, with nothing beside it but the store and the engine. */
export function superviseAlone(store: Store, engine: SimEngine): Promise<Supervision & AsyncDisposable> {
  return startSupervisor({
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
}

const typeOf = (name: string): string => name.replace(/\.\d+$/, "");

interface Ids {
  readonly appId: string;
  readonly releases: readonly string[];
  readonly dynos: readonly string[];
}

/** In the database itself: more apps than one installation has ranges of user ids for. */
function copyApp(path: string, of: Ids, count: number): readonly Ids[] {
  using database = new DatabaseSync(path);
  const copier = (table: string, where: string, changed: Readonly<Record<string, string>>) => {
    const names = database
      .prepare(`select name from pragma_table_info('${table}')`)
      .all()
      .map(({ name }) => String(name));
    const values = names.map((name) => changed[name] ?? name).join(", ");
    const statement = database.prepare(
      `insert into ${table} (${names.join(", ")}) select ${values} from ${table} where ${where}`,
    );
    return (given: Readonly<Record<string, string>>) => void statement.run(given);
  };
  const app = copier("apps", "id = $of", {
    id: "$id",
    name: "$name",
    uid_index: "cast($uid as integer)",
    current_release_id: "$release",
  });
  const release = copier("releases", "id = $of", { id: "$id", app_id: "$app" });
  const formation = copier("formation", "app_id = $of", { id: "lower(hex(randomblob(16)))", app_id: "$app" });
  const seq = "(select max(seq) + 1 from dynos)";
  const dyno = copier("dynos", "id = $of", { id: "$id", app_id: "$app", release_id: "$release", seq });
  const fresh = (ids: readonly string[]) => ids.map(() => randomUUID());
  const all = Array.from({ length: count }, () => ({
    appId: randomUUID(),
    releases: fresh(of.releases),
    dynos: fresh(of.dynos),
  }));
  database.exec("pragma foreign_keys = off; begin");
  for (const [index, { appId, releases, dynos }] of all.entries()) {
    const current = releases.at(-1) ?? "";
    const named = { $name: `bench-${index + 1}`, $uid: String(index + 10_000) };
    app({ $of: of.appId, $id: appId, $release: current, ...named });
    for (const [n, id] of releases.entries()) release({ $of: of.releases[n] ?? "", $id: id, $app: appId });
    formation({ $of: of.appId, $app: appId });
    for (const [n, id] of dynos.entries()) dyno({ $of: of.dynos[n] ?? "", $id: id, $app: appId, $release: current });
  }
  database.exec("commit");
  return all;
}
