import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { type DynoSpec, type Engine, EngineError, type ObservedDyno, type ObservedState } from "./engine.ts";

/** An engine to be tested, and what its dynos can be told to do. */
export interface EngineUnderTest extends AsyncDisposable {
  readonly engine: Engine;
  /** What every dyno of the tests has beside; a container where nothing is said. */
  readonly spec?: Pick<DynoSpec, "isolation">;
  readonly commands: {
    /** Lives until it is signalled. */
    readonly stay: string;
    /** Lives on after SIGTERM. */
    readonly stubborn: string;
    /** Accepts connections on 5000. */
    readonly serve: string;
    exit(status: number): string;
    /** Lives, and passes its startup checks from this age on, in milliseconds. These two: where commands can be checks. */
    readonly starting?: (ms: number) => string;
    /** Lives, and passes its liveness checks until it is of this age. */
    readonly sickening?: (ms: number) => string;
  };
}

const WAIT_MS = 60_000;

/** Asks for a file that the dyno's command makes or takes away. */
const CHECK = {
  name: null,
  probe: { kind: "command", command: "test -e /tmp/healthy" },
  intervalMs: 1000,
  timeoutMs: 5000,
  initialDelayMs: 0,
  attempts: 3,
  successes: 1,
} as const;

export function specOf(change: Partial<DynoSpec> = {}): DynoSpec {
  return {
    id: randomUUID(),
    appId: randomUUID(),
    uidIndex: 1,
    kind: "formation",
    name: "web.1",
    releaseId: null,
    stack: "debian-12",
    slugDigest: null,
    command: "",
    env: {},
    size: "Basic",
    isolation: "container",
    port: null,
    terminal: null,
    stdin: false,
    io: false,
    ...change,
  };
}

/** Waits until the engine says this of the dyno; hints only make it look sooner. */
export async function until(
  engine: Engine,
  id: string,
  what: (state: ObservedState) => boolean,
  timeoutMs = WAIT_MS,
): Promise<ObservedDyno> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const hint = Promise.withResolvers<void>();
    using _watch = engine.watch(() => hint.resolve());
    const dyno = (await engine.list()).find((each) => each.id === id);
    if (dyno && what(dyno.state)) return dyno;
    if (performance.now() > deadline) throw new Error(`waited in vain; last seen: ${JSON.stringify(dyno?.state)}`);
    const timer = setTimeout(hint.resolve, 250);
    await hint.promise;
    clearTimeout(timer);
  }
}

export async function untilEnded(engine: Engine, id: string): Promise<Extract<ObservedState, { kind: "ended" }>> {
  const { state } = await until(engine, id, ({ kind }) => kind === "ended");
  assert.equal(state.kind, "ended");
  return state as Extract<ObservedState, { kind: "ended" }>; // the line above says so
}

export const isEngineError = (id: string) => (error: unknown) => error instanceof EngineError && error.id === id;

