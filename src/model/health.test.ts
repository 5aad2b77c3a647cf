import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  afterProbe,
  type CheckKind,
  type CheckProgress,
  type HealthCheck,
  healthOf,
  isSameHealth,
  NOT_PROBED,
  notPassing,
  sentenceOf,
} from "./health.ts";

/** Promise of docs/dynos.md, "Health checks". */
const check = (kind: CheckKind, change: Partial<HealthCheck> = {}): HealthCheck => ({
  kind,
  name: null,
  probe: { kind: "http", path: "/up", headers: [], status: null, content: null },
  intervalMs: 1000,
  timeoutMs: 1000,
  initialDelayMs: 0,
  attempts: kind === "startup" ? null : 3,
  successes: 1,
  ...change,
});
const result = (passed: boolean) => ({ passed, text: passed ? "answered 200" : "answered 500" });
const play = (of: HealthCheck, results: readonly boolean[]): CheckProgress =>
  results.reduce((progress, passed, index) => afterProbe(of, progress, result(passed), index), NOT_PROBED);

test("a check has failed after so many failures in a row, and has passed after so many passes in a row", () => {
  const readiness = check("readiness", { attempts: 3, successes: 2 });
  const verdicts = (text: string) =>
    play(
      readiness,
      text.split("").map((each) => each === "+"),
    ).verdict;
  assert.equal(verdicts("+"), "pending");
  assert.equal(verdicts("++"), "passing");
  assert.equal(verdicts("++--"), "passing");
  assert.equal(verdicts("++--+--"), "passing", "a pass ends the row");
  assert.equal(verdicts("++---"), "failing");
  assert.equal(verdicts("++---+"), "failing");
  assert.equal(verdicts("++---+-+"), "failing", "a failure ends the row");
  assert.equal(verdicts("++---++"), "passing");
});

test("a startup check without attempts fails for as long as it takes, and once passed stays so", () => {
  const startup = check("startup");
  assert.equal(play(startup, Array(1000).fill(false)).verdict, "pending");
  assert.equal(play(startup, [false, true, false, false]).verdict, "passing");
  assert.equal(play(check("startup", { attempts: 2 }), [false, false]).verdict, "failing");
});

test("a dyno is ready once it has started and every readiness check passes; liveness does not make it unready", () => {
  const checks = [check("startup"), check("readiness"), check("readiness"), check("liveness", { attempts: 1 })];
  const [passing, failing] = [play(check("startup"), [true]), play(check("liveness", { attempts: 1 }), [false])];
  const health = (...progress: readonly CheckProgress[]) => {
    const { started, ready } = healthOf(checks, progress);
    return { started, ready };
  };
  assert.deepEqual(health(), { started: false, ready: false });
  assert.deepEqual(health(NOT_PROBED, passing, passing), { started: false, ready: false });
  assert.deepEqual(health(passing, passing), { started: true, ready: false });
  assert.deepEqual(health(passing, passing, passing, failing), { started: true, ready: true });
  assert.deepEqual(healthOf([], []), { started: true, ready: true, checks: [] });
});

test("what is said of a check is one line, whatever its command holds", () => {
  const of = (probe: HealthCheck["probe"], name: string | null = null) => {
    const [report] = healthOf([check("liveness", { probe, name })], [play(check("liveness"), [false])]).checks;
    return sentenceOf(report ?? assert.fail());
  };
  assert.equal(of(check("liveness").probe), "GET /up answered 500");
  assert.equal(
    of({ kind: "command", command: ["bin/check", "a\nb\u2028c"] }, "db"),
    '"db" (`bin/check a b c`) answered 500',
  );
  assert.ok(of({ kind: "command", command: "x".repeat(4000) }).length < 150);
  const [never] = healthOf([check("startup")], []).checks;
  assert.equal(sentenceOf(never ?? assert.fail()), "GET /up has not been asked yet");
});

test("the failing check is named before the one that is on its way", () => {
  const checks = [check("readiness", { name: "first" }), check("readiness", { name: "second" })];
  const failing = play(check("readiness"), [false, false, false]);
  assert.equal(notPassing(healthOf(checks, [NOT_PROBED, failing]), "readiness")?.name, "second");
  assert.equal(notPassing(healthOf(checks, []), "readiness")?.name, "first");
  assert.equal(notPassing(healthOf(checks, []), "liveness"), undefined);
});

test("property: a verdict changes only at its threshold, and health changes only with a verdict", () => {
  const thresholds = fc.record({ attempts: fc.integer({ min: 1, max: 6 }), successes: fc.integer({ min: 1, max: 6 }) });
  fc.assert(
    fc.property(thresholds, fc.array(fc.boolean(), { maxLength: 60 }), ({ attempts, successes }, results) => {
      const readiness = check("readiness", { attempts, successes });
      let before: CheckProgress = NOT_PROBED;
      for (const passed of results) {
        const after = afterProbe(readiness, before, result(passed), 0);
        assert.equal(after.passes * after.failures, 0);
        if (after.verdict === "passing" && before.verdict !== "passing") assert.equal(after.passes, successes);
        if (after.verdict === "failing" && before.verdict !== "failing") assert.equal(after.failures, attempts);
        assert.equal(
          isSameHealth(healthOf([readiness], [before]), healthOf([readiness], [after])),
          before.verdict === after.verdict,
        );
        before = after;
      }
    }),
  );
});
