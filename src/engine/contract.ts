import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { type DynoSpec, type Engine, EngineError, type ObservedDyno, type ObservedState } from "./engine.ts";

/** An engine to be tested, and what its dynos can be told to do. */
export interface EngineUnderTest extends AsyncDisposable {
  readonly engine: Engine;
  readonly commands: {
    /** Lives until it is signalled. */
    readonly stay: string;
    /** Lives on after SIGTERM. */
    readonly stubborn: string;
    /** Accepts connections on 5000. */
    readonly serve: string;
    exit(status: number): string;
  };
}

const WAIT_MS = 30_000;

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
      const spec = specOf({ command: under.commands.exit(7), kind: "run", name: "run.1", releaseId: randomUUID() });
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

    void test("start may be repeated while the dyno lives and after it ended; once removed it is gone", async () => {
      await using under = await open();
      const spec = specOf({ command: under.commands.stay });
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
        specOf({ command: under.commands.stay }),
        specOf({ command: under.commands.stubborn }),
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
        specOf({ command: under.commands.serve, port: 5000 }),
        specOf({ command: under.commands.serve, name: "worker.1" }),
      ];
      await under.engine.start(worker);
      await under.engine.start(web);
      const { state } = await until(under.engine, web.id, (each) => each.kind === "running" && each.listening);
      assert.ok(state.kind === "running" && state.address !== null);
      const other = (await under.engine.list()).find(({ id }) => id === worker.id);
      assert.equal(other?.state.kind === "running" && other.state.listening, false);
    });

    void test("remove kills what lives, and what is unknown may be removed", async () => {
      await using under = await open();
      const spec = specOf({ command: under.commands.stubborn });
      await under.engine.start(spec);
      await under.engine.remove(spec.id);
      await under.engine.remove(randomUUID());
      assert.deepEqual(await under.engine.list(), []);
    });

    void test("a size or an id that is none is invalid, and a slug that is not there is not found; nothing is started", async () => {
      await using under = await open();
      const { engine, commands } = under;
      await assert.rejects(engine.start(specOf({ command: commands.stay, size: "Huge" })), isEngineError("invalid"));
      await assert.rejects(engine.start(specOf({ command: commands.stay, id: "../x" })), isEngineError("invalid"));
      const missing = specOf({ command: commands.stay, slugDigest: "0".repeat(64) });
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
