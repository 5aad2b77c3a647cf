import assert from "node:assert/strict";
import { test } from "node:test";
import { SimClock } from "../../lib/sim-clock.ts";
import { type CheckProgress, type Health, type HealthCheck, NOT_PROBED } from "../../model/health.ts";
import { HealthWatch, type Patient } from "./health-watch.ts";

const check = (kind: HealthCheck["kind"], change: Partial<HealthCheck> = {}): HealthCheck => ({
  kind,
  name: null,
  probe: { kind: "http", path: "/", headers: [], status: null, content: null },
  intervalMs: 1000,
  timeoutMs: 1000,
  initialDelayMs: 0,
  attempts: kind === "startup" ? null : 2,
  successes: 1,
  ...change,
});

/** A dyno, and when each of its checks was asked. */
function patient(clock: SimClock, checks: readonly HealthCheck[], change: Partial<Patient> = {}) {
  const life = new AbortController();
  const start = clock.now();
  const asked: string[] = [];
  const answers = new Map<number, boolean>();
  const news: Health[] = [];
  const subject: Patient = {
    id: "80000000-0000-4000-8000-000000000000", // half of all ids
    appId: "app",
    checks,
    since: start,
    known: null,
    listening: Promise.resolve(true),
    life: life.signal,
    probe: async (index) => {
      asked.push(`${checks[index]?.kind} ${clock.now() - start}`);
      const passed = answers.get(index) ?? true;
      return { passed, text: passed ? "passed" : "failed" };
    },
    note: async (health, _progress, isNews) => void (isNews && news.push(health)),
    ...change,
  };
  return { subject, life, asked, answers, news };
}

test("startup first, until it has passed once; then the others, each at its interval", async () => {
  const clock = new SimClock();
  const { subject, asked, answers, news, life } = patient(clock, [
    check("startup"),
    check("readiness", { intervalMs: 2000 }),
  ]);
  answers.set(0, false);
  const watching = new HealthWatch(clock).watch(subject);
  await clock.advance(2500);
  assert.deepEqual(asked, ["startup 0", "startup 1000", "startup 2000"]);
  assert.deepEqual(news, []);
  answers.set(0, true);
  await clock.advance(5000);
  assert.deepEqual(asked.slice(3), ["startup 3000", "readiness 3000", "readiness 5000", "readiness 7000"]);
  assert.deepEqual(
    news.map(({ started, ready }) => [started, ready]),
    [
      [true, false],
      [true, true],
    ],
  );
  life.abort();
  await clock.advance(0);
  await watching;
});

test("only news is told: a check that fails once, and one that goes on failing, are none", async () => {
  const clock = new SimClock();
  const { subject, answers, news, life } = patient(clock, [check("readiness", { attempts: 3 })]);
  const watching = new HealthWatch(clock).watch(subject);
  await clock.advance(1500);
  answers.set(0, false);
  await clock.advance(2000);
  assert.deepEqual(
    news.map(({ ready }) => ready),
    [true],
  );
  await clock.advance(10_000);
  assert.deepEqual(
    news.map(({ ready }) => ready),
    [true, false],
  );
  life.abort();
  await clock.advance(0);
  await watching;
});

test("a path waits for the port, a command does not; the delay counts from the start of the dyno", async () => {
  const clock = new SimClock();
  const port = Promise.withResolvers<boolean>();
  const command: HealthCheck["probe"] = { kind: "command", command: "true" };
  const checks = [check("startup"), check("startup", { probe: command, initialDelayMs: 4000 })];
  const { subject, asked, life } = patient(clock, checks, { listening: port.promise });
  const watching = new HealthWatch(clock).watch(subject);
  await clock.advance(6000);
  assert.deepEqual(asked, ["startup 4000"]);
  port.resolve(true);
  await clock.advance(500);
  assert.deepEqual(asked, ["startup 4000", "startup 6000"]);
  life.abort();
  await clock.advance(0);
  await watching;
});

test("after a restart of the host process it goes on where it was, and not with all dynos at once", async () => {
  const clock = new SimClock();
  const passing: CheckProgress = { ...NOT_PROBED, verdict: "passing", passes: 1 };
  const checks = [check("startup"), check("readiness", { intervalMs: 8000 })];
  const { subject, asked, news, life } = patient(clock, checks, { known: [passing, passing] });
  const watching = new HealthWatch(clock).watch(subject);
  await clock.advance(3999);
  assert.deepEqual(asked, []);
  await clock.advance(1);
  assert.deepEqual(asked, ["readiness 4000"]);
  assert.deepEqual(news, []);
  life.abort();
  await clock.advance(0);
  await watching;
});

test("a dyno that ends is not asked any more, whatever it was waiting for", async () => {
  const clock = new SimClock();
  const waits: readonly [HealthCheck[], Partial<Patient>][] = [
    [[check("startup")], { listening: new Promise<boolean>((resolve) => setImmediate(resolve, false)) }],
    [[check("startup", { initialDelayMs: 9000 }), check("liveness")], {}],
    [[check("liveness")], {}],
  ];
  for (const [checks, change] of waits) {
    const { subject, asked, life } = patient(clock, checks, change);
    const watching = new HealthWatch(clock).watch(subject);
    await clock.advance(100);
    life.abort();
    const before = asked.length;
    await clock.advance(60_000);
    await watching;
    assert.equal(asked.length, before);
  }
});

test("many commands of one app do not come at once, and another app's is not held up", async () => {
  const clock = new SimClock();
  const watch = new HealthWatch(clock);
  const command: HealthCheck["probe"] = { kind: "command", command: "true" };
  const life = new AbortController();
  const began: { readonly appId: string; readonly at: number }[] = [];
  const start = clock.now();
  const dyno = (appId: string) =>
    watch.watch(
      patient(clock, [check("liveness", { probe: command })], {
        appId,
        life: life.signal,
        probe: async () => {
          began.push({ appId, at: clock.now() - start });
          return { passed: true, text: "exited with status 0" };
        },
      }).subject,
    );
  const all = [...Array.from({ length: 100 }, () => dyno("greedy")), dyno("modest")];
  await clock.advance(10_000);
  assert.ok(began.length <= 101, `${began.length} in ten seconds`);
  assert.ok(began.filter(({ appId }) => appId === "modest").length >= 8, "at its own interval");
  life.abort();
  await clock.advance(1000);
  await Promise.all(all);
});
