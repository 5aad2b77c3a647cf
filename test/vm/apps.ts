import { setTimeout as pause } from "node:timers/promises";
import { echo } from "../e2e/apps.ts";
import {
  api,
  appName,
  type DynoJson,
  eventually,
  platform,
  pushOk,
  statorOk,
  temporaryRepository,
  throughRouter,
  token,
  waitUp,
} from "../e2e/harness.ts";

/**
 * Speaks from outside to the platform in the machine of `npm run test:vm`. `make`: deploys the apps that must outlive everything. `show`:
 * prints what there is, as JSON: each app with its release, config, formation and what answers, and apart from it the ids of its dynos,
 * which a reboot changes. `write`: sets a config var to 1, 2, 3 and so on until it is ended, and prints each number once the API has answered; `written`:
 * prints the one that is there.
 */
async function make(): Promise<void> {
  const app = appName("standing");
  using repository = await temporaryRepository(echo);
  await statorOk(["create", app]);
  await statorOk(["config:set", "GREETING=good morning", "-a", app]);
  await pushOk(repository.folder, app);
  await statorOk(["ps:scale", "web=2:standard-2x", "worker=1", "-a", app]);
  await waitUp(app, "web", 2);
  await waitUp(app, "worker", 1);
  await statorOk(["create", WRITTEN]);
}

/** An app without dynos, whose config is written to. */
const WRITTEN = "written";

async function write(): Promise<never> {
  for (let count = 1; ; count++) {
    await platform("PATCH", `/apps/${WRITTEN}/config-vars`, { COUNT: String(count) });
    process.stdout.write(`${count}\n`);
  }
}

async function written(): Promise<string> {
  const vars = await eventually(
    "the API to answer",
    () => ask<{ COUNT?: string }>(`/apps/${WRITTEN}/config-vars`).catch(() => undefined),
    240_000, // an emulated machine has just booted
  );
  return vars.COUNT ?? "0";
}

interface AppShown {
  readonly name: string;
  readonly dynos: readonly string[];
  readonly [more: string]: unknown;
}

interface Shown {
  readonly as: readonly AppShown[];
  readonly ids: readonly string[];
}

async function show(): Promise<Shown> {
  const apps = await ask<readonly { name: string }[]>("/apps");
  const shown = await Promise.all(apps.filter(({ name }) => name !== WRITTEN).map(({ name }) => showApp(name)));
  return { as: shown.map(({ as }) => as), ids: shown.flatMap(({ ids }) => ids) };
}

async function showApp(name: string): Promise<{ readonly as: AppShown; readonly ids: readonly string[] }> {
  const [formation, config, releases, dynos] = await Promise.all([
    ask<readonly { type: string; quantity: number; size: string }[]>(`/apps/${name}/formation`),
    ask(`/apps/${name}/config-vars`),
    ask<readonly { version: number; status: string; current: boolean }[]>(`/apps/${name}/releases`),
    ask<readonly DynoJson[]>(`/apps/${name}/dynos`),
  ]);
  const { status, body } = await throughRouter(name).catch((error: unknown) => ({ status: 0, body: String(error) }));
  const as = {
    name,
    config,
    formation: formation.map(({ type, quantity, size }) => `${type}=${quantity}:${size}`).toSorted(),
    releases: releases.map((each) => `v${each.version} ${each.status} ${each.current}`),
    dynos: statesOf(dynos),
    answer: `${status} ${/greeting=.*/.exec(body)?.[0] ?? ""}`,
  };
  return { as, ids: dynos.map(({ name: dyno, id }) => `${name} ${dyno} ${id}`).toSorted() };
}

const statesOf = (dynos: readonly DynoJson[]): readonly string[] =>
  dynos.map((each) => `${each.name} ${each.state} v${each.release.version}`).toSorted();

/**
 * Until it is as it should be, and else as it is after so many seconds. Looks whole only once the dynos are as they should be: what
 * starts there has an emulated processor to start with.
 */
async function showOnce(expected: readonly AppShown[] | undefined, seconds: number): Promise<Shown> {
  const until = performance.now() + seconds * 1000;
  const dynosAre = async ({ name, dynos }: AppShown) =>
    ask<readonly DynoJson[]>(`/apps/${name}/dynos`).then(
      (now) => isSame(statesOf(now), dynos),
      () => false,
    );
  for (;;) {
    const isLast = performance.now() > until;
    let isTime = true;
    for (const each of isLast ? [] : (expected ?? [])) isTime &&= await dynosAre(each);
    if (isTime) {
      const shown = await show().catch((error: unknown) => {
        if (isLast) throw error;
        return { as: [], ids: [] };
      });
      if (expected === undefined || isLast || isSame(shown.as, expected)) return shown;
    }
    await pause(1000);
  }
}

const isSame = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

/** Without a look at the platform's schema, which each process of ours would ask for. */
async function ask<T>(path: string): Promise<T> {
  const headers = { Accept: "application/vnd.heroku+json; version=3", Authorization: `Bearer ${token()}` };
  const response = await fetch(`${api}${path}`, { headers, signal: AbortSignal.timeout(60_000) });
  const text = await response.text();
  if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${text}`);
  return JSON.parse(text) as T; // as the platform's schema says; other tests look
}

const [, , what, expected, seconds = "0"] = process.argv;
switch (what) {
  case "make":
    await make();
    break;
  case "show":
    process.stdout.write(
      `${JSON.stringify(await showOnce(expected === undefined || expected === "" ? undefined : (JSON.parse(expected) as readonly AppShown[]), Number(seconds)))}\n`,
    );
    break;
  case "write":
    await write();
    break;
  case "written":
    process.stdout.write(`${await written()}\n`);
    break;
  case undefined:
  default:
    throw new Error("usage: apps.ts make | show [expected] [seconds] | write | written");
}
