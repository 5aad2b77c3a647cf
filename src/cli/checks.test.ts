import assert from "node:assert/strict";
import { test } from "node:test";
import { type ChecksJson, checkOf, formatChecks, whichCheck } from "./checks.ts";
import { parseInput } from "./command.ts";
import { commandNamed } from "./commands.ts";

const input = (...args: string[]) => parseInput(commandNamed("checks:set") ?? assert.fail(), args);

test("checks:set: flags become one check, in the API's words", () => {
  const set = input("web", "readiness", "--path", "/up?x=1", "--interval", "7", "--attempts=2", "--initial-delay", "3");
  assert.deepEqual(whichCheck(set, ""), { type: "web", kind: "readiness" });
  assert.deepEqual(checkOf("readiness", set), {
    type: "readiness",
    path: "/up?x=1",
    wait: 7,
    attempts: 2,
    initialDelay: 3,
  });
  assert.deepEqual(checkOf("liveness", input("worker", "--command", "-x 'a b'")), {
    type: "liveness",
    command: "-x 'a b'",
  });
  assert.throws(() => checkOf("liveness", input("web", "--interval", "5s")), /--interval 5s is no whole number/);
  assert.throws(() => whichCheck(input(), "checks:set TYPE"), /Say which: stator checks:set TYPE/);
  assert.throws(() => whichCheck(input("web", "alive"), ""), /alive is no kind of check: startup, readiness, liveness/);
});

test("checks: what is asked, and what each dyno answered", () => {
  const check = {
    type: "readiness",
    name: null,
    path: "/up",
    command: null,
    content: "ok",
    httpHeaders: [],
    status: null,
    wait: 5,
    timeout: 2,
    initialDelay: 0,
    attempts: 3,
    successes: 1,
  } as const;
  const result = { type: "readiness", check: "GET /up", name: null, passes: 0, failures: 3 };
  const json: ChecksJson = {
    type: "web",
    source: "app.json",
    checks: [check, { ...check, type: "startup", path: null, command: ["bin/x", "y"], content: null, attempts: null }],
    dynos: [
      {
        name: "web.1",
        started: true,
        ready: false,
        results: [{ ...result, verdict: "failing", result: "answered 503" }],
      },
      { name: "web.2", started: false, ready: false, results: [{ ...result, verdict: "pending", result: null }] },
    ],
  };
  assert.deepEqual(formatChecks(json), [
    "=== web: health checks, from app.json",
    "",
    'readiness: GET /up: holds "ok", every 5 s, at most 2 s, fails after 3',
    "startup: `bin/x y`: every 5 s, at most 2 s, until the boot timeout",
    "",
    "web.1: not ready",
    "  readiness: failing: GET /up answered 503",
    "web.2: not started",
    "  readiness: pending: GET /up has not been asked yet",
    "",
  ]);
  assert.deepEqual(formatChecks({ ...json, checks: [], dynos: [], source: "none" }), ["=== web: no health checks", ""]);
});
