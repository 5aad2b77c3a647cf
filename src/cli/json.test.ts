import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../test/support/api-world.ts";
import { saidBy } from "../../test/support/command-line.ts";
import { makeAuthority, makeServerCertificate } from "../host/certificates.ts";
import { run } from "../lib/command.ts";
import { COMMANDS } from "./commands.ts";

/** `--json` of every command against the real API: one JSON value on standard output and nothing else there. */
let world: World;
before(async () => {
  world = await openWorld();
  await run("git", ["init", "-q", world.home]);
  process.chdir(world.home); // never the repository that we are tested in
  await world.deployed("hello");
  await world.deployed("hello-staging");
  await world.store.users.ensure("friend@example.com");
  const authority = await makeAuthority("Test CA", Date.now());
  const { certificate, key } = await makeServerCertificate(authority, ["www.example.com"], Date.now());
  writeFileSync(join(world.home, "crt.pem"), certificate + authority.certificate);
  writeFileSync(join(world.home, "key.pem"), key);
  writeFileSync(
    join(world.home, "id.pub"),
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFq5rGQ9SyTbGUWHrWAGsyqP4dHKn9YSVf9WW8ZkSXHv me@laptop\n",
  );
});
after(async () => {
  process.chdir("/");
  await world[Symbol.asyncDispose]();
});

/** These look at the machine, not at the API: `test/e2e/cli.test.ts` has them. */
const OF_MACHINE = ["status", "doctor", "network", "network:allow", "network:deny"];
/** Say in a sentence that they cannot work here. */
const REFUSALS = ["apps:join", "apps:lock", "apps:unlock", "pipelines:connect", "pipelines:open", "pipelines:setup"];

/**
 * One line for each command, in an order in which each finds what it needs. `{x}` is the word that an earlier answer gave
 * as `x`; `> x=path` remembers a part of this one's answer.
 */
const SCRIPT = `
auth:whoami
auth:token
token
env
apps
apps:create fresh -n
apps:rename newer -a fresh
apps:info -a hello
apps:open -a hello
apps:stacks -a hello
apps:stacks:set debian-12 -a hello
apps:destroy newer -c newer
apps:transfer friend@example.com -a hello-staging
apps:transfers
apps:transfers:cancel hello-staging
ps -a hello
ps:usage -a hello
ps:scale -a hello
ps:scale web=2 -a hello
ps:type -a hello
ps:restart -a hello
ps:stop web.1 -a hello
ps:ended -a hello
ps:wait -a hello
recordings:enable -a hello
recordings -a hello
recordings:disable -a hello
runtime -a hello
runtime:set stop-grace=60 -a hello
routing -a hello
routing:set balance=random -a hello
routing:metrics -a hello
routing:auth-add ann --generate -a hello
routing:auth-remove ann -a hello
isolation -a hello
checks -a hello
checks:set web startup --path / -a hello
checks:clear web -a hello
run:detached -a hello -- true
recordings:enable -a hello
recordings -a hello
recordings:disable -a hello
drains:add https://logs.example.com/ -a hello
drains -a hello
drains:remove https://logs.example.com/ -a hello
webhooks:add -i api:app -l notify -u https://hooks.example.com/ -a hello > webhook=id
webhooks -a hello
webhooks:info {webhook} -a hello
webhooks:update {webhook} -i api:app -l sync -u https://hooks.example.com/ -a hello
config:set A=1 B=2 -a hello
webhooks:events -a hello
webhooks:deliveries -a hello
webhooks:remove {webhook} -a hello
schedules:add -s @daily -n daily -a hello -- true
schedules -a hello
schedules:info daily -a hello
schedules:run daily -a hello
schedules:remove daily -a hello
config -a hello
config:get A -a hello
config:unset A -a hello
recordings:enable -a hello
recordings -a hello
recordings:disable -a hello
egress -a hello
egress:deny 203.0.113.0/24 -a hello
egress:allow 203.0.113.7 -a hello
egress:remove 203.0.113.0/24 -a hello
releases -a hello
releases:info -a hello
releases:rollback -a hello
certs:add {home}/crt.pem {home}/key.pem -a hello > cert=name
certs -a hello
certs:info -a hello
certs:update {home}/crt.pem {home}/key.pem -a hello -c hello
domains:add www.example.com -a hello
domains -a hello
domains:info www.example.com -a hello
domains:wait www.example.com -a hello
domains:update www.example.com --cert {cert} -a hello
domains:remove www.example.com -a hello
domains:clear -a hello
certs:remove -a hello -c hello
certs:auto -a hello
builds -a hello
buildpacks -a hello
buildpacks:add heroku/nodejs -a hello
buildpacks:set heroku/procfile -a hello
buildpacks:remove heroku/procfile -a hello
buildpacks:clear -a hello
buildpacks:search node
buildpacks:info heroku/nodejs
buildpacks:versions heroku/nodejs
builds:cache:purge -a hello
pipelines:create line -s staging -a hello-staging
pipelines
pipelines:add line -s production -a hello
pipelines:info line
pipelines:diff -a hello-staging
pipelines:promote -a hello-staging
pipelines:update -s development -a hello-staging
pipelines:remove -a hello-staging
pipelines:rename line other
pipelines:create given -s staging -a hello-staging
pipelines:transfer friend@example.com -p given -c given
apps:transfers:cancel hello-staging
pipelines:destroy other
git:remote -a hello
maintenance:on -a hello
maintenance -a hello
maintenance:off -a hello
features -a hello
features:info preboot -a hello
features:enable http-session-affinity -a hello
features:disable http-session-affinity -a hello
labs -a hello
labs:info log-runtime-metrics -a hello
labs:enable log-runtime-metrics -a hello
labs:disable log-runtime-metrics -a hello
regions
telemetry:add https://otel.example.com/ --signals logs -a hello > drain=id
telemetry -a hello
telemetry:info {drain}
telemetry:update {drain} --signals logs,traces
telemetry:remove {drain}
access -a hello
access:add friend@example.com -a hello
access:update friend@example.com -p deploy -a hello
access:remove friend@example.com -a hello
audit -a hello
users
users:add new@example.com
users:suspend new@example.com
users:resume new@example.com
users:remove new@example.com
keys:add {home}/id.pub
keys
keys:remove me@laptop
keys:clear
authorizations:create -d ci > authorization=id
authorizations
authorizations:info {authorization}
authorizations:update {authorization} -d other
authorizations:rotate {authorization} > authorization=id
authorizations:revoke {authorization}
clients:create Tool https://tool.example/ > client=id
clients
clients:info {client}
clients:update {client} -n Better
clients:rotate {client}
clients:destroy {client}
sessions > session=0.id
sessions:destroy {session}
`;

