import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { dynoRecord } from "../../test/support/dyno.ts";
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/logger.ts";
import type { DynoRecord } from "../model/dyno.ts";
import { DEFAULT_ROUTING } from "../model/routing.ts";
import { type RouteSituation, routeOf } from "./app-route.ts";
import { routeOptionsOf } from "./route-options.ts";
import { type RouterOptions, startRouter } from "./router.ts";
import type { AppRoute } from "./routes.ts";

const folder = mkdtempSync(join(tmpdir(), "stator-router-"));
after(() => rmSync(folder, { recursive: true }));

const dyno = (id: string, change: Partial<DynoRecord> = {}): DynoRecord =>
  dynoRecord({ id, releaseId: "r1", ...change });
function situation(change: Partial<RouteSituation> = {}): RouteSituation {
  return {
    app: { id: "app", maintenance: false, currentReleaseId: "r1", asleepSince: null },
    domains: [{ hostname: "App.localhost" }],
    formation: [{ type: "web", quantity: 1 }],
    dynos: [],
    current: { slugId: "s1" },
    ...change,
  };
}
const stopping = { since: 0, reason: "scale", killed: false } as const;

test("spec 1.3: what a request meets", () => {
  const state = (change: Partial<RouteSituation>) => routeOf(situation(change)).state;
  const crashed = dyno("a", { state: "crashed", exit: { at: 0, status: 1 } });
  assert.equal(state({}), "serve");
  assert.equal(state({ dynos: [dyno("a", { state: "starting" })] }), "serve");
  assert.equal(state({ dynos: [crashed] }), "crashed");
  assert.equal(state({ dynos: [crashed, dyno("b", { name: "web.2", state: "starting" })] }), "serve");
  assert.equal(state({ dynos: [crashed, dyno("b", { name: "web.2" })] }), "serve");
  assert.equal(state({ dynos: [crashed, dyno("b", { name: "web.2", state: "up", stopping })] }), "crashed");
  const unready = dyno("a", { ready: false });
  assert.equal(state({ dynos: [unready] }), "serve", "none is ready: requests are held, as while dynos start");
  assert.deepEqual(routeOf(situation({ dynos: [unready] })).dynoIds, []);
  assert.equal(state({ formation: [{ type: "web", quantity: 0 }] }), "no-web");
  assert.equal(state({ formation: [] }), "no-web");
  const asleep = { id: "app", maintenance: false, currentReleaseId: "r1", asleepSince: 5 };
  assert.equal(state({ app: asleep }), "asleep");
  assert.equal(state({ app: asleep, dynos: [dyno("a")] }), "serve", "it has not been stopped yet");
  assert.equal(state({ app: { ...asleep, maintenance: true } }), "maintenance");
  assert.equal(state({ app: asleep, formation: [] }), "no-web", "nobody would answer");
  assert.equal(state({ current: { slugId: null }, formation: [] }), "blank");
  assert.equal(state({ current: undefined }), "blank");
  const maintained = { id: "app", maintenance: true, currentReleaseId: "r1", asleepSince: null };
  assert.equal(state({ app: maintained, dynos: [dyno("a")] }), "maintenance");
  assert.equal(
    state({ current: undefined, dynos: [dyno("a", { releaseId: "r2" })] }),
    "serve",
    "the first release comes up",
  );
});

test("only up web dynos that are not stopping get requests", () => {
  const dynos = [
    dyno("a"),
    dyno("b", { name: "web.2", stopping }),
    dyno("c", { name: "worker.1", type: "worker" }),
    dyno("d", { name: "run.1", kind: "run", type: "run" }),
    dyno("e", { name: "web.3", state: "starting" }),
  ];
  assert.deepEqual(routeOf(situation({ dynos })), {
    appId: "app",
    hosts: ["app.localhost"],
    state: "serve",
    dynoIds: ["a"],
  });
});

/** A store of one app at a time, and a target that can fail. */
class World {
  readonly apps = new Map<string, RouteSituation>();
  readonly target = new Map<string, AppRoute>();
  readonly calls: string[] = [];
  settings = DEFAULT_ROUTING;
  failing = 0;
  #changed: ((appId: string) => void) | undefined;
  #returned: (() => void) | undefined;

  options(): RouterOptions {
    const of = (appId: string) => this.apps.get(appId);
    const store = {
      apps: {
        byId: async (id: string) => of(id)?.app,
        list: async () => [...this.apps.values()].map(({ app }) => app),
      },
      domains: { list: async (id: string) => of(id)?.domains ?? [] },
      formation: { list: async (id: string) => of(id)?.formation ?? [] },
      dynos: { list: async (id: string) => of(id)?.dynos ?? [], byId: async () => undefined },
      releases: { byId: async () => ({ slugId: "s1" }) },
      routing: { get: async () => this.settings, users: async () => [] },
      features: { list: async () => [] },
      config: { get: async () => ({}) },
      onChange: (listener: (appId: string) => void) => {
        this.#changed = listener;
        return { [Symbol.dispose]: () => {} };
      },
    } as unknown as RouterOptions["store"]; // only what the router reads
    const fail = () => {
      if (this.failing > 0 && this.failing-- > 0) throw new Error("the host process is away");
    };
    return {
      store,
      target: {
        setRoute: async (route) => {
          this.calls.push(`set ${route.appId}`);
          fail();
          this.target.set(route.appId, route);
        },
        removeRoute: async (appId) => {
          this.calls.push(`remove ${appId}`);
          fail();
          this.target.delete(appId);
        },
        untilLeft: async (appId) => {
          this.calls.push(`left ${appId}`);
          fail();
        },
        isBusy: async () => false,
        listRoutes: async () => [...this.target.keys()],
        onReturn: (listener) => {
          this.#returned = listener;
          return { [Symbol.dispose]: () => {} };
        },
      },
      logs: { append: () => {} },
      instance: { paths: { run: folder, daemonRun: folder } },
      clock: systemClock,
      logger: silentLogger,
    };
  }
  put(id: string, dynos: readonly DynoRecord[] = []): void {
    this.apps.set(id, situation({ app: { id, maintenance: false, currentReleaseId: "r1", asleepSince: null }, dynos }));
    this.#changed?.(id);
  }
  delete(id: string): void {
    this.apps.delete(id);
    this.#changed?.(id);
  }
  returned(): void {
    this.#returned?.();
  }
}

