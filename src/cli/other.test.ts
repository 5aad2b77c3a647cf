import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { saidBy } from "../../test/support/command-line.ts";
import { ended, start } from "../lib/command.ts";

/** A stand-in for the official CLI, which says what it was given and ends as it is told to. */
const home = mkdtempSync(join(tmpdir(), "stator-other-"));
const bin = join(home, "bin");
mkdirSync(bin);
writeFileSync(
  join(bin, "heroku"),
  `#!${process.execPath}
process.on("SIGTERM", () => process.exit(3));
console.log(JSON.stringify([process.argv.slice(2), process.env.HEROKU_HOST, process.env.HEROKU_API_KEY]));
const [what] = process.argv.slice(2);
if (what === "ends") process.exit(7);
if (what === "is-killed") process.kill(process.pid, "SIGKILL");
setInterval(() => {}, 1000);
`,
  { mode: 0o755 },
);
after(() => rmSync(home, { recursive: true, force: true }));

const run = (...args: readonly string[]) =>
  start(process.execPath, [join(import.meta.dirname, "main.ts"), ...args], {
    env: { HOME: home, PATH: bin, STATOR_URL: "http://127.0.0.1:9", STATOR_TOKEN: "HRKU-STx" },
    stdio: ["ignore", "pipe", "inherit"],
  });

async function outcome(...args: readonly string[]): Promise<readonly [unknown, number | null]> {
  const child = run(...args);
  let text = "";
  child.stdout?.setEncoding("utf8").on("data", (part: string) => (text += part));
  const { code } = await ended(child, "stator");
  return [JSON.parse(text), code];
}

test("stator heroku: every word after it is the official CLI's, also what looks like a flag of ours; its status is ours", async () => {
  assert.deepEqual(await outcome("heroku", "ends", "--help", "-a", "x", "--", "--json"), [
    [["ends", "--help", "-a", "x", "--", "--json"], "http://127.0.0.1:9", "HRKU-STx"],
    7,
  ]);
  assert.equal((await outcome("heroku", "is-killed"))[1], 137);
});

test("stator heroku: what would take the token to Heroku is refused in a sentence, and never started", async () => {
  for (const words of [["heroku", "pipelines:diff", "-a", "x"], ["heroku", "pipelines:connect", "shop"], ["ci:run"]]) {
    const { code, stdout, stderr } = await saidBy(words, { HOME: home, PATH: bin, STATOR_TOKEN: "HRKU-STx" });
    assert.deepEqual([code, stdout], [1, ""], words.join(" "));
    assert.match(stderr, /asks a service of Heroku's, which would be sent the token of this platform: /);
  }
  const [given] = await outcome("heroku", "ends", "pipelines:diff");
  assert.deepEqual(
    (given as readonly unknown[])[0],
    ["ends", "pipelines:diff"],
    "a word of another command is let through",
  );
});

test("stator heroku: a signal reaches the official CLI, whose end it waits for", async () => {
  const child = run("heroku", "waits");
  await once(child.stdout ?? child, "data");
  child.kill("SIGTERM");
  assert.equal((await ended(child, "stator")).code, 3);
});
