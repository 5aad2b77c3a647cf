import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../lib/clock.ts";
import { SimClock } from "../../lib/sim-clock.ts";
import { engineContract } from "../contract.ts";
import { type DynoSpec, EngineError } from "../engine.ts";
import { NO_FAULTS, SimEngine } from "./sim-engine.ts";

const spec = (id: string, command = "run", port: number | null = 5000): DynoSpec => ({
  id,
  appId: "app",
  uidIndex: 0,
  kind: "formation",
  name: "web.1",
  releaseId: null,
  stack: "debian-12",
  slugDigest: null,
  command,
  env: {},
  size: "Basic",
  port,
  terminal: null,
  stdin: false,
  isolation: "container",
  io: false,
});
const make = () => {
  const clock = new SimClock();
  return { clock, engine: new SimEngine({ clock }) };
};
const isEngineError = (id: string) => (error: unknown) => error instanceof EngineError && error.id === id;

test("a dyno is made, runs, listens, and ends as its command says", async () => {
  const { clock, engine } = make();
  await engine.start(spec("a", "run make=10 listen=100 exit=500/3"));
  const kinds: string[] = [];
  for (let ms = 0; ms < 700; ms += 50) {
    const [dyno] = await engine.list();
    kinds.push(dyno?.state.kind === "running" && dyno.state.listening ? "listening" : (dyno?.state.kind ?? ""));
    await clock.advance(50);
  }
  assert.deepEqual([...new Set(kinds)], ["creating", "running", "listening", "ended"]);
  const [dyno] = await engine.list();
  assert.deepEqual(dyno?.state.kind === "ended" && dyno.state.status, 3);
});

test("start is repeatable while it lives or has ended, and gone once removed", async () => {
  const { clock, engine } = make();
  await engine.start(spec("a"));
  await engine.start(spec("a"));
  await engine.signal("a", "KILL");
  await engine.start(spec("a"));
  await clock.advance(100);
  assert.equal(engine.dynos.length, 1);
  assert.equal(engine.live.length, 0);
  await engine.remove("a");
  await engine.remove("a");
  await assert.rejects(engine.start(spec("a")), isEngineError("gone"));
});

test("no_capacity starts nothing", async () => {
  const { engine } = make();
  engine.capacity = 1;
  await engine.start(spec("a"));
  await assert.rejects(engine.start(spec("b")), isEngineError("no_capacity"));
  assert.equal(engine.live.length, 1);
});

test("SIGTERM ends it unless it is ignored; a dead host loses all", async () => {
  const { clock, engine } = make();
  for (const [id, command] of [
    ["obeys", "run term=50"],
    ["ignores", "run term=never"],
    ["lost", "run"],
  ] as const) {
    await engine.start(spec(id, command));
  }
  await clock.advance(100);
  await engine.signal("obeys", "TERM");
  await engine.signal("ignores", "TERM");
  await clock.advance(100);
  engine.killHost();
  const status = engine.dynos.map(({ state }) => state.kind === "ended" && state.status);
  assert.deepEqual(status, [143, null, null]);
});

test("a call fails before or after it took effect, as asked", async () => {
  const { engine } = make();
  const error = new EngineError("unavailable", "asked for");
  engine.faults = { ...NO_FAULTS, before: () => error };
  await assert.rejects(engine.start(spec("a")), error);
  assert.equal(engine.live.length, 0);
  engine.faults = { ...NO_FAULTS, after: () => error };
  await assert.rejects(engine.start(spec("a")), error);
  assert.equal(engine.live.length, 1);
});

engineContract("sim", async () => {
  const engine = new SimEngine({ clock: systemClock });
  return {
    engine,
    commands: {
      stay: "run",
      stubborn: "run term=never",
      serve: "run listen=20",
      exit: (status) => `run exit=10/${status}`,
      starting: (ms) => `run startup=0-${ms}`,
      sickening: (ms) => `run liveness=${ms}`,
    },
    [Symbol.asyncDispose]: async () => engine.killHost(), // else they are asked for ever
  };
});
