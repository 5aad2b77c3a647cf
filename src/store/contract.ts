import assert from "node:assert/strict";
import { test } from "node:test";
import { actingAs } from "../lib/acting.ts";
import type { Clock } from "../lib/clock.ts";
import type { App, User } from "../model/app.ts";
import { NO_MANIFEST, parseAppManifest } from "../model/app-manifest.ts";
import { type BasicAuthUser, passwordDigest } from "../model/basic-auth.ts";
import type { DynoRecord } from "../model/dyno.ts";
import { PlatformError, type PlatformErrorId } from "../model/errors.ts";
import { parseChecks } from "../model/health-check.ts";
import { DEFAULT_ROUTING } from "../model/routing.ts";
import {
  BOOT_TIMEOUT_SECONDS_MAX,
  DEFAULT_RUNTIME,
  PREBOOT_DELAY_SECONDS_MAX,
  RELEASE_TIMEOUT_SECONDS_MAX,
  type Runtime,
  STOP_GRACE_SECONDS_MAX,
} from "../model/runtime.ts";
import type { Store } from "./store.ts";

/** Opens a new, empty store. */
export type OpenStore = (clock: Clock) => Promise<Store>;

/** The tests that every store passes. */
export function storeContract(name: string, open: OpenStore): void {
  const check = (title: string, body: (world: World) => Promise<void>): void =>
    void test(`${name}: ${title}`, async () => {
      const clock = new HandClock();
      await using store = await open(clock);
      const user = await store.users.ensure("owner@example.com");
      const app = await store.apps.create({ ...NEW_APP, ownerId: user.id });
      await body({ store, clock, user, app });
    });

  check("spec 8.2: a new app has v1, v2 and its default domain", async ({ store, app }) => {
    const releases = await store.releases.list(app.id);
    assert.deepEqual(
      releases.map(({ version, description, status }) => [version, description, status]),
      [
        [2, "Enable Logplex", "succeeded"],
        [1, "Initial release", "succeeded"],
      ],
    );
    assert.equal(app.currentReleaseId, releases[0]?.id);
    assert.deepEqual(
      (await store.domains.list(app.id)).map(({ hostname, kind }) => [hostname, kind]),
      [["hello.localhost", "heroku"]],
    );
    assert.deepEqual(await store.apps.find("hello"), app);
    assert.deepEqual(await store.apps.find(app.id), app);
  });

  check("a name that is taken or is none is refused, and nothing is left of it", async ({ store, user }) => {
    await refused("invalid_params", "Name hello is already taken", () =>
      store.apps.create({ ...NEW_APP, ownerId: user.id }),
    );
    for (const bad of ["ab", "1abc", "abc-", "Abc", "a".repeat(31), "a_b", "a.b", "../etc", ""]) {
      await refused("invalid_params", /^Name must start/, () =>
        store.apps.create({ ...NEW_APP, name: bad, ownerId: user.id }),
      );
    }
    assert.equal((await store.apps.list()).length, 1);
  });

  check("spec 12: features are kept as they were last switched, for each app, and go with it", async (world) => {
    const { store, clock, user, app } = world;
    const other = await store.apps.create({ ...NEW_APP, name: "other", ownerId: user.id });
    assert.deepEqual(await store.features.list(app.id), []);
    const changed: string[] = [];
    using _changes = store.onChange((id) => changed.push(id));
    const first = await store.features.set(app.id, "log-runtime-metrics", true);
    assert.deepEqual(first, { name: "log-runtime-metrics", enabled: true, createdAt: 1_000, updatedAt: 1_000 });
    clock.time = 2_000;
    await store.features.set(app.id, "log-runtime-metrics", false);
    const again = await store.features.set(app.id, "log-runtime-metrics", true);
    assert.deepEqual(again, { ...first, updatedAt: 2_000 });
    assert.deepEqual(await store.features.list(app.id), [again]);
    await store.features.set(other.id, "log-runtime-metrics", false);
    assert.deepEqual(await store.features.appsWith("log-runtime-metrics", true), [app.id]);
    assert.deepEqual(await store.features.appsWith("log-runtime-metrics", false), [other.id]);
    assert.deepEqual(changed, [app.id, app.id, app.id, other.id]);
    await store.apps.remove(app.id);
    assert.deepEqual(await store.features.appsWith("log-runtime-metrics", true), []);
    await refused("not_found", "Couldn't find that app.", () =>
      store.features.set(app.id, "log-runtime-metrics", true),
    );
  });

  check("a uid index is never given twice", async ({ store, user, app }) => {
    await store.apps.remove(app.id);
    const next = await store.apps.create({ ...NEW_APP, ownerId: user.id });
    assert.equal(next.uidIndex, app.uidIndex + 1);
    assert.equal(await store.apps.byId(app.id), undefined);
    assert.deepEqual(await store.releases.list(app.id), []);
  });

  check("an app goes with all that belongs to it", async ({ store, user, app }) => {
    const slug = await store.slugs.create({ ...NEW_SLUG, appId: app.id });
    const release = await store.releases.create({ ...newRelease(app, user), slugId: slug.id });
    const build = await store.builds.create({ appId: app.id, userId: user.id, commit: null });
    await store.builds.update(build.id, { slugId: slug.id, releaseId: release.id });
    await store.formation.sync(app.id, ["web"]);
    await store.dynos.create(newDyno(app));
    await store.dynos.setCrashes(app.id, { name: "web.1", count: 1, lastAt: 5 });
    await store.apps.remove(app.id);
    assert.equal(await store.slugs.byId(slug.id), undefined);
    assert.equal(await store.builds.byId(build.id), undefined);
    assert.deepEqual(await store.dynos.list(app.id), []);
    assert.deepEqual(await store.formation.list(app.id), []);
    await refused("not_found", /app/, () => store.config.get(app.id));
  });

  check("the default domain goes with a new name; another's name is refused", async ({ store, user, app }) => {
    await store.apps.create({ ...NEW_APP, name: "other", ownerId: user.id });
    await refused("invalid_params", /already taken/, () => store.apps.update(app.id, { name: "other" }));
    assert.equal((await store.apps.update(app.id, { name: "renamed" })).name, "renamed");
    assert.equal((await store.domains.list(app.id))[0]?.hostname, "renamed.localhost");
  });

  check("an app runs releases of its own only", async ({ store, user, app }) => {
    const other = await store.apps.create({ ...NEW_APP, name: "other", ownerId: user.id });
    await refused("not_found", /release/, () =>
      store.apps.update(app.id, { currentReleaseId: other.currentReleaseId ?? "" }),
    );
  });

  check(
    "the isolation class: container at first; a release keeps the one that it was made with",
    async ({ store, user, app }) => {
      assert.equal(app.isolation, "container");
      const before = await store.releases.create(newRelease(app, user));
      assert.equal((await store.apps.update(app.id, { isolation: "gvisor" })).isolation, "gvisor");
      const after = await store.releases.create(newRelease(app, user));
      assert.deepEqual(
        [(await store.releases.byId(before.id))?.isolation, (await store.releases.byId(after.id))?.isolation],
        ["container", "gvisor"],
      );
      assert.equal((await store.apps.find(app.name))?.isolation, "gvisor");
    },
  );

  check("a host name belongs to one app, in any case of letters", async ({ store, user, app }) => {
    const other = await store.apps.create({ ...NEW_APP, name: "other", ownerId: user.id });
    const added = await store.domains.add({ appId: app.id, hostname: "WWW.Example.com", kind: "custom" });
    assert.equal(added.hostname, "www.example.com");
    await store.domains.add({ appId: app.id, hostname: "*.example.com", kind: "custom" });
    await refused("invalid_params", /in use/, () =>
      store.domains.add({ appId: other.id, hostname: "www.example.COM", kind: "custom" }),
    );
    for (const bad of ["a b.com", "a..com", "x\ny.com", "-a.com", "*", "localhost", `${"a.".repeat(130)}com`]) {
      await refused("invalid_params", /not a host name/, () =>
        store.domains.add({ appId: app.id, hostname: bad, kind: "custom" }),
      );
    }
    await store.domains.remove(added.id);
    assert.equal((await store.domains.list(app.id)).length, 2);
  });

  check("users: one for each address; the first is the owner", async ({ store, user }) => {
    assert.deepEqual(await store.users.ensure("Owner@Example.com"), user);
    const second = await store.users.ensure("second@example.com");
    assert.notEqual(second.id, user.id);
    assert.deepEqual(await store.users.owner(), user);
    assert.deepEqual(await store.users.byEmail("SECOND@example.com"), second);
    for (const bad of ["", "x", "a b@c", "a@b\nc", "@b", "a@"]) {
      await refused("invalid_params", /not an e-mail/, () => store.users.ensure(bad));
    }
  });

  check("tokens: found by text only, until they expire or are revoked", async ({ store, user, clock }) => {
    const { token, text } = await store.tokens.create({ ...NEW_TOKEN, userId: user.id, expiresAt: clock.now() + 10 });
    assert.match(text, /^HRKU-ST[\w-]{64}$/);
    assert.deepEqual(await store.tokens.find(text), token);
    assert.match(token.redacted ?? "", /^HRKU-ST..\*{10}.{4}$/);
    for (const wrong of ["", token.redacted ?? "", token.id, `${text} `, text.slice(0, -1), text.toLowerCase()]) {
      assert.equal(await store.tokens.find(wrong), undefined);
    }
    clock.time += 10;
    assert.equal(await store.tokens.find(text), undefined, "expired");
    const other = await store.tokens.create({ ...NEW_TOKEN, userId: user.id, expiresAt: null });
    await store.tokens.revoke(other.token.id);
    assert.equal(await store.tokens.find(other.text), undefined, "revoked");
    assert.deepEqual(await store.tokens.list(user.id), [token]);
  });

  check("spec 4.5: config vars are set, changed and deleted in one call", async ({ store, app }) => {
    await store.config.change(app.id, { B: "1", A: "two\nlines", EMPTY: "" });
    assert.deepEqual(await store.config.change(app.id, { B: null, NEVER: null, C: "ü" }), {
      A: "two\nlines",
      EMPTY: "",
      C: "ü",
    });
    await store.config.replace(app.id, { ONLY: "x" });
    assert.deepEqual(await store.config.get(app.id), { ONLY: "x" });
  });

  check("spec 4.5: keys that cannot be used are refused, and nothing of the call is kept", async ({ store, app }) => {
    for (const key of ["A-B", "1A", "", "A B", "A=B", "A\nB", "É", "HEROKU_X", "__proto__", "__X"]) {
      const change = Object.fromEntries([
        ["GOOD", "1"],
        [key, "2"],
      ]);
      await refused("invalid_params", /Config var name/, () => store.config.change(app.id, change));
    }
    await refused("invalid_params", /NUL/, () => store.config.change(app.id, { A: "x\0y" }));
    assert.deepEqual(await store.config.get(app.id), {});
    assert.deepEqual(await store.config.change(app.id, { constructor: "a", toString: "b" }), {
      constructor: "a",
      toString: "b",
    });
  });

  check("spec 4.5: 64 kB for all keys and values together", async ({ store, app }) => {
    await store.config.change(app.id, { A: "x".repeat(65_535) });
    await refused("invalid_params", /65536/, () => store.config.change(app.id, { B: "" }));
    await refused("invalid_params", /64 kB/, () => store.config.change(app.id, { A: "é".repeat(32_768) }));
    assert.deepEqual(Object.keys(await store.config.change(app.id, { A: null, B: "" })), ["B"]);
  });

  check("spec 9.6: a release keeps the config vars of its instant", async ({ store, user, app }) => {
    await store.config.change(app.id, { A: "1" });
    const third = await store.releases.create(newRelease(app, user));
    await store.config.change(app.id, { A: "2" });
    const fourth = await store.releases.create(newRelease(app, user));
    assert.deepEqual([third.version, fourth.version], [3, 4]);
    assert.deepEqual(await store.releases.config(third.id), { A: "1" });
    assert.deepEqual(await store.releases.config(fourth.id), { A: "2" });
    assert.deepEqual(await store.releases.newest(app.id), fourth);
    assert.deepEqual(await store.releases.byVersion(app.id, 3), third);
    await store.releases.setStatus(third.id, "failed", "Its dynos crashed.");
    const failed = await store.releases.byId(third.id);
    assert.deepEqual([failed?.status, failed?.failure], ["failed", "Its dynos crashed."]);
  });

  check(
    "spec 5.3: a release with a command says where that stands; its type can have a size, and no dynos",
    async (at) => {
      const { store, user, app } = at;
      const { id: slugId } = await store.slugs.create({
        ...NEW_SLUG,
        appId: app.id,
        processTypes: { web: "x", release: "migrate" },
      });
      const plain = await store.slugs.create({ ...NEW_SLUG, appId: app.id, processTypes: { web: "x" } });
      const phaseOf = async (slug: string | null, withCommand: boolean) =>
        (await store.releases.create({ ...newRelease(app, user), slugId: slug, withCommand })).phase;
      assert.deepEqual(
        [await phaseOf(slugId, false), await phaseOf(plain.id, true), await phaseOf(null, true)],
        [null, null, null],
      );
      const release = await store.releases.create({ ...newRelease(app, user), slugId, withCommand: true });
      assert.equal(release.phase, "waiting");
      await store.releases.setPhase(release.id, "running");
      assert.equal((await store.releases.byId(release.id))?.phase, "running");
      await store.formation.ensure(app.id, "release");
      await store.formation.ensure(app.id, "release");
      const rows = await store.formation.list(app.id);
      assert.deepEqual(
        rows.map(({ type, quantity }) => [type, quantity]),
        [["release", 0]],
      );
      await refused("invalid_params", /Cannot scale release/, () =>
        store.formation.change(app.id, [{ type: "release", quantity: 1 }]),
      );
      const [sized] = await store.formation.change(app.id, [{ type: "release", quantity: 0, size: "Standard-2X" }]);
      assert.equal(sized?.size, "Standard-2X");
      await store.formation.sync(app.id, ["web", "release"]);
      assert.deepEqual(
        (await store.formation.list(app.id)).map(({ type, quantity }) => [type, quantity]),
        [
          ["release", 0],
          ["web", 1],
        ],
      );
    },
  );

  check("releases made at the same time get versions of their own", async ({ store, user, app }) => {
    const made = await Promise.all(Array.from({ length: 10 }, () => store.releases.create(newRelease(app, user))));
    assert.deepEqual(
      made.map(({ version }) => version).sort((a, b) => a - b),
      Array.from({ length: 10 }, (_, index) => index + 3),
    );
  });

  check("a slug keeps the order of its process types", async ({ store, app }) => {
    const processTypes = { worker: "w", "2": "x", web: "y", "1": "z" };
    const slug = await store.slugs.create({ ...NEW_SLUG, appId: app.id, processTypes });
    assert.deepEqual((await store.slugs.byId(slug.id))?.processTypes, processTypes);
  });

  check("spec 5.4: a slug keeps what its app.json asks for", async ({ store, app }) => {
    const manifest = parseAppManifest('{"cron": [{"command": "true", "schedule": "@daily"}]}');
    const slug = await store.slugs.create({ ...NEW_SLUG, appId: app.id, manifest });
    assert.deepEqual((await store.slugs.byId(slug.id))?.manifest, manifest);
  });

  check("schedules: a name once for each place, a line that changes begins anew", async ({ store, app }) => {
    const made = await store.schedules.create({ ...NEW_SCHEDULE, appId: app.id });
    assert.deepEqual([made.source, made.enabled, made.cron], ["api", true, "@daily"]);
    await refused("invalid_params", /called tidy already/, () =>
      store.schedules.create({ ...NEW_SCHEDULE, appId: app.id }),
    );
    await store.schedules.decided(made.id, made.decidedUntil + 5);
    const resized = await store.schedules.update(made.id, { size: "Standard-2X" });
    assert.equal(resized.decidedUntil, made.decidedUntil + 5, "what is decided stays decided");
    const moved = await store.schedules.update(made.id, { cron: "@hourly" });
    assert.notEqual(moved.decidedUntil, made.decidedUntil + 5);
    assert.deepEqual(await store.schedules.list(app.id), [moved]);
    assert.deepEqual(await store.schedules.listRunnable(), [], "the app has no code");
    await store.schedules.remove(made.id);
    assert.deepEqual(await store.schedules.list(app.id), []);
    await refused("not_found", /schedule/, () => store.schedules.update(made.id, { name: "x" }));
  });

  check("schedules: at most 100 beside those of app.json", async ({ store, app }) => {
    for (let number = 0; number < 100; number++)
      await store.schedules.create({ ...NEW_SCHEDULE, name: `s${number}`, appId: app.id });
    await refused("invalid_params", /has 100 schedules/, () =>
      store.schedules.create({ ...NEW_SCHEDULE, appId: app.id }),
    );
  });

  check("schedules of app.json come and go with the current release", async ({ store, user, app }) => {
    const make = async (cron: readonly object[]) => {
      const manifest = parseAppManifest(JSON.stringify({ cron }));
      const slug = await store.slugs.create({ ...NEW_SLUG, appId: app.id, manifest });
      const release = await store.releases.create({ ...newRelease(app, user), slugId: slug.id });
      return () => store.apps.update(app.id, { currentReleaseId: release.id });
    };
    const own = await store.schedules.create({ ...NEW_SCHEDULE, name: "own", appId: app.id });
    const first = await make([{ command: "a", schedule: "@daily" }]);
    assert.equal((await store.schedules.list(app.id)).length, 1, "not while it is pending");
    await first();
    assert.deepEqual(
      (await store.schedules.list(app.id)).map(({ name, source }) => [name, source]),
      [
        ["a", "app.json"],
        ["own", "api"],
      ],
    );
    assert.equal((await store.schedules.listRunnable()).length, 2);
    const second = await make([{ command: "a", schedule: "@daily", maintenance: true }]);
    await second();
    assert.deepEqual(
      (await store.schedules.listRunnable()).map(({ id }) => id),
      [own.id],
    );
    await (await make([]))();
    assert.deepEqual(
      (await store.schedules.list(app.id)).map(({ name }) => name),
      ["own"],
    );
    await store.apps.remove(app.id);
    assert.deepEqual(await store.schedules.list(app.id), []);
  });

  check("a run ends with its dyno, in the same write; a dyno that vanishes has ended", async ({ store, app }) => {
    const schedule = await store.schedules.create({ ...NEW_SCHEDULE, appId: app.id });
    const run = async (name: string) => {
      const dyno: DynoRecord = { ...newDyno(app), id: crypto.randomUUID(), kind: "scheduler", name, type: "scheduler" };
      await store.dynos.create(dyno);
      const outcome = { kind: "started", dynoId: dyno.id, dynoName: name, end: null } as const;
      await store.schedules.addRun({ scheduleId: schedule.id, dueAt: 5, decidedAt: 6, outcome });
      return dyno;
    };
    const first = await run("scheduler.1");
    const second = await run("scheduler.2");
    await store.schedules.addRun({
      scheduleId: schedule.id,
      dueAt: 7,
      decidedAt: 8,
      outcome: { kind: "skipped", reason: "no" },
    });
    assert.equal((await store.schedules.latestRuns(app.id)).length, 3, "the newest, and those that go on");
    await store.dynos.update(first.id, { exit: { at: 9, status: 4 } });
    await store.dynos.update(first.id, { exit: { at: 10, status: 5 } });
    await store.dynos.remove(second.id);
    const ends = (await store.schedules.runs(schedule.id)).map(
      ({ outcome }) => outcome.kind === "started" && outcome.end,
    );
    assert.deepEqual(ends.slice(0, 1), [false]);
    assert.deepEqual(ends[2], { at: 9, status: 4 });
    assert.ok(typeof ends[1] === "object" && ends[1]?.status === null);
    assert.equal((await store.schedules.latestRuns(app.id)).length, 1);
  });

  check(
    "health checks given through the API: by type, an empty list too, until they are cleared",
    async ({ store, app }) => {
      assert.deepEqual(await store.checks.list(app.id), {});
      const checks = parseChecks("web", [{ type: "readiness", path: "/up" }], "checks");
      await store.checks.set(app.id, "web", []);
      await store.checks.set(app.id, "web", checks);
      await store.checks.set(app.id, "worker", []);
      assert.deepEqual(await store.checks.list(app.id), { web: checks, worker: [] });
      await store.checks.clear(app.id, "web");
      await store.checks.clear(app.id, "web");
      assert.deepEqual(await store.checks.list(app.id), { worker: [] });
      await store.apps.remove(app.id);
      assert.deepEqual(await store.checks.list(app.id), {});
      await assert.rejects(store.checks.set(app.id, "web", []), /Couldn't find that app/);
    },
  );

  check("builds: newest first; those in work are found after a restart", async ({ store, user, app }) => {
    const build = { appId: app.id, userId: user.id, commit: "abc" };
    const first = await store.builds.create(build);
    const second = await store.builds.create(build);
    assert.deepEqual(
      (await store.builds.list(app.id)).map(({ id }) => id),
      [second.id, first.id],
    );
    const failed = await store.builds.update(first.id, { status: "failed", buildpackDescription: "Node.js" });
    assert.deepEqual([failed.status, failed.buildpackDescription, failed.commit], ["failed", "Node.js", "abc"]);
    assert.deepEqual(await store.builds.listPending(), [second]);
  });

  check("spec 5.1: the first formation has one web dyno, later types start at 0", async ({ store, app }) => {
    const sizes = async () => (await store.formation.list(app.id)).map(({ type, quantity }) => `${type}=${quantity}`);
    await store.formation.sync(app.id, ["worker", "web"]);
    assert.deepEqual(await sizes(), ["web=1", "worker=0"]);
    await store.formation.change(app.id, [{ type: "worker", quantity: 2 }]);
    await store.formation.sync(app.id, ["worker", "clock"]);
    assert.deepEqual(await sizes(), ["clock=0", "worker=2"]);
    await store.formation.sync(app.id, ["web"]);
    assert.deepEqual(await sizes(), ["web=0"], "not the first formation any more");
  });

  check("spec 10.1: quantities absolute and relative, sizes in any case, all or nothing", async ({ store, app }) => {
    await store.formation.sync(app.id, ["web", "worker"]);
    const change: typeof store.formation.change = (appId, changes) => store.formation.change(appId, changes);
    const [web] = await change(app.id, [{ type: "web", quantity: 3, size: "standard-2x" }]);
    assert.deepEqual([web?.quantity, web?.size], [3, "Standard-2X"]);
    await Promise.all(Array.from({ length: 5 }, () => change(app.id, [{ type: "web", quantity: { by: 2 } }])));
    const all = await change(app.id, [{ type: "web", quantity: { by: -1 } }]);
    assert.deepEqual(
      all.map(({ type, quantity }) => [type, quantity]),
      [
        ["web", 12],
        ["worker", 0],
      ],
    );
    const both = (second: Parameters<typeof change>[1][number]) => () =>
      change(app.id, [{ type: "worker", quantity: 7 }, second]);
    await refused("invalid_params", "Couldn't find that process type (cron).", both({ type: "cron", quantity: 1 }));
    await refused("invalid_params", /^Couldn't find that dyno size \(Huge\)/, both({ type: "web", size: "Huge" }));
    await refused("invalid_params", /dyno size/, both({ type: "web", size: "Build" }));
    for (const quantity of [-1, 101, 1.5, Number.NaN, Number.POSITIVE_INFINITY, { by: -13 }, { by: 1e300 }]) {
      await refused("invalid_params", /^Cannot scale web/, both({ type: "web", quantity }));
    }
    assert.deepEqual(await store.formation.list(app.id), all);
  });

  check("spec 2.3: 100 dynos for each app", async ({ store, app }) => {
    await store.formation.sync(app.id, ["web", "worker"]);
    await store.formation.change(app.id, [
      { type: "web", quantity: 60 },
      { type: "worker", quantity: 40 },
    ]);
    await refused("invalid_params", /at most 100/, () =>
      store.formation.change(app.id, [{ type: "web", quantity: { by: 1 } }]),
    );
    await store.formation.change(app.id, [
      { type: "web", quantity: 61 },
      { type: "worker", quantity: 39 },
    ]);
  });

  check("dyno records come back as they were, oldest first", async ({ store, app }) => {
    const plain = newDyno(app);
    const oneOff: DynoRecord = {
      ...newDyno(app),
      kind: "run",
      name: "run.1",
      oneOff: {
        attach: true,
        awaiting: true,
        terminal: { rows: 24, columns: 80 },
        env: { SECRET: "geheim" },
        timeToLive: null,
        userEmail: "a@b",
      },
    };
    await store.dynos.create(plain);
    await store.dynos.create(oneOff);
    assert.deepEqual(await store.dynos.list(app.id), [plain, oneOff]);
    const stopping = { since: 7, reason: "scale", killed: false } as const;
    await store.dynos.update(oneOff.id, { stopping, state: "up", launchedAt: 6, exit: { at: 8, status: null } });
    const ran = { ...oneOff, stopping, state: "up", launchedAt: 6, exit: { at: 8, status: null } };
    const after = { ...ran, oneOff: oneOff.oneOff && { ...oneOff.oneOff, env: {} } }; // the call's environment is forgotten
    assert.deepEqual(await store.dynos.byId(oneOff.id), after);
    await store.dynos.update(plain.id, { ready: false });
    assert.deepEqual(await store.dynos.byId(plain.id), { ...plain, ready: false });
    await store.dynos.update(plain.id, { ready: true });
    assert.deepEqual(await store.dynos.byId(plain.id), plain, "ready is what is not said");
    await store.dynos.update(oneOff.id, { stopping: null });
    assert.equal((await store.dynos.byId(oneOff.id))?.stopping, null);
    await store.dynos.remove(plain.id);
    await store.dynos.remove(plain.id);
    assert.equal((await store.dynos.list(app.id)).length, 1);
    await refused("not_found", /dyno/, () => store.dynos.update(plain.id, { state: "up" }));
  });

  check(
    "the list of dynos stays true when ended ones are written again, removed, or written in vain",
    async ({ store, app }) => {
      const [first, second, third] = [newDyno(app), newDyno(app), newDyno(app)];
      for (const each of [first, second, third]) await store.dynos.create(each);
      const exit = { at: 8, status: 3 };
      for (const { id } of [first, second]) await store.dynos.update(id, { exit });
      const ended = [{ ...first, exit }, { ...second, exit }, third];
      assert.deepEqual(await store.dynos.list(app.id), ended);
      assert.deepEqual(await store.dynos.list(app.id), ended, "also when it is read again");
      const inVain = store.transaction(async (inside) => {
        await inside.dynos.update(second.id, { exit: { at: 9, status: 9 } });
        await inside.dynos.update(third.id, { exit });
        assert.deepEqual(
          (await inside.dynos.list(app.id)).map((each) => each.exit?.at),
          [8, 9, 8],
        );
        throw new Error("no");
      });
      await assert.rejects(inVain, /^Error: no$/);
      assert.deepEqual(await store.dynos.list(app.id), ended);
      await store.dynos.update(first.id, { exit: null, state: "starting" });
      assert.deepEqual(await store.dynos.list(app.id), [{ ...first, state: "starting" }, { ...second, exit }, third]);
      await store.dynos.update(first.id, { exit });
      await store.dynos.remove(second.id);
      assert.deepEqual(await store.dynos.list(app.id), [{ ...first, state: "starting", exit }, third]);
      await store.apps.remove(app.id);
      assert.deepEqual(await store.dynos.list(app.id), []);
    },
  );

  check(
    "an app sleeps until it is woken: by a request, a new release, a change of its formation",
    async ({ store, app }) => {
      assert.equal(app.asleepSince, null);
      assert.equal(await store.apps.wake(app.id), false);
      const wakes = [
        () => store.apps.wake(app.id),
        () =>
          store.releases.create({
            appId: app.id,
            slugId: null,
            userId: app.ownerId,
            description: "x",
            status: "succeeded",
          }),
        () => store.formation.change(app.id, [{ type: "web", quantity: 2 }]),
      ];
      await store.formation.sync(app.id, ["web"]);
      for (const wake of wakes) {
        await store.apps.sleep(app.id);
        const asleep = await store.apps.byId(app.id);
        assert.equal(typeof asleep?.asleepSince, "number");
        assert.equal(asleep?.updatedAt, app.updatedAt, "nobody changed it");
        await store.apps.sleep(app.id);
        assert.equal((await store.apps.byId(app.id))?.asleepSince, asleep?.asleepSince, "since then");
        await wake();
        assert.equal((await store.apps.byId(app.id))?.asleepSince, null);
      }
      await store.apps.sleep(app.id);
      assert.equal(await store.apps.wake(app.id), true);
      await store.apps.sleep("00000000-0000-4000-8000-000000000000"); // gone: nothing to do
      const pending = {
        appId: app.id,
        slugId: null,
        userId: app.ownerId,
        description: "x",
        status: "pending",
      } as const;
      const { id } = await store.releases.create(pending);
      await store.apps.sleep(app.id);
      assert.equal((await store.apps.byId(app.id))?.asleepSince, null, "it comes up");
      await store.releases.setStatus(id, "failed");
      await store.apps.sleep(app.id);
      assert.equal(await store.apps.wake(app.id), true);
    },
  );

  check(
    "who may go to sleep: apps that say so, those of Eco dynos, none that sleep or are in maintenance",
    async ({ store, app }) => {
      const sleepers = async () => (await store.apps.sleepers()).map(({ id }) => id);
      assert.deepEqual(await sleepers(), []);
      await store.apps.update(app.id, { sleepAfterMinutes: 5 });
      assert.deepEqual(await sleepers(), [app.id]);
      await store.apps.update(app.id, { maintenance: true });
      assert.deepEqual(await sleepers(), []);
      await store.apps.update(app.id, { maintenance: false, sleepAfterMinutes: null });
      await store.formation.sync(app.id, ["web"]);
      assert.deepEqual(await sleepers(), []);
      await store.formation.change(app.id, [{ type: "web", size: "Eco" }]);
      assert.deepEqual(await sleepers(), [app.id]);
      await store.apps.update(app.id, { sleepAfterMinutes: 0 });
      assert.deepEqual(await sleepers(), []);
      await store.apps.update(app.id, { sleepAfterMinutes: 5 });
      await store.apps.sleep(app.id);
      assert.deepEqual(await sleepers(), []);
    },
  );

  check("settings of an app's dynos: defaults, changes, and what is out of range", async ({ store, app }) => {
    assert.deepEqual({ ...app, ...DEFAULT_RUNTIME }, app);
    const changed: Runtime = {
      restartPolicy: "heroku",
      rollout: "preboot",
      bootTimeoutSeconds: BOOT_TIMEOUT_SECONDS_MAX,
      prebootDelaySeconds: 0,
      stopGraceSeconds: 1,
      releaseTimeoutSeconds: RELEASE_TIMEOUT_SECONDS_MAX,
      dailyCycling: true,
      cyclingHour: 23,
      sleepAfterMinutes: 0,
    };
    assert.deepEqual(await store.apps.update(app.id, changed), { ...app, ...changed });
    assert.deepEqual(await store.apps.byId(app.id), { ...app, ...changed });
    assert.equal((await store.apps.update(app.id, { cyclingHour: null })).cyclingHour, null);
    for (const bad of [
      { bootTimeoutSeconds: 0 },
      { bootTimeoutSeconds: BOOT_TIMEOUT_SECONDS_MAX + 1 },
      { bootTimeoutSeconds: 1.5 },
      { prebootDelaySeconds: -1 },
      { prebootDelaySeconds: PREBOOT_DELAY_SECONDS_MAX + 1 },
      { stopGraceSeconds: -1 },
      { stopGraceSeconds: STOP_GRACE_SECONDS_MAX + 1 },
      { releaseTimeoutSeconds: 0 },
      { releaseTimeoutSeconds: RELEASE_TIMEOUT_SECONDS_MAX + 1 },
      { cyclingHour: 24 },
    ]) {
      await refused("invalid_params", /cannot be .*: say a number from/, () => store.apps.update(app.id, bad));
    }
    assert.equal((await store.apps.byId(app.id))?.bootTimeoutSeconds, BOOT_TIMEOUT_SECONDS_MAX);
  });

  check("certificates: bound to domains, replaced, gone with their app; ACM and its orders", async (world) => {
    const { store, app } = world;
    const { certificates } = store;
    const pair = { chain: "chain", key: "very private" };
    const made = await certificates.create({ ...pair, appId: app.id, isAutomatic: false });
    const got = await certificates.create({ ...pair, appId: app.id, isAutomatic: true });
    assert.match(made.name, /^cert-\d{5}$/);
    assert.notEqual(made.name, got.name);
    const domain = await store.domains.add({ appId: app.id, hostname: "www.a.example", kind: "custom" });
    await certificates.bind(domain.id, made.id);
    const bound = async () => (await store.domains.list(app.id)).find(({ id }) => id === domain.id)?.sniEndpointId;
    assert.equal(await bound(), made.id);
    await certificates.update(made.id, { chain: "other", key: "another", isAutomatic: false });
    assert.equal(await certificates.key(made.id), "another");
    assert.equal((await certificates.list(app.id)).find(({ id }) => id === made.id)?.chain, "other");
    await certificates.remove(made.id);
    assert.equal(await bound(), null);

    assert.deepEqual(await certificates.automaticDomains(), []);
    await certificates.setAutomatic(app.id, true);
    assert.equal(await certificates.isAutomatic(app.id), true);
    assert.equal((await certificates.automaticDomains()).length, 2);
    const state = { domainId: domain.id, hostname: "www.a.example", status: "in-progress", reason: null } as const;
    await certificates.setState({ ...state, failures: 0, nextAt: 5, orderUrl: "https://order" });
    await certificates.setOrderKey(domain.id, "order key");
    assert.equal(await certificates.orderKey(domain.id), "order key");
    await certificates.setState({ ...state, failures: 2, nextAt: 9, orderUrl: "https://order" });
    assert.equal(await certificates.orderKey(domain.id), "order key", "as long as the order stands");
    await certificates.setState({ ...state, failures: 2, nextAt: 9, orderUrl: null });
    assert.equal(await certificates.orderKey(domain.id), undefined);
    assert.deepEqual(
      (await certificates.states()).map(({ failures, nextAt }) => [failures, nextAt]),
      [[2, 9]],
    );
    await certificates.setAccount("https://dir", { key: "account key", url: null, pausedUntil: null });
    await certificates.setAccount("https://dir", { key: "account key", url: "https://me", pausedUntil: null });
    await certificates.pause("https://dir", 77);
    const account = { key: "account key", url: "https://me", pausedUntil: 77 };
    assert.deepEqual(await certificates.account("https://dir"), account);
    assert.equal(await certificates.account("https://other"), undefined);

    await certificates.setAutomatic(app.id, false);
    assert.deepEqual([await certificates.states(), await certificates.list(app.id)], [[], []]);
    await certificates.create({ ...pair, appId: app.id, isAutomatic: false });
    await store.apps.remove(app.id);
    assert.deepEqual(await certificates.listAll(), []);
    await refused("not_found", /SNI endpoint/, () => certificates.key(made.id));
  });

  check("routing settings: defaults, changed in part; what is out of range changes nothing", async ({ store, app }) => {
    assert.deepEqual(await store.routing.get(app.id), DEFAULT_ROUTING);
    const changed = { ...DEFAULT_ROUTING, balance: "least-connections", httpsRedirect: true } as const;
    assert.deepEqual(
      await store.routing.change(app.id, { balance: "least-connections", httpsRedirect: true }),
      changed,
    );
    const timed = await store.routing.change(app.id, { firstByteSeconds: 3600 });
    assert.deepEqual(timed, { ...changed, firstByteSeconds: 3600 });
    for (const seconds of [0, 3601, 1.5])
      await refused("invalid_params", /say a number from 1 to 3600/, () =>
        store.routing.change(app.id, { balance: "random", rollingSeconds: seconds }),
      );
    assert.deepEqual(await store.routing.get(app.id), timed);
    await refused("not_found", /app/, () => store.routing.change("no-such", {}));
  });

  check("basic auth: of a password only a digest is kept, with a salt for each user", async ({ store, app }) => {
    assert.deepEqual(await store.routing.addUser(app.id, "bob", "correct horse"), { password: "correct horse" });
    const made = await store.routing.addUser(app.id, "ann@x", undefined);
    assert.match(made.password, /^[\w-]{24}$/);
    const users = await store.routing.users(app.id);
    assert.deepEqual(
      users.map(({ name }) => name),
      ["ann@x", "bob"],
    );
    for (const [{ salt, digest }, password] of [
      [users[0], made.password],
      [users[1], "correct horse"],
    ].filter((each): each is [BasicAuthUser, string] => each[0] !== undefined))
      assert.equal(digest, passwordDigest(password, salt));
    assert.notEqual(users[0]?.salt, users[1]?.salt);
    await refused("invalid_params", /already/, () => store.routing.addUser(app.id, "bob", "other password"));
    for (const name of ["", "a:b", "a b", "ü", "x\n", "a/b"])
      await refused("invalid_params", /name of a user/, () => store.routing.addUser(app.id, name, "long enough"));
    for (const password of ["short", "x".repeat(257), "with\ttabulator"])
      await refused("invalid_params", /password/i, () => store.routing.addUser(app.id, "eve", password));
    await store.routing.removeUser(app.id, "bob");
    await refused("not_found", /user/, () => store.routing.removeUser(app.id, "bob"));
    await store.apps.remove(app.id);
    assert.deepEqual(await store.routing.users(app.id), []);
  });

  check("crashes are counted by name", async ({ store, app }) => {
    await store.dynos.setCrashes(app.id, { name: "web.1", count: 1, lastAt: 5 });
    await store.dynos.setCrashes(app.id, { name: "web.1", count: 2, lastAt: 9 });
    await store.dynos.setCrashes(app.id, { name: "web.2", count: 1, lastAt: 9 });
    assert.deepEqual((await store.dynos.crashes(app.id))[0], { name: "web.1", count: 2, lastAt: 9 });
    await store.dynos.clearCrashes(app.id, "web.1");
    assert.equal((await store.dynos.crashes(app.id)).length, 1);
    await store.dynos.clearCrashes(app.id);
    assert.deepEqual(await store.dynos.crashes(app.id), []);
  });

  check("a transaction is all or nothing, and is seen by nobody before its end", async ({ store, user, app }) => {
    const changed: string[] = [];
    using _listener = store.onChange((appId) => changed.push(appId));
    const failing = store.transaction(async (inner) => {
      await inner.config.change(app.id, { A: "1" });
      await inner.transaction((nested) => nested.releases.create(newRelease(app, user)));
      throw new Error("on purpose");
    });
    await assert.rejects(failing, /on purpose/);
    assert.deepEqual(await store.config.get(app.id), {});
    assert.equal((await store.releases.list(app.id)).length, 2);
    assert.deepEqual(changed, []);

    const gate = Promise.withResolvers<void>();
    const good = store.transaction(async (inner) => {
      await inner.config.change(app.id, { A: "1" });
      await gate.promise;
      await inner.releases.create(newRelease(app, user));
      assert.deepEqual(changed, [], "nothing is told before the commit");
      return "value";
    });
    const seen = store.config.get(app.id);
    gate.resolve();
    assert.equal(await good, "value");
    assert.deepEqual(await seen, { A: "1" });
    assert.deepEqual(changed, [app.id], "once for each app");
  });

  check("an error that was caught inside fails the transaction all the same", async ({ store, app }) => {
    const caught = store.transaction(async (inner) => {
      await inner.config.change(app.id, { A: "1" });
      await inner.config.change(app.id, { "B-": "1" }).catch(() => {});
    });
    await assert.rejects(caught, /Config var name/);
    assert.deepEqual(await store.config.get(app.id), {});
  });

  check("the outer store inside a transaction is an error and no deadlock", async ({ store, app }) => {
    await assert.rejects(
      store.transaction(() => store.config.get(app.id)),
      /use the store that it passes/,
    );
    const escaped = await store.transaction(async (inner) => inner);
    await assert.rejects(escaped.apps.list(), /has ended/);
    assert.equal((await store.apps.list()).length, 1);
  });

  check("spec 8.4: drains keep their place; a URL once, five for an app, and they go with it", async (world) => {
    const { store, user, app } = world;
    const heard: string[] = [];
    using _changes = store.onChange((id) => heard.push(id));
    const one = await store.logDrains.create({ appId: app.id, url: "https://me:secret@h/", position: 7 });
    assert.match(one.token, /^d\.[0-9a-f-]{36}$/);
    await refused("invalid_params", "Url has already been taken", () =>
      store.logDrains.create({ appId: app.id, url: one.url, position: null }),
    );
    for (let n = 2; n <= 5; n++) await store.logDrains.create({ appId: app.id, url: `syslog://h${n}`, position: null });
    await refused("invalid_params", /5 drains/, () =>
      store.logDrains.create({ appId: app.id, url: "syslog://h6", position: null }),
    );
    assert.equal(heard.length, 5);
    await store.logDrains.setPositions(
      new Map([
        [one.id, 12],
        ["gone", 5],
      ]),
    );
    assert.equal(heard.length, 5, "nobody needs to look because of a place");
    assert.deepEqual((await store.logDrains.list(app.id))[0], { ...one, position: 12 });
    const other = await store.apps.create({ ...NEW_APP, name: "other", ownerId: user.id });
    const theirs = await store.logDrains.create({ appId: other.id, url: one.url, position: null });
    assert.equal((await store.logDrains.all()).length, 6);
    await store.logDrains.remove(one.id);
    await store.apps.remove(app.id);
    assert.deepEqual(await store.logDrains.all(), [theirs]);
  });

  check("webhooks: what changes is noted in its transaction, for those who are told", async ({ store, user, app }) => {
    const add = (hostname: string, within: Store = store) =>
      within.domains.add({ appId: app.id, hostname, kind: "custom" });
    await add("before.example.com");
    assert.deepEqual([store.webhooks.areUsed(), await store.webhooks.noted(10)], [false, []]);
    const settings = { level: "sync", url: "https://h/", secret: "s", authorization: null } as const;
    const hook = await store.webhooks.create({ ...settings, appId: app.id, include: ["api:domain"] });
    const deaf = await store.webhooks.create({ ...settings, appId: app.id, include: ["api:app"] });
    assert.ok(store.webhooks.areUsed());
    await assert.rejects(
      store.transaction(async (inside) => {
        await add("never.example.com", inside);
        throw new Error("no");
      }),
    );
    await actingAs(user.id, () => store.transaction((inside) => add("yes.example.com", inside)));
    const [change, ...more] = await store.webhooks.noted(10);
    assert.deepEqual(more, []);
    assert.ok(change);
    assert.deepEqual(
      [change.kind, change.action, change.row["hostname"], change.before, change.actorId],
      ["domains", "create", "yes.example.com", null, user.id],
    );
    await store.webhooks.publish(change, [{ include: "api:domain", payload: { action: "create" } }]);
    assert.deepEqual(await store.webhooks.noted(10), []);
    const [delivery, ...others] = await store.webhooks.deliveries(app.id);
    assert.deepEqual(others, []);
    assert.equal(delivery?.webhookId, hook.id);
    assert.deepEqual([...(await store.webhooks.due()).keys()], [hook.id]);
    assert.deepEqual(await store.webhooks.next(hook.id), delivery);
    const attempt = { code: 200, errorClass: null, status: "succeeded", at: 9 } as const;
    await store.webhooks.attempted(delivery.id, attempt, { status: "succeeded", nextAttemptAt: null });
    assert.equal(await store.webhooks.next(hook.id), undefined);
    assert.deepEqual((await store.webhooks.update(deaf.id, { level: "notify" })).include, ["api:app"]);
    await store.webhooks.remove(hook.id);
    assert.deepEqual(await store.webhooks.deliveries(app.id), []);
    assert.equal((await store.webhooks.events(app.id)).length, 1);
  });

  check("listeners hear of every write of an app, until they leave", async ({ store, app }) => {
    const changed: string[] = [];
    const listener = store.onChange((appId) => changed.push(appId));
    const dyno = newDyno(app);
    await store.dynos.create(dyno);
    await store.dynos.update(dyno.id, { state: "up" });
    await store.formation.sync(app.id, ["web"]);
    await store.apps.update(app.id, { maintenance: true });
    await store.apps.remove(app.id);
    assert.deepEqual(changed, Array<string>(5).fill(app.id));
    listener[Symbol.dispose]();
    await store.users.ensure("x@y");
    assert.equal(changed.length, 5);
  });
}

interface World {
  readonly store: Store;
  readonly clock: HandClock;
  readonly user: User;
  readonly app: App;
}

class HandClock implements Clock {
  time = 1_000;
  now(): number {
    return this.time;
  }
  sleep(): Promise<void> {
    return Promise.reject(new Error("a store never sleeps"));
  }
}

const NEW_APP = { name: "hello", stack: "debian-12", domain: "localhost" };
const NEW_TOKEN = { description: "test", scopes: ["global"] };
const NEW_SLUG = {
  digest: "ab".repeat(32),
  sizeBytes: 5_000_000_000,
  processTypes: { web: "node web.js" },
  stack: "debian-12",
  commit: null,
  buildpackDescription: null,
  manifest: NO_MANIFEST,
};

const NEW_SCHEDULE = {
  name: "tidy",
  command: "tidy --all",
  cron: "@daily",
  timeZone: "UTC",
  size: null,
  concurrency: "forbid",
  enabled: true,
} as const;

function newRelease(app: App, user: User) {
  return { appId: app.id, userId: user.id, slugId: null, description: "Deploy abc", status: "pending" } as const;
}

function newDyno(app: App): DynoRecord {
  return {
    id: crypto.randomUUID(),
    appId: app.id,
    kind: "formation",
    name: "web.1",
    type: "web",
    releaseId: app.currentReleaseId ?? "",
    size: "Basic",
    command: "node web.js",
    state: "starting",
    stateSince: 1,
    createdAt: 1,
    launchedAt: null,
    stopping: null,
    exit: null,
    oneOff: null,
    port: 5000,
  };
}

async function refused(id: PlatformErrorId, message: string | RegExp, call: () => Promise<unknown>): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof PlatformError, String(error));
    assert.equal(error.id, id);
    if (typeof message === "string") assert.equal(error.message, message);
    else assert.match(error.message, message);
    return true;
  });
}