/** What every engine promises, whatever runs its dynos. */
export function engineContract(name: string, open: () => Promise<EngineUnderTest>): void {
  void describe(`engine contract: ${name}`, () => {
    void test("a dyno is listed with what it was started as, runs, and ends with its status", async () => {
      await using under = await open();
      const spec = specOf({
        ...under.spec,
        command: under.commands.exit(7),
        kind: "run",
        name: "run.1",
        releaseId: randomUUID(),
      });
      await under.engine.start(spec);
      const ended = await untilEnded(under.engine, spec.id);
      assert.equal(ended.status, 7);
      assert.equal(ended.outOfMemory, false);
      const [dyno] = await under.engine.list();
      assert.deepEqual(await under.engine.list(spec.appId), await under.engine.list());
      assert.deepEqual(
        await under.engine.list("00000000-0000-4000-8000-000000000000"),
        [],
        "another app's dynos: none",
      );
      const { state: _state, ...facts } = dyno ?? assert.fail("it is kept until it is removed");
      const { id, appId, kind, releaseId } = spec;
      assert.deepEqual(facts, { id, appId, kind, name: "run.1", releaseId });
    });

    void test("what is told before a start changes nothing of it, whether or not it comes, and in whatever order", async () => {
      await using under = await open();
      const spec = specOf({ ...under.spec, command: under.commands.exit(5), kind: "run", name: "run.1" });
      under.engine.prepare({ ...spec, id: randomUUID() });
      under.engine.prepare({ ...spec, command: under.commands.exit(6) });
      under.engine.prepare(spec);
      assert.deepEqual(await under.engine.list(), []);
      await under.engine.start(spec);
      under.engine.prepare(spec);
      assert.equal((await untilEnded(under.engine, spec.id)).status, 5);
      await under.engine.remove(spec.id);
      under.engine.prepare(spec);
      await assert.rejects(under.engine.start(spec), isEngineError("gone"));
      assert.deepEqual(await under.engine.list(), []);
    });

    void test("start may be repeated while the dyno lives and after it ended; once removed it is gone", async () => {
      await using under = await open();
      const spec = specOf({ ...under.spec, command: under.commands.stay });
      await Promise.all([under.engine.start(spec), under.engine.start(spec)]);
      await under.engine.start(spec);
      assert.equal((await under.engine.list()).length, 1);
      await under.engine.signal(spec.id, "KILL");
      assert.equal((await untilEnded(under.engine, spec.id)).status, 137);
      await under.engine.start(spec);
      assert.deepEqual(
        (await under.engine.list()).map(({ state }) => state.kind),
        ["ended"],
      );
      await under.engine.remove(spec.id);
      await under.engine.remove(spec.id);
      assert.deepEqual(await under.engine.list(), []);
      await assert.rejects(under.engine.start(spec), isEngineError("gone"));
    });

    void test("spec 3.3: SIGTERM ends what obeys it, SIGKILL the rest; signals to the dead do nothing", async () => {
      await using under = await open();
      const [obedient, stubborn] = [
        specOf({ ...under.spec, command: under.commands.stay }),
        specOf({ ...under.spec, command: under.commands.stubborn }),
      ];
      for (const spec of [obedient, stubborn]) await under.engine.start(spec);
      for (const spec of [obedient, stubborn]) await until(under.engine, spec.id, ({ kind }) => kind === "running");
      await settled(under, stubborn.id);
      for (const spec of [obedient, stubborn]) await under.engine.signal(spec.id, "TERM");
      assert.equal((await untilEnded(under.engine, obedient.id)).status, 143);
      const left = (await under.engine.list()).find(({ id }) => id === stubborn.id);
      assert.equal(left?.state.kind, "running");
      await under.engine.signal(stubborn.id, "KILL");
      assert.equal((await untilEnded(under.engine, stubborn.id)).status, 137);
      await under.engine.signal(stubborn.id, "TERM");
      await under.engine.signal(randomUUID(), "TERM");
    });

    void test("a dyno with a port is listening once it accepts connections, one without never", async () => {
      await using under = await open();
      const [web, worker] = [
        specOf({ ...under.spec, command: under.commands.serve, port: 5000 }),
        specOf({ ...under.spec, command: under.commands.serve, name: "worker.1" }),
      ];
      await under.engine.start(worker);
      await under.engine.start(web);
      const { state } = await until(under.engine, web.id, (each) => each.kind === "running" && each.listening);
      assert.ok(state.kind === "running" && state.address !== null);
      const other = (await under.engine.list()).find(({ id }) => id === worker.id);
      assert.equal(other?.state.kind === "running" && other.state.listening, false);
    });

    void test("usage tells of running dynos alone: memory against the quota of their size, and time that only grows", async () => {
      await using under = await open();
      const { engine, commands } = under;
      const [living, dead] = [specOf({ command: commands.stay }), specOf({ command: commands.exit(0), name: "web.2" })];
      for (const spec of [living, dead]) await engine.start(spec);
      await until(engine, living.id, ({ kind }) => kind === "running");
      await untilEnded(engine, dead.id);
      const [usage, ...others] = await engine.usage([living.appId, randomUUID()]);
      assert.ok(usage !== undefined && others.length === 0, "the one that runs");
      const { id, appId, kind, name } = living;
      assert.deepEqual([usage.id, usage.appId, usage.kind, usage.name], [id, appId, kind, name]);
      const { rssBytes, quotaBytes, ceilingBytes } = usage.memory;
      assert.equal(quotaBytes, 512 * 1024 * 1024, "Basic");
      assert.ok(rssBytes >= 0 && rssBytes < quotaBytes && (ceilingBytes ?? quotaBytes) >= quotaBytes);
      assert.ok(usage.tasks !== null && usage.tasks.waitedMs >= 0 && usage.processes >= 1);
      assert.ok(usage.since <= usage.at);
      const [later] = await engine.usage();
      assert.ok(later !== undefined && later.cpuMs >= usage.cpuMs && later.tasks === null);
      await engine.signal(living.id, "KILL");
      await untilEnded(engine, living.id);
      assert.deepEqual(await engine.usage(), []);
    });

    void test("a dyno's checks are asked in its life: startup until it passes, then the others, and what they find is told", async () => {
      await using under = await open();
      const { starting, sickening, stay } = under.commands;
      const checks = [
        { ...CHECK, kind: "startup", attempts: null },
        { ...CHECK, kind: "liveness" },
      ] as const;
      if (starting === undefined || sickening === undefined) {
        const refused = under.engine.start(specOf({ ...under.spec, command: stay, checks }));
        await assert.rejects(refused, /has health checks that are commands, and/);
        assert.deepEqual(await under.engine.list(), []);
        return;
      }
      const [late, never, dying] = [
        specOf({ command: starting(1500), checks }),
        specOf({
          command: starting(1e6),
          name: "web.2",
          checks: [{ ...CHECK, kind: "startup", attempts: 2 }],
        }),
        specOf({
          command: sickening(1500),
          name: "web.3",
          checks: [{ ...CHECK, kind: "liveness", attempts: 2 }],
        }),
      ];
      const verdicts = (state: ObservedState) =>
        state.kind === "running" ? state.health?.checks.map(({ verdict }) => verdict).join() : undefined;
      await under.engine.start(never);
      await under.engine.start(late);
      const first = await until(under.engine, late.id, ({ kind }) => kind === "running");
      assert.equal(first.state.kind === "running" && first.state.health?.started, false);
      await under.engine.start(dying);
      await until(under.engine, never.id, (state) => verdicts(state) === "failing");
      await until(under.engine, dying.id, (state) => verdicts(state) === "passing");
      await until(under.engine, dying.id, (state) => verdicts(state) === "failing");
      const { state } = await until(under.engine, late.id, (each) => verdicts(each) === "passing,passing");
      assert.ok(state.kind === "running" && state.health?.started === true && state.health.ready);
    });

    void test("remove kills what lives, and what is unknown may be removed", async () => {
      await using under = await open();
      const spec = specOf({ ...under.spec, command: under.commands.stubborn });
      await under.engine.start(spec);
      await under.engine.remove(spec.id);
      await under.engine.remove(randomUUID());
      assert.deepEqual(await under.engine.list(), []);
    });

    void test("a size or an id that is none is invalid, and a slug that is not there is not found; nothing is started", async () => {
      await using under = await open();
      const { engine, commands } = under;
      await assert.rejects(
        engine.start(specOf({ ...under.spec, command: commands.stay, size: "Huge" })),
        isEngineError("invalid"),
      );
      await assert.rejects(
        engine.start(specOf({ ...under.spec, command: commands.stay, id: "../x" })),
        isEngineError("invalid"),
      );
      const missing = specOf({ ...under.spec, command: commands.stay, slugDigest: "0".repeat(64) });
      await assert.rejects(engine.start(missing), isEngineError("not_found"));
      assert.deepEqual(await engine.list(), []);
      assert.equal(await engine.hasSlug({ digest: "0".repeat(64), uidIndex: 1 }), false);
    });
  });
}

/** Until its command has had time to say how it takes signals; there is nothing to be seen from outside. */
async function settled({ engine }: EngineUnderTest, id: string): Promise<void> {
  await until(engine, id, (state) => state.kind === "running" && Date.now() - state.since > 500);
}
