import assert from "node:assert/strict";
import { test } from "node:test";
import { candidateOf } from "../../cli/install/gvisor.ts";
import { ended, start } from "../../lib/command.ts";
import { gvisorRefusal, isNewEnough, parseRunscVersion, senderOf } from "./gvisor.ts";

test("the version of runsc is the date that it says", () => {
  assert.equal(parseRunscVersion("runsc version 0.0~20240729.0\nspec: 1.2.0\n"), 20_240_729);
  assert.equal(parseRunscVersion("runsc version 0.0~20221219.0\nspec: 1.0.2-dev\n"), 20_221_219);
  assert.equal(parseRunscVersion("runsc version release-20250407.0\nspec: 1.1.0-rc.1\n"), 20_250_407);
  for (const text of ["", "runsc version VERSION_MISSING", "crun version 20240729"])
    assert.equal(parseRunscVersion(text), null, text);
});

test("what apt would install: Debian 12's is too old, Debian 13's serves, none is none", () => {
  const policy = (candidate: string) => `runsc:\n  Installed: (none)\n  Candidate: ${candidate}\n  Version table:\n`;
  assert.equal(candidateOf(policy("0.0~20221219.0-2+b3")), 20_221_219);
  assert.equal(isNewEnough(candidateOf(policy("0.0~20221219.0-2+b3"))), false);
  assert.equal(isNewEnough(candidateOf(policy("0.0~20240729.0-4+b7"))), true);
  assert.equal(candidateOf(policy("(none)")), null);
  assert.equal(candidateOf(""), null);
  assert.equal(isNewEnough(null), false);
});

const good = { architecture: "x64", version: 20_240_729, trialError: "" };

test("no refusal where all is there; every refusal says what is wrong and what to do", () => {
  assert.equal(gvisorRefusal(good), null);
  assert.equal(gvisorRefusal({ ...good, trialError: null }), null);
  assert.match(gvisorRefusal({ ...good, version: undefined }) ?? "", /not installed.*stator isolation:install/);
  assert.match(gvisorRefusal({ ...good, version: 20_221_219 }) ?? "", /20221219.*too old.*stator isolation:install/);
  assert.match(gvisorRefusal({ ...good, version: null }) ?? "", /unknown version.*too old/);
  assert.match(gvisorRefusal({ ...good, trialError: "no /dev/null" }) ?? "", /no dyno starts with it: no \/dev\/null/);
  assert.match(gvisorRefusal({ ...good, architecture: "arm64" }) ?? "", /amd64 only.*arm64/);
});

test("the sender of a signal sends none from its deadline on", async () => {
  const statusOf = async (deadline: number) => {
    const [program = "", ...args] = senderOf("ZERO", deadline); // a signal that only asks: this is no dyno
    return (await ended(start(program, args), program)).code;
  };
  const now = Math.floor(Date.now() / 1000);
  assert.equal(await statusOf(now + 60), 0);
  assert.equal(await statusOf(now), 1);
});