test("every command has a line of its own below, or says why it has no --json", () => {
  const tried = new Set(SCRIPT.split("\n").map((line) => line.split(" ")[0]));
  const untried = COMMANDS.filter(({ name, noJson }) => noJson === undefined && !tried.has(name)).map(
    ({ name }) => name,
  );
  const known = [...OF_MACHINE, ...REFUSALS, ...ELSEWHERE];
  assert.deepEqual(
    untried.filter((name) => !known.includes(name)),
    [],
  );
});

/** Need what this world has not (a build, an authority, a delivery, a release command); `logs` and `auth:logout` are below. */
const ELSEWHERE = [
  "apps:leave",
  "apps:transfers:accept",
  "apps:transfers:decline",
  "auth:logout",
  "builds:cancel",
  "builds:info",
  "certs:auto:disable",
  "certs:auto:enable",
  "certs:auto:refresh",
  "logs",
  "ps:timeline",
  "recordings:remove",
  "releases:retry",
  "webhooks:deliveries:info",
  "webhooks:events:info",
];

test("each command's --json is one JSON value, with something in it, and no word of progress", async () => {
  const owner = world.user.id;
  await world.store.tokens.create({
    userId: owner,
    description: "s",
    scopes: ["global"],
    expiresAt: null,
    isSession: true,
  });
  const known: Record<string, string> = { home: world.home };
  for (const line of SCRIPT.trim().split("\n")) {
    const [command = "", remembered] = line.split(" > ");
    const words = command.split(" ").map((word) => word.replace(/\{(\w+)\}/, (_, name: string) => known[name] ?? ""));
    const dashes = words.indexOf("--");
    const { code, stdout, stderr } = await stator(words.toSpliced(dashes === -1 ? words.length : dashes, 0, "--json"));
    assert.equal(code, 0, `${command}: ${stderr}`);
    const value: unknown = JSON.parse(stdout);
    assert.ok(typeof value === "object" && value !== null, command);
    assert.ok(
      !ANSWERED.test(command) || Array.isArray(value) || Object.keys(value).length > 0,
      `${command}: ${stdout}`,
    );
    assert.doesNotMatch(stderr, /\.\.\./, command);
    const [name, path = ""] = remembered?.split("=") ?? [];
    if (name !== undefined) known[name] = String(path.split(".").reduce(partOf, value));
  }
});

/** All but these, to which the platform answers `{}`. */
const ANSWERED = /^(?!ps:(restart|stop)|builds:cache:purge)/;

const partOf = (value: unknown, key: string): unknown => (value as Record<string, unknown>)[key];

test("logs --json is a JSON value a line", async () => {
  const { json: app } = await world.call("GET", "/apps/hello");
  world.logs.append(app.id, { at: Date.now(), source: "app", process: "web.1", text: "a [b]: c" });
  const { stdout } = await stator(["logs", "-a", "hello", "--json"]);
  const lines = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Readonly<Record<string, string>>);
  assert.deepEqual({ ...lines.at(-1), at: "" }, { at: "", source: "app", dyno: "web.1", message: "a [b]: c" });
  await world.deployed("silent");
  assert.equal((await stator(["logs", "-a", "silent", "--json"])).stdout.includes("logplex_url"), false);
});

test("with --json an error is JSON on standard error, of ours and of the platform's", async () => {
  const unknown = await stator(["ps", "-a", "never-heard-of", "--json"]);
  assert.equal(unknown.stdout, "");
  assert.deepEqual(
    [unknown.code, JSON.parse(unknown.stderr)],
    [2, { error: { id: "not_found", message: "Couldn't find that app.", status: 2 } }],
  );
  const usage = await stator(["ps", "--no-such-flag", "--json"]);
  assert.deepEqual(
    [usage.code, usage.stdout, (JSON.parse(usage.stderr) as { error: { id: string } }).error.id],
    [2, "", "usage"],
  );
});

test("auth:logout --json, the last command of a token", async () => {
  const fresh = { userId: world.user.id, description: "laptop", scopes: ["global"], expiresAt: null, isSession: true };
  const { text } = await world.store.tokens.create(fresh);
  const { code, stdout } = await stator(["auth:logout", "--json"], text);
  assert.deepEqual([code, (JSON.parse(stdout) as { readonly description: string }).description], [0, "laptop"]);
});

const stator = (args: readonly string[], token = world.token) =>
  saidBy(args, { HOME: world.home, STATOR_URL: world.url, STATOR_TOKEN: token, STATOR_APP: "" });
