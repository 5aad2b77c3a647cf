import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CHECKS_MAX, checkJson, parseChecks } from "./health-check.ts";

/** Promise of docs/dynos.md, "Health checks": what is written is what is done, and what cannot be done is refused. */
const one = (value: unknown, type = "web") => parseChecks(type, [value], "checks")[0] ?? assert.fail();

test("Dokku's names and seconds; defaults for what is not said", () => {
  const written = {
    type: "readiness",
    name: "web check",
    description: "a comment",
    path: "/health/ready?full=1",
    httpHeaders: [{ name: "Host", value: "example.com" }],
    content: "ok",
    attempts: 4,
    wait: 7,
    timeout: 2,
    initialDelay: 3,
  };
  assert.deepEqual(one(written), {
    kind: "readiness",
    name: "web check",
    probe: {
      kind: "http",
      path: "/health/ready?full=1",
      headers: [{ name: "Host", value: "example.com" }],
      status: null,
      content: "ok",
    },
    intervalMs: 7000,
    timeoutMs: 2000,
    initialDelayMs: 3000,
    attempts: 4,
    successes: 1,
  });
  const defaults = (type: string) => {
    const { intervalMs, timeoutMs, initialDelayMs, attempts, successes } = one({ type, path: "/" });
    return [intervalMs, timeoutMs, initialDelayMs, attempts, successes];
  };
  assert.deepEqual(defaults("startup"), [1000, 5000, 0, null, 1]);
  assert.deepEqual(defaults("readiness"), [5000, 5000, 0, 3, 1]);
  assert.deepEqual(defaults("liveness"), [10_000, 5000, 0, 3, 1]);
});

test("a command is text, or a program with its arguments, and the only check of other types than web", () => {
  assert.deepEqual(one({ type: "liveness", command: "bin/check --fast" }, "worker").probe, {
    kind: "command",
    command: "bin/check --fast",
  });
  const list = ["bin/check", "; rm -rf /", ""];
  assert.deepEqual(one({ type: "startup", command: list }).probe, { kind: "command", command: list });
  assert.throws(
    () => one({ type: "liveness", path: "/" }, "worker"),
    /only web dynos have a port: give a "command" instead/,
  );
  assert.throws(() => one({ type: "readiness", command: "x" }, "worker"), /requests go to web dynos only/);
});

const bad: Readonly<Record<string, readonly [value: unknown, why: RegExp]>> = {
  "no type": [{ path: "/" }, /needs a "type": startup, readiness, liveness/],
  "another type": [{ type: "alive", path: "/" }, /needs a "type"/],
  "nothing to ask": [{ type: "startup" }, /needs either a "path" or a "command"/],
  "two things to ask": [{ type: "startup", path: "/", command: "x" }, /needs either/],
  "a path with a line end": [{ type: "startup", path: "/ HTTP/1.1\r\nX: y" }, /"path"/],
  "a path with a blank": [{ type: "startup", path: "/a b" }, /"path"/],
  "a path with other letters": [{ type: "startup", path: "/\u0130" }, /"path"/],
  "a path that is a URL": [{ type: "startup", path: "http://169.254.169.254/" }, /"path"/],
  "a path that is too long": [{ type: "startup", path: `/${"x".repeat(1024)}` }, /"path"/],
  "a header with a line end": [
    { type: "startup", path: "/", httpHeaders: [{ name: "X", value: "a\r\nY: b" }] },
    /"httpHeaders"/,
  ],
  "a header name with a colon": [{ type: "startup", path: "/", httpHeaders: [{ name: "X:", value: "a" }] }, /Headers/],
  "a header with a field more": [
    { type: "startup", path: "/", httpHeaders: [{ name: "X", value: "a", raw: true }] },
    /Headers/,
  ],
  "a header of the connection": [
    { type: "startup", path: "/", httpHeaders: [{ name: "Transfer-encoding", value: "chunked" }] },
    /cannot set the header Transfer-encoding/,
  ],
  "a content with a command": [{ type: "startup", command: "x", content: "ok" }, /"content", which goes with a "path"/],
  "a command with NUL": [{ type: "startup", command: "a\0b" }, /"command"/],
  "a command that is empty": [{ type: "startup", command: [] }, /"command"/],
  "a command of numbers": [{ type: "startup", command: [1] }, /"command"/],
  "a wait of nothing": [{ type: "startup", path: "/", wait: 0 }, /"wait" that is no whole number from 1 to 3600/],
  "half a second": [{ type: "startup", path: "/", timeout: 0.5 }, /"timeout"/],
  "attempts in words": [{ type: "startup", path: "/", attempts: "3" }, /"attempts"/],
  "a name with quotes and a line end": [{ type: "startup", path: "/", name: 'a"\nb' }, /"name"/],
  "Dokku's port": [{ type: "startup", path: "/", port: 3000 }, /cannot have "port": checks go to \$PORT/],
  "Dokku's listening": [{ type: "startup", listening: true }, /always waited for/],
  "an unknown field": [{ type: "startup", path: "/", retries: 3 }, /"retries", which is no field of a check/],
  "a prototype": [JSON.parse('{"type":"startup","path":"/","__proto__":{}}'), /"__proto__", which is no field/],
  "no object": ["/", /is not an object/],
};
for (const [what, [value, why]] of Object.entries(bad)) {
  test(`a check with ${what} is refused, with its place`, () => {
    assert.throws(
      () => parseChecks("web", [{ type: "liveness", path: "/" }, value], "healthchecks.web"),
      (error: unknown) => {
        assert.ok(error instanceof Error);
        assert.match(error.message, why);
        assert.match(error.message, /^healthchecks\.web\[1\] .*\.$/);
        return true;
      },
    );
  });
}

test("there are not too many, and they are not too long together", () => {
  const check = { type: "liveness", path: "/" };
  assert.equal(parseChecks("web", Array(CHECKS_MAX).fill(check), "checks").length, CHECKS_MAX);
  assert.throws(
    () => parseChecks("web", Array(CHECKS_MAX + 1).fill(check), "checks"),
    /checks has 11 checks: at most 10/,
  );
  assert.throws(
    () => parseChecks("web", Array(10).fill({ type: "liveness", command: "x".repeat(4096) }), "checks"),
    /longer/,
  );
  assert.throws(() => parseChecks("web", {}, "checks"), /is not a list/);
});

test("property: what was read is written so that it is read the same", () => {
  const seconds = fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined });
  const value = fc.record(
    {
      type: fc.constantFrom("startup", "readiness", "liveness"),
      path: fc.stringMatching(/^\/[!"$-~]{0,40}$/),
      name: fc.stringMatching(/^[ -!#-~]{0,20}$/),
      status: fc.integer({ min: 100, max: 599 }),
      content: fc.string({ minLength: 1, maxLength: 20 }).filter((text) => !text.includes("\0")),
      wait: seconds,
      timeout: seconds,
      attempts: seconds,
      successes: seconds,
      httpHeaders: fc.array(
        fc.record({ name: fc.constantFrom("Host", "X-A"), value: fc.stringMatching(/^[ -~]{0,9}$/) }),
        { maxLength: 3 },
      ),
    },
    { requiredKeys: ["type", "path"] },
  );
  fc.assert(
    fc.property(value, (written) => {
      const check = one(written);
      assert.deepEqual(one(checkJson(check)), check);
    }),
  );
});
