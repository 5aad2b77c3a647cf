import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { LineHelper } from "./line-helper.ts";

const folder = mkdtempSync(join(tmpdir(), "line-helper-"));
after(() => rmSync(folder, { recursive: true }));

/** Answers with its number, or as it is told. */
const SCRIPT = `$| = 1;
while (<STDIN>) {
  my ($number, $word) = split;
  kill "KILL", $$ if $word eq "die";
  print $word eq "fail" ? "$number no such thing\\n" : "$number ok $$\\n";
}
`;

test("a helper answers each question, says what failed, and one that was killed is started anew", async () => {
  const script = join(folder, "helper.pl");
  writeFileSync(script, SCRIPT);
  await using helper = new LineHelper({ script, env: {} });
  const [first, same] = await Promise.all([helper.ask("who"), helper.ask("who")]);
  assert.match(first, /^\d+$/);
  assert.equal(same, first);
  await assert.rejects(helper.ask("fail"), /fail: no such thing/);
  const asked = [helper.ask("die"), helper.ask("who")];
  for (const each of asked) await assert.rejects(each, /the helper ended/, "nobody waits for one that is no more");
  const next = await helper.ask("who");
  assert.notEqual(next, first);
  process.kill(Number(next), "SIGKILL");
  for (let tries = 0; ; tries++) {
    const answer = await helper.ask("who").catch(() => undefined); // it was on its way to the killed one
    if (answer !== undefined && answer !== next) break;
    assert.ok(tries < 1000);
  }
});
