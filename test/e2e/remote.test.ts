import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { parseEnv } from "node:util";
import { shownFingerprint } from "../../src/cli/trust.ts";
import { ended, start } from "../../src/lib/command.ts";
import { needOfficialCli, OFFICIAL_CLI } from "../support/official-cli.ts";
import { echo } from "./apps.ts";
import {
  checkout,
  config,
  deployed,
  eventually,
  git,
  ownAddress,
  program,
  type Result,
  stator,
  statorOk,
  temporaryRepository,
} from "./harness.ts";

/**
 * A person elsewhere: a home of their own, the platform known by an address of its machine that is not the loopback, and the official
 * CLI, which would not send a token there. What it needs is what `stator env` prints for the relay.
 */
const home = mkdtempSync(join(tmpdir(), "stator-remote-"));
const address = ownAddress();
const url = `https://${address}:${config.tlsPort}`;
const fingerprint = shownFingerprint(readFileSync(config.instance.paths.caCertificate, "utf8"));
const bin = join(home, "bin");
/** None of this machine's installation: the CLI alone is there. */
const env = {
  HOME: home,
  STATOR_HOME: "",
  STATOR_API_PORT: "",
  STATOR_URL: url,
  STATOR_TOKEN: "",
  TERM: "dumb",
  NO_COLOR: "1",
  PATH: [bin, dirname(process.execPath), process.env["PATH"]].join(delimiter),
};
let app = "";
/** A token of its own, which `logout` ends. */
let secret = "";
let dispose: () => Promise<void> = async () => {};
let relayed: Record<string, string> = {};

before(async () => {
  await needOfficialCli();
  mkdirSync(bin);
  symlinkSync(`${OFFICIAL_CLI}.js`, join(bin, "heroku"));
  secret = (await statorOk(["token", "--new", "--description", "elsewhere"])).trim();
  const made = await deployed("remote", echo);
  app = made.name;
  dispose = async () => made[Symbol.asyncDispose]();
});
after(async () => {
  await native(["disconnect"]);
  await dispose();
  rmSync(home, { recursive: true, force: true });
});

const native = (args: readonly string[], input?: string): Promise<Result> =>
  stator(args, { env, cwd: home, ...(input === undefined ? {} : { input }) });

async function nativeOk(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await native(args);
  assert.equal(code, 0, `stator ${args.join(" ")}: ${stdout}\n${stderr}`);
  return `${stdout}${stderr}`;
}

async function heroku(args: readonly string[]): Promise<string> {
  const all = { ...env, ...relayed };
  const { code, stdout, stderr } = await program(join(bin, "heroku"), args, { env: all, cwd: home });
  assert.equal(code, 0, `heroku ${args.join(" ")}: ${stdout}\n${stderr}`);
  return `${stdout}${stderr}`;
}

test("login: an authority that nobody knows is trusted by its fingerprint alone; the token is the person's", async () => {
  const silent = await native(["login", url, "--token", secret]);
  assert.equal(silent.code, 1);
  assert.match(silent.stderr, new RegExp(`fingerprint\\s+${fingerprint}`));
  const wrong = await native(["login", url, "--token", secret, "--fingerprint", `00${fingerprint.slice(2)}`]);
  assert.match(wrong.stderr, /not the one that you gave/);
  await nativeOk(["login", url, "--token", secret, "--fingerprint", fingerprint]);
  assert.equal(statSync(join(home, ".config", "stator", "credentials.json")).mode & 0o777, 0o600);
});

test("the native CLI works from elsewhere: ps, run with its exit status, logs, git by its remote", async () => {
  assert.match(await nativeOk(["ps", "-a", app]), /web\.1: up/);
  const ran = await native(["run", "-a", app, "--", "bash", "-c", "cat; exit 6"], "from elsewhere\n");
  assert.deepEqual([ran.code, ran.stdout], [6, "from elsewhere\n"]);
  assert.match(await nativeOk(["logs", "-a", app]), /State changed from starting to up/);
  using repository = await temporaryRepository({ "a.txt": "a\n" });
  await stator(["git:remote", "-a", app], { env, cwd: repository.folder });
  // Set, as on machines behind an intercepting proxy, it would be the only file that git trusts.
  const own = join(home, ".config", "stator", `ca-${address}_${config.tlsPort}.pem`);
  const listed = await program("git", ["-C", repository.folder, "ls-remote", "heroku"], {
    env: { ...env, ...(process.env["GIT_SSL_CAINFO"] && { GIT_SSL_CAINFO: own }) },
  });
  assert.match(listed.stdout, /refs\/heads\/main/, listed.stderr);
});