async function eventually(probe: () => boolean): Promise<void> {
  const until = performance.now() + 3000;
  while (!probe()) {
    assert.ok(performance.now() < until, `not in time: ${probe.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("at start the target learns of every app, and forgets those that are gone", async () => {
  const world = new World();
  world.put("one");
  world.target.set("old", { appId: "old", hosts: [], state: "serve", dynoIds: [] });
  await using _router = await startRouter(world.options());
  await eventually(() => world.target.has("one") && !world.target.has("old"));
});

test("settle resolves once the target has what the store says now; unchanged routes are not told again", async () => {
  const world = new World();
  await using router = await startRouter(world.options());
  world.put("one");
  world.put("one", [dyno("d1")]);
  await router.settle("one");
  assert.deepEqual(world.target.get("one")?.dynoIds, ["d1"]);
  const told = world.calls.length;
  await router.settle("one");
  assert.deepEqual(
    world.calls.slice(told),
    ["left one"],
    "what the former dynos have taken is waited for all the same",
  );
  world.failing = 1;
  await router.settle("one"); // a stop is not put off when it cannot be seen
  world.delete("one");
  await router.settle("one");
  assert.equal(world.target.has("one"), false);
});

test("a target that fails is told again; one that comes back is told everything", async () => {
  const world = new World();
  world.failing = 3;
  await using router = await startRouter(world.options());
  world.put("one", [dyno("d1")]);
  await router.settle("one");
  assert.deepEqual(world.target.get("one")?.dynoIds, ["d1"]);
  world.target.clear();
  world.returned();
  await eventually(() => world.target.has("one"));
});

test("every 30 s the target is told what it lacks and has too much, and 100 apps in turn", async () => {
  const world = new World();
  for (let number = 0; number < 250; number++) world.put(`app${number}`);
  let [tick, waits] = [() => {}, 0];
  const sleep = (ms: number, signal: AbortSignal): Promise<void> => {
    if (ms !== 30_000) return systemClock.sleep(ms, signal);
    waits++;
    return new Promise((resolve, reject) => {
      tick = resolve;
      signal.addEventListener("abort", () => reject(new Error("closed")), { once: true });
    });
  };
  await using _router = await startRouter({ ...world.options(), clock: { ...systemClock, sleep } });
  await eventually(() => world.target.size === 250 && waits === 1);
  world.target.delete("app249");
  world.target.set("old", { appId: "old", hosts: [], state: "serve", dynoIds: [] });
  const told: string[] = [];
  for (const [round, calls] of [102, 100, 50].entries()) {
    world.calls.length = 0;
    tick();
    await eventually(() => waits === round + 2 && world.calls.length === calls);
    assert.deepEqual([world.target.has("app249"), world.target.has("old")], [true, false]);
    told.push(...world.calls);
  }
  assert.equal(new Set(told).size, 251, "each app, and the one that is gone");
});

test("an app's options go with its route; one at the defaults has none", async () => {
  const world = new World();
  await using router = await startRouter(world.options());
  world.put("one");
  await router.settle("one");
  assert.equal(world.target.get("one")?.options, undefined);
  world.settings = { ...DEFAULT_ROUTING, balance: "least-connections" };
  world.put("one");
  await router.settle("one");
  assert.equal(world.target.get("one")?.options?.balance, "least-connections");
});

test("spec 7.7, 7.8, 12: options come of settings, features and config vars; what is no page's address is none", () => {
  const feature = { name: "http-session-affinity", enabled: true, createdAt: 0, updatedAt: 0 };
  const sources = { settings: DEFAULT_ROUTING, users: [], features: [], vars: {} };
  const usual = { ...DEFAULT_ROUTING, sessionAffinity: false, users: [], errorPage: null, maintenancePage: null };
  assert.equal(routeOptionsOf(sources), undefined);
  assert.deepEqual(routeOptionsOf({ ...sources, features: [feature] }), { ...usual, sessionAffinity: true });
  const continues = { ...feature, name: "http-end-to-end-continue" };
  assert.deepEqual(routeOptionsOf({ ...sources, features: [continues] }), { ...usual, endToEndContinue: true });
  assert.equal(routeOptionsOf({ ...sources, features: [{ ...feature, enabled: false }] }), undefined);
  const page = (url: string) => routeOptionsOf({ ...sources, vars: { ERROR_PAGE_URL: url } })?.errorPage;
  assert.equal(page("https://x.example/a?b=1&c='\"<>"), "https://x.example/a?b=1&c=%27%22%3C%3E");
  assert.equal(page("HTTP://Ü.example"), "http://xn--tda.example/");
  for (const bad of ["", "page.html", "//x.example/", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd"])
    assert.equal(page(bad), undefined, bad);
  assert.equal(page(`https://x.example/${"a".repeat(5000)}`), undefined);
  const maintenance = routeOptionsOf({ ...sources, vars: { MAINTENANCE_PAGE_URL: "https://x.example/" } });
  assert.deepEqual(maintenance, { ...usual, maintenancePage: "https://x.example/" });
});
