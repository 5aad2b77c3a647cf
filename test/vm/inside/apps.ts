import { setTimeout as pause } from "node:timers/promises";
import { echo } from "../../e2e/apps.ts";
import {
  appName,
  dynosOf,
  platform,
  pushOk,
  statorOk,
  temporaryRepository,
  throughRouter,
  waitUp,
} from "../../e2e/harness.ts";

/**
 * Runs inside the machine of `npm run test:vm`. `make`: deploys apps of several kinds. `show`: prints what there is, as JSON: each app
 * with its release, config, formation and what answers, and apart from it the ids of its dynos, which a reboot changes.
 */
async function make(): Promise<void> {
  const [one, two] = [appName("standing"), appName("changed")];
  using repository = await temporaryRepository(echo);
  for (const app of [one, two]) {
    await statorOk(["create", app]);
    await pushOk(repository.folder, app);
  }
  await statorOk(["ps:scale", "web=2:standard-2x", "worker=1", "-a", one]);
  await waitUp(one, "web", 2);
  await waitUp(one, "worker", 1);
  await statorOk(["config:set", "GREETING=good morning", "-a", two]);
  await waitUp(two, "web", 1);
}

interface Shown {
  readonly as: unknown;
  readonly ids: readonly string[];
}

async function show(): Promise<Shown> {
  const apps = await platform<readonly { name: string }[]>("GET", "/apps");
  const shown = await Promise.all(apps.map(({ name }) => showApp(name)));
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
    await pause(1000);
  }
}

if (process.argv[2] === "make") await make();
const [, , , expected, seconds = "0"] = process.argv;
process.stdout.write(`${JSON.stringify(await showOnce(expected === "" ? undefined : expected, Number(seconds)))}\n`);