test("stator env says nothing that the official CLI would refuse; with a relay it says where that is", async () => {
  const before = await native(["env"]);
  assert.deepEqual([before.code, before.stdout], [1, ""]);
  assert.match(before.stderr, /no relay to .* runs.*stator connect/);
  await nativeOk(["connect", "--background"]);
  const text = (await nativeOk(["env"])).replaceAll(/^export /gm, "");
  relayed = Object.fromEntries(Object.entries(parseEnv(text)).map(([name, value]) => [name, value ?? ""]));
  assert.match(relayed["HEROKU_HOST"] ?? "", /^https:\/\/127\.0\.0\.1:\d+$/);
  assert.match(relayed["HEROKU_API_KEY"] ?? "", /^HRKU-SL/);
  assert.equal(text.includes(secret), false);
});

// Before what makes releases: a dyno that starts is not entered.
test("spec 3.7: ps:exec through the relay, by SSH to an address of its own; and the native one, without it", async () => {
  const [official, native] = await Promise.all([
    heroku(["ps:exec", "-a", app, "--", "echo", "in", "$DYNO", "$PWD"]),
    nativeOk(["ps:exec", "-a", app, "--", "echo in $DYNO $PWD"]),
  ]);
  assert.match(official, /in web\.1 \/app/);
  assert.match(native, /in web\.1 \/app/);
});

test("the official CLI through the relay: apps, config:set, ps, releases, run -x, logs --tail", async () => {
  assert.match(await heroku(["apps"]), new RegExp(app));
  assert.match(await heroku(["config:set", "FROM=elsewhere", "-a", app]), /done, v\d+/);
  assert.match(await heroku(["ps", "-a", app]), /web\.1: /);
  assert.match(await heroku(["releases", "-a", app]), /Set FROM config vars/);
  const all = { ...env, ...relayed };
  const failed = await program(
    join(bin, "heroku"),
    ["run", "-x", "-a", app, "--", "bash", "-c", "echo $FROM; exit 5"],
    {
      env: all,
      cwd: home,
    },
  );
  assert.deepEqual([failed.code, /elsewhere/.test(failed.stdout)], [5, true], `${failed.stdout}${failed.stderr}`);
  const tail = start(join(bin, "heroku"), ["logs", "--tail", "-a", app], {
    env: all,
    cwd: home,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let seen = "";
  tail.stdout?.setEncoding("utf8").on("data", (part: string) => (seen += part));
  await heroku(["config:unset", "FROM", "-a", app]);
  await eventually("the tail shows the release", async () => /Remove FROM config vars/.test(seen));
  tail.kill("SIGKILL");
  await ended(tail, "heroku");
});

test("git through the relay: a large push as it comes, with the relay's secret, which git is told by our helper", async () => {
  using repository = await temporaryRepository({ "a.txt": "a\n" });
  writeFileSync(join(repository.folder, "large"), randomBytes(12 * 1024 * 1024));
  await git(repository.folder, ["add", "-A"]);
  await git(repository.folder, ["-c", "user.name=T", "-c", "user.email=t@example.com", "commit", "-qm", "large"]);
  const remote = `${relayed["HEROKU_HOST"]}/${app}.git`;
  const push = (helper: string) =>
    program(
      "git",
      ["-C", repository.folder, "-c", `credential.helper=${helper}`, "push", remote, "HEAD:refs/heads/side"],
      { env: { ...env, ...relayed, GIT_TERMINAL_PROMPT: "0" } },
    );
  assert.notEqual((await push("")).code, 0, "without the secret");
  const pushed = await push(`${join(checkout, "bin", "stator")} git:credentials`);
  assert.equal(pushed.code, 0, pushed.stderr);
  assert.match(pushed.stderr, /HEAD -> side/);
});

test("stator heroku: one command with a relay of its own; its output and exit status are ours", async () => {
  const whoami = await native(["heroku", "auth:whoami"]);
  assert.deepEqual([whoami.code, /@/.test(whoami.stdout)], [0, true], whoami.stderr);
  const failed = await native(["heroku", "run", "-x", "-a", app, "--", "bash", "-c", "exit 9"]);
  assert.equal(failed.code, 9, `${failed.stdout}${failed.stderr}`);
  using repository = await temporaryRepository({ "a.txt": "a\n" });
  await stator(["heroku", "git:remote", "-a", app], { env, cwd: repository.folder });
  const { stdout } = await git(repository.folder, ["remote", "get-url", "heroku"]);
  assert.equal(stdout.trim(), `${url}/${app}.git`, "a remote that outlives the command");
});

test("disconnect ends the relay, and the official CLI has nowhere to go", async () => {
  await nativeOk(["disconnect"]);
  assert.equal((await native(["env"])).code, 1);
  await nativeOk(["logout"]);
});
