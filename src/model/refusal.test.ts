import assert from "node:assert/strict";
import { test } from "node:test";
import { instanceOf, programOf } from "./instance.ts";
import { refusalText } from "./refusal.ts";

const refusal = { protocol: "tcp", appName: "hello", program: "stator" };

test("a refusal is told with the command that allows it", () => {
  assert.equal(
    refusalText({ byOwner: false, ...refusal, destination: "10.0.0.5:5432" }),
    "Connection to 10.0.0.5:5432 (tcp) refused by the network rules. To allow it, on the platform's machine: sudo stator network:allow 10.0.0.5:5432 -a hello",
  );
  assert.match(
    refusalText({ byOwner: false, ...refusal, destination: "10.0.0.5", protocol: "other" }),
    /network:allow 10\.0\.0\.5 -a/,
  );
  assert.match(
    refusalText({ byOwner: false, ...refusal, destination: "8.8.8.8:22" }),
    /network:allow 8\.8\.8\.8:22 -a/,
  ); // the host's own
  assert.match(
    refusalText({ byOwner: false, ...refusal, destination: "8.8.8.8:25" }),
    /network:allow 8\.8\.8\.8:25 -a/,
  );
});

test("no command is told where none would help", () => {
  assert.equal(
    refusalText({ byOwner: false, ...refusal, destination: "224.0.0.251:5353", protocol: "udp" }),
    "Connection to 224.0.0.251:5353 (udp) refused by the network rules.",
  );
});

test("the program is the one of this installation", () => {
  assert.equal(programOf(instanceOf("/var/lib/stator")), "stator");
  assert.equal(programOf(instanceOf("/srv/two")), "/srv/two/program/current/bin/stator");
});

test("what the app's own rules refuse no operator is asked to allow", () => {
  const text = refusalText({ ...refusal, byOwner: true, destination: "10.0.0.5:5432" });
  assert.match(text, /own egress rules/);
  assert.doesNotMatch(text, /network:allow/);
});
