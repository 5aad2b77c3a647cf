import { setTimeout as pause } from "node:timers/promises";
import { echo } from "../e2e/apps.ts";
import {
  appName,
  dynosOf,
  eventually,
  platform,
  pushOk,
  statorOk,
  temporaryRepository,
  throughRouter,
  waitUp,
} from "../e2e/harness.ts";

/**
 * Speaks from outside to the platform in the machine of `npm run test:vm`. `make`: deploys the apps that must outlive everything. `show`: prints what there is, as
 * JSON: each app with its release, config, formation and what answers, and apart from it the ids of its dynos, which a reboot
 * changes. `write`: sets a config var to 1, 2, 3 and so on until it is ended, and prints each number once the API has answered; `written`:
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
  const vars = await eventually("the API to answer", () =>
    platform<{ COUNT?: string }>("GET", `/apps/${WRITTEN}/config-vars`).catch(() => undefined),
  );
  return vars.COUNT ?? "0";
}

interface Shown {
  readonly as: unknown;
  readonly ids: readonly string[];
}

async function show(): Promise<Shown> {
  const apps = await platform<readonly { name: string }[]>("GET", "/apps");
  const shown = await Promise.all(apps.filter(({ name }) => name !== WRITTEN).map(({ name }) => showApp(name)));
  return { as: shown.map(({ as }) => as), ids: shown.flatMap(({ ids }) => ids) };
}

async function showApp(name: string): Promise<Shown> {
  const [formation, config, releases, dynos] = await Promise.all([
    platform<readonly { type: string; quantity: number; size: string }[]>("GET", `/apps/${name}/formation`),
    platform("GET", `/apps/${name}/config-vars`),
    platform<readonly { version: number; status: string; current: boolean }[]>("GET", `/apps/${name}/releases`),
    dynosOf(name),
  ]);
  const { status, body } = await throughRouter(name).catch((error: unknown) => ({ status: 0, body: String(error) }));
  const as = {
    name,
    config,
    formation: formation.map(({ type, quantity, size }) => `${type}=${quantity}:${size}`).toSorted(),
    releases: releases.map((each) => `v${each.version} ${each.status} ${each.current}`),
    dynos: dynos.map((each) => `${each.name} ${each.state} v${each.release.version}`).toSorted(),
    answer: `${status} ${/greeting=.*/.exec(body)?.[0] ?? ""}`,
  };
  return { as, ids: dynos.map(({ name: dyno, id }) => `${name} ${dyno} ${id}`).toSorted() };
}

/** Until it is as it should be, and else as it is after so many seconds. */
async function showOnce(expected: string | undefined, seconds: number): Promise<Shown> {
  const until = performance.now() + seconds * 1000;
  for (;;) {
    const shown = await show().catch((error: unknown) => ({ as: String(error), ids: [] }));
    if (JSON.stringify(shown.as) === expected || expected === undefined || performance.now() > until) return shown;
    await pause(500);
  }
}

const [, , what, expected, seconds = "0"] = process.argv;
switch (what) {
  case "make":
    await make();
    break;
  case "show":
    process.stdout.write(
      `${JSON.stringify(await showOnce(expected === "" ? undefined : expected, Number(seconds)))}\n`,
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
