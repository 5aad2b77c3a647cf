import {
  type BackendRef,
  backendOf,
  backendsOf,
  type Entry,
  eachMap,
  entriesOf,
  type HaproxyLayout,
  id,
  MAP_NAMES,
  type MapName,
  mapPath,
  type Server,
  type Snapshot,
  serverWords,
  timeoutsOf,
  type Wanted,
} from "./haproxy-config.ts";

/** What a HAProxy worker has now, as far as we know. */
export interface Worker {
  readonly pid: number;
  readonly backends: ReadonlySet<string>;
  /** `a17/<dynoId>` to its state. */
  readonly servers: Map<string, WorkerServer>;
  readonly maps: Readonly<Record<MapName, Map<string, string>>>;
  /** What it was last told of each app; of an app that is not here only a comparison with all of it tells. */
  readonly told: Map<string, Wanted>;
}
export interface WorkerServer {
  readonly address: string;
  /** Gets requests; else it is in maintenance and waits to be deleted. */
  readonly up: boolean;
}

/** One command of HAProxy's runtime interface, what it must answer, and what is so once it did. */
export interface Command {
  readonly text: string;
  readonly expected: RegExp;
  readonly apply: (worker: Worker) => void;
}

/** What a worker has that started with this snapshot. */
export function freshWorker(pid: number, snapshot: Snapshot): Worker {
  const entries = snapshot.apps.map(entriesOf);
  return {
    pid,
    backends: new Set(backendsOf(snapshot)),
    servers: new Map(wantedServers(snapshot.apps).map(([name, { address, port }]) => [name, up(address, port)])),
    maps: eachMap((name) => new Map(entries.flatMap((each) => each[name]))),
    told: new Map(snapshot.apps.map((app) => [app.appId, app])),
  };
}

/** Whether the worker knows every backend that is needed; else only a reload helps. */
export function needsReload(worker: Worker, apps: readonly (BackendRef | undefined)[]): boolean {
  return apps.some((app) => app !== undefined && !worker.backends.has(backendOf(app)));
}

/**
 * The commands that bring the worker from what it has to what is wanted, without a request that fails: new dynos first, then
 * names and states, then old dynos out of the choice. Looks at everything. Pure.
 */
export function commandsFor(layout: HaproxyLayout, worker: Worker, { apps }: Snapshot): readonly Command[] {
  return commands(layout, worker, apps, {
    servers: [...worker.servers.keys()],
    keys: (name) => [...worker.maps[name].keys()],
  });
}

/** What is wanted of some apps now; undefined: nothing any more. */
export type Changes = ReadonlyMap<string, Wanted | undefined>;

/** The same for some apps alone, by what the worker was told of them: 10,000 dynos of others cost nothing. Pure. */
export function changesFor(layout: HaproxyLayout, worker: Worker, changes: Changes): readonly Command[] {
  const before = [...changes.keys()].flatMap((appId) => worker.told.get(appId) ?? []);
  const wanted = [...changes.values()].filter((app) => app !== undefined);
  return commands(layout, worker, wanted, {
    servers: wantedServers(before).map(([name]) => name),
    // A name that another app has taken over meanwhile is that one's.
    keys: (name) =>
      before.flatMap((app) =>
        entriesOf(app)[name].flatMap(([key, value]) => (worker.maps[name].get(key) === value ? [key] : [])),
      ),
  });
}

/** Notes that the commands of `changesFor` have been taken. */
export function noteTold({ told }: Worker, changes: Changes): void {
  for (const [appId, app] of changes) {
    if (app === undefined) told.delete(appId);
    else told.set(appId, app);
  }
}

/** What must go unless it is wanted. */
interface Former {
  readonly servers: readonly string[];
  readonly keys: (name: MapName) => readonly string[];
}

function commands(layout: HaproxyLayout, worker: Worker, apps: readonly Wanted[], former: Former): readonly Command[] {
  const wanted = new Map(wantedServers(apps));
  return [
    ...[...wanted].flatMap(([name, server]) => bringUp(layout, name, server, worker.servers.get(name))),
    ...MAP_NAMES.toReversed().flatMap((name) => mapCommands(layout, name, worker, { apps, former: former.keys(name) })),
    ...former.servers.flatMap((name) => {
      const server = worker.servers.get(name);
      return wanted.has(name) || server?.up !== true ? [] : [takeOut(name, server)];
    }),
  ];
}

/** Deletes servers that are out of the choice; HAProxy refuses while a connection to one is left, so this is tried again. */
export function deletionsFor(worker: Worker): readonly Command[] {
  const deletions: Command[] = [];
  for (const [name, server] of worker.servers) if (!server.up) deletions.push(deletion(name));
  return deletions;
}

function deletion(name: string): Command {
  return {
    text: `del server ${name}`,
    expected: /^(Server deleted\.|No such server\.)$/,
    apply: ({ servers }) => void servers.delete(name),
  };
}

function bringUp(
  layout: HaproxyLayout,
  name: string,
  server: Server,
  now: WorkerServer | undefined,
): readonly Command[] {
  const wanted = up(server.address, server.port);
  if (now?.up && now.address === wanted.address) return [];
  const enable: Command = {
    text: `enable server ${name}`,
    expected: /^$/,
    apply: ({ servers }) => void servers.set(name, wanted),
  };
  if (now === undefined) {
    const text = `add server ${name.slice(0, name.indexOf("/"))}/${serverWords(server, timeoutsOf(layout).quarantine)}`;
    const apply = ({ servers }: Worker) => void servers.set(name, { ...wanted, up: false });
    const looks: Command = { text: `enable health ${name}`, expected: /^$/, apply: () => {} };
    return [{ text, expected: /^New server registered\.$/, apply }, looks, enable];
  }
  if (now.address === wanted.address) return [enable];
  const text = `set server ${name} addr ${server.address} port ${server.port}`;
  return [{ text, expected: /^(IP changed|port changed|nothing changed|no need)/i, apply: () => {} }, enable];
}

function takeOut(name: string, server: WorkerServer): Command {
  return {
    text: `set server ${name} state maint`,
    expected: /^(No such server\.)?$/,
    apply: ({ servers }) => void servers.set(name, { ...server, up: false }),
  };
}

function mapCommands(
  layout: HaproxyLayout,
  name: MapName,
  { maps }: Worker,
  { apps, former }: { readonly apps: readonly Wanted[]; readonly former: readonly string[] },
): readonly Command[] {
  const path = mapPath(layout, name);
  const now = maps[name];
  const wanted = new Map(apps.flatMap((app): readonly Entry[] => entriesOf(app)[name]));
  const changed = [...wanted].filter(([key, value]) => now.get(key) !== value);
  const gone = former.filter((key) => !wanted.has(key));
  return [
    ...changed.map(
      ([key, value]): Command => ({
        // "add" never replaces, "set" never adds
        text: `${now.has(key) ? "set" : "add"} map ${path} ${key} ${value}`,
        expected: /^$/,
        apply: ({ maps: after }) => void after[name].set(key, value),
      }),
    ),
    ...gone.map(
      (key): Command => ({
        text: `del map ${path} ${key}`,
        expected: /^$/,
        apply: ({ maps: after }) => void after[name].delete(key),
      }),
    ),
  ];
}

function wantedServers(apps: readonly Wanted[]): readonly (readonly [string, Server])[] {
  return apps.flatMap((app) =>
    app.servers.map((server) => [`${backendOf(app)}/${id(server.dynoId)}`, server] as const),
  );
}

function up(address: string, port: number): WorkerServer {
  return { address: `${address}:${port}`, up: true };
}
