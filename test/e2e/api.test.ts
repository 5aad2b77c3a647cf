import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ended, start } from "../../src/lib/command.ts";
import { openWorld, type World } from "../support/api-world.ts";
import { needOfficialCli, OFFICIAL_CLI } from "../support/official-cli.ts";

/**
 * The unmodified official CLI against the API alone: a real store and real sockets, with stand-ins for what runs dynos. What
 * it needs of the environment is this list; `stator env` prints the same. `official-cli.test.ts` drives the whole platform.
 */
const home = mkdtempSync(join(tmpdir(), "stator-api-e2e-"));
let world: World;

before(async () => {
  await needOfficialCli();
  world = await openWorld({
    async program({ command, input, output }) {
      if (command === "cat") for await (const chunk of input) output.write(chunk);
      else output.write(`ran ${command}\n`);
      const status = /heroku-command-exit-status/.test(command) ? 5 : 0;
      if (status !== 0) output.write(`\uFFFF heroku-command-exit-status: ${status}\n`);
      return status;
    },
  });
  await world.deployed("hello");
});
after(async () => {
  await world?.[Symbol.asyncDispose]();
  rmSync(home, { recursive: true, force: true });
});

function environment(): Readonly<Record<string, string>> {
  return {
    HEROKU_HOST: world.url,
    HEROKU_API_KEY: world.token,
    HEROKU_GIT_HOST: `127.0.0.1:${world.api.tlsPort}`,
    HEROKU_PARTICLEBOARD_URL: world.url,
    HEROKU_STATUS_HOST: world.url,
    DISABLE_TELEMETRY: "true",
    NODE_EXTRA_CA_CERTS: join(world.home, "ca.pem"), // for rendezvous
  };
}

/** Standard output and error together, and the status, of one command. */
async function heroku(line: string, input?: string): Promise<{ readonly text: string; readonly code: number | null }> {
  const env = { ...environment(), HOME: home, TERM: "dumb", NO_COLOR: "1" };
  const stdio = [input === undefined ? "ignore" : "pipe", "pipe", "pipe"] as const;
  const child = start(process.execPath, [OFFICIAL_CLI, ...line.split(" ")], { env, cwd: home, stdio: [...stdio] });
  child.stdin?.end(input);
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (part: string) => (text += part));
  const { code } = await ended(child, "heroku");
  return { text, code };
}

/** Each command, what it must print, and its status (0 unless said). */
const COMMANDS: readonly (readonly [string, RegExp, number?])[] = [
  ["auth:whoami", /owner@example\.com/],
  ["apps", /=== owner@example\.com Apps\s+hello/],
  ["apps:info -a hello", /Web URL:\s+http:\/\/hello\.localhost:8080\/[\s\S]*Dynos:\s+web: 1[\s\S]*Stack:\s+debian-12/],
  ["ps -a hello", /=== web \(Basic\): run web \(1\)\s+web\.1: up /],
  ["ps:scale -a hello", /web=1:Basic worker=0:Basic/],
  ["ps:scale web=2 worker+1 -a hello", /now running web at 2:Basic, worker at 1:Basic/],
  ["ps:scale nope=1 -a hello", /Couldn't find that process type \(nope\)/, 2],
  ["config:set A=1 B=two -a hello", /done, v4\s+A: 1\s+B: two/],
  ["config -a hello", /A: 1\s+B: two/],
  ["config:unset B -a hello", /done, v5/],
  ["releases -a hello", /Current: v5[\s\S]*v5\s+Remove B config vars\s+owner@example\.com/],
  ["rollback -a hello", /Rolling back hello to v4\.\.\. done, v6/],
  ["releases:info v6 -a hello", /Rollback to v4[\s\S]*B: two/],
  ["run -a hello -- worker now", /up, run\.\d+\s+ran node worker\.js now/],
  ["run -x -a hello -- fails", /Process exited with code 5/, 5],
  ["run:detached -a hello -- sleepy", /heroku logs --app hello --dyno run\.\d+/],
  ["logs -a hello", /app\[api\]: Rollback to v4 by user owner@example\.com/],
  ["logs -a hello -n 1 -d api", /Starting process with command `sleepy` by user/],
  ["ps:restart -a hello", /Restarting all dynos on hello\.\.\. done/],
  ["ps:stop -d web.1 -a hello", /Stopping dyno web\.1 on hello\.\.\. done/],
  ["maintenance:on -a hello", /Enabling maintenance mode for hello\.\.\. done/],
  ["domains:add www.example.com -a hello", /DNS Target hello\.localhost/],
  ["domains -a hello", /www\.example\.com/],
  ["domains:info www.example.com -a hello", /hostname: +www\.example\.com/],
  ["domains:wait www.example.com -a hello", /Waiting for www\.example\.com/],
  ["domains:remove www.example.com -a hello", /Removing www\.example\.com from .*hello\.\.\. done/],
  ["domains:clear -a hello", /Removing all domains from .*hello\.\.\. done/],
  ["features -a hello", /\[\+\] preboot/],
  ["features:disable preboot -a hello", /Disabling preboot for hello\.\.\. done/],
  ["features:enable http-session-affinity -a hello", /Enabling http-session-affinity for hello\.\.\. done/],
  ["features -a hello", /\[\+\] http-session-affinity/],
  ["features:enable runtime-heroku-exec -a hello", /already enabled/, 1],
  [
    "apps:create made-here",
    /Creating made-here\.\.\. done\s+http:\/\/made-here\.localhost:8080\/ \| https:\/\/127\.0\.0\.1:\d+\/made-here\.git/,
  ],
  ["apps:create hello", /Name hello is already taken/, 2],
  ["apps:rename made-there -a made-here", /Renaming made-here to made-there\.\.\. done/],
  ["apps:destroy -a made-there --confirm made-there", /Destroying made-there .*done/],
  ["apps:info -a made-there", /Couldn't find that app/, 2],
  ["addons -a hello", /No add-ons for app hello/],
  ["authorizations:create -d ci -s read -e 100 --short", /HRKU-/],
  ["status", /Apps:\s+No known issues/],
];

for (const [line, wanted, status = 0] of COMMANDS) {
  test(`heroku ${line}`, async () => {
    const { text, code } = await heroku(line);
    assert.match(text, wanted);
    assert.equal(code, status, text);
  });
}

test("heroku run --no-tty with piped input: all of it, and its end", async () => {
  const lines = Array.from({ length: 20_000 }, (_, index) => `line ${index}`).join("\n");
  const { text, code } = await heroku("run --no-tty -a hello -- cat", lines);
  assert.equal(code, 0, text);
  assert.ok(text.includes(lines));
});

test("spec 1.1: heroku ps shows a scheduled dyno that runs, in a group of its own", async () => {
  const body = { command: "cat", schedule: "@yearly", name: "nightly" };
  assert.equal((await world.call("POST", "/apps/hello/schedules", { body })).status, 201);
  const { json } = await world.call("POST", "/apps/hello/schedules/nightly/runs");
  const { text, code } = await heroku("ps scheduler -a hello");
  assert.equal(code, 0, text);
  assert.match(text, new RegExp(`=== scheduler \\(Basic\\): cat \\(1\\)\\s+${json.dyno.name}: up `));
});
