import assert from "node:assert/strict";
import { globSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { standingOf } from "../../src/engine/local/disk-mechanisms.ts";
import { echo } from "./apps.ts";
import {
  api,
  checkout,
  config,
  deployed,
  eventually,
  pidOf,
  processes,
  program,
  stator,
  statorOk,
  temporaryRepository,
  throughRouter,
  waitUp,
} from "./harness.ts";

/** The native command line against the real platform. */
let app = "";
let dispose: () => Promise<void> = async () => {};
before(async () => {
  const made = await deployed("cli", echo);
  app = made.name;
  dispose = async () => made[Symbol.asyncDispose]();
});
after(() => dispose());

test("apps, info, ps and ps:scale in the official CLI's words (spec 16)", async () => {
  assert.match(await statorOk(["apps"]), new RegExp(`^=== \\S+@\\S+ Apps\\n[\\s\\S]*^${app}$`, "m"));
  const info = await statorOk(["info", "-a", app]);
  assert.match(info, new RegExp(`^=== ${app}\\n`));
  assert.match(info, new RegExp(`Git URL: +${api}/${app}\\.git`));
  assert.match(
    await statorOk(["ps", "-a", app]),
    /=== web \(Basic\): .* \(1\)\n\nweb\.1: up \d{4}\/\d\d\/\d\d .* \(~ \d+[sm] ago\)/,
  );
  const scaled = await stator(["ps:scale", "web=2", "-a", app]);
  assert.match(scaled.stderr, /^Scaling dynos\.\.\. done, now running web at 2:Basic$/m);
  await waitUp(app, "web", 2);
  assert.match(await statorOk(["ps:scale", "-a", app]), /web=2:Basic/);
  await statorOk(["ps:scale", "web-1", "-a", app]);
  await waitUp(app, "web", 1);
});

test("a repository: create makes the remote, git asks us for the token, the app is known from the remote", async () => {
  using repository = await temporaryRepository(echo);
  const name = `${app}-git`;
  const here = { cwd: repository.folder };
  try {
    const made = await stator(["create", name], here);
    assert.equal(made.code, 0, made.stderr);
    const pushed = await program("git", ["push", "heroku", "main"], { ...here, timeoutMs: 300_000 });
    assert.equal(pushed.code, 0, pushed.stderr);
    assert.match(await statorOk(["ps"], here), /web\.1: up/);
    assert.match(await statorOk(["releases"], here), /^ *v3 +Deploy [0-9a-f]{8}/m);
  } finally {
    await stator(["destroy", name, "--confirm", name], here);
  }
  const remotes = await program("git", ["remote"], here);
  assert.equal(remotes.stdout, "", "its remote went with the app");
});

test("routing: what is set holds from the next request on", async () => {
  const set = (...words: string[]) => statorOk(["routing:set", ...words, "-a", app]);
  await set("session-affinity=on", "balance=least-connections", "first-byte-timeout=60");
  await eventually("the router gives a cookie", async () => {
    const { status, headers } = await throughRouter(app);
    return status === 200 && (headers["set-cookie"]?.[0] ?? "").startsWith("heroku-session-affinity=");
  });
  const password = (await statorOk(["routing:auth-add", "ann", "--generate", "-a", app])).trim();
  await eventually("the router asks who comes", async () => (await throughRouter(app)).status === 401);
  const authorization = `Basic ${Buffer.from(`ann:${password}`).toString("base64")}`;
  assert.equal((await throughRouter(app, { headers: { Authorization: authorization } })).status, 200);
  assert.match(await statorOk(["routing", "-a", app]), /^balance: +least-connections\n[\s\S]*^basic auth: +ann$/m);
  const bad = await stator(["routing:set", "first-byte-timeout=0", "-a", app]);
  assert.deepEqual([bad.code, /say a number from 1 to 3600/.test(bad.stderr)], [2, true]);
  await statorOk(["routing:auth-remove", "ann", "-a", app]);
  await set("session-affinity=off", "balance=random", "first-byte-timeout=30");
  await eventually("all is as it was", async () => (await throughRouter(app)).headers["set-cookie"] === undefined);
  assert.equal((await throughRouter(app)).status, 200);
});

test("errors are a sentence and a status: 2 from the platform, 127 for a word that nobody knows", async () => {
  const unknown = await stator(["ps", "-a", "no-such-app-here"]);
  assert.deepEqual([unknown.code, unknown.stdout], [2, ""]);
  assert.match(unknown.stderr, /Couldn't find that app/);
  const type = await stator(["ps:scale", "never-heard-of=1", "-a", app]);
  assert.equal(type.code, 2);
  const word = await stator(["no:such:word"], { env: { PATH: "/usr/bin:/bin" } });
  assert.deepEqual([word.code, /npm install -g heroku/.test(word.stderr)], [127, true]);
  const token = await stator(["apps"], { env: { STATOR_TOKEN: "HRKU-wrong" } });
  assert.equal(token.code, 1);
});

test("status says that the platform is up also to who has no token of it, and why it shows no apps", async () => {
  const { code, stdout } = await stator(["status"], { env: { STATOR_TOKEN: "HRKU-wrong" } });
  assert.equal(code, 0);
  assert.match(stdout, /^The platform at http:\S+ is up\.\nIt shows no apps: Invalid credentials provided\./);
});

test("status --json names our processes with role and pid, ports, versions, apps and dynos", async () => {
  const status = JSON.parse(await statorOk(["status", "--json"])) as {
    readonly processes: readonly { readonly role: string; readonly pid: number }[];
    readonly ports: Readonly<Record<string, number>>;
    readonly versions: Readonly<Record<string, string>>;
    readonly apps: readonly { readonly name: string; readonly dynos: readonly { readonly name: string }[] }[];
  };
  for (const role of ["daemon", "host", "router"])
    assert.ok(
      status.processes.some((each) => each.role === role),
      role,
    );
  assert.deepEqual(status.ports, {
    api: config.apiPort,
    tls: config.tlsPort,
    http: config.httpPort,
    https: config.httpsPort,
  });
  assert.ok(status.versions["stator"] && status.versions["haproxy"]);
  assert.equal(status.apps.find((each) => each.name === app)?.dynos[0]?.name, "web.1");
});

test("doctor says something about everything, and nothing is missing here", async () => {
  const text = await statorOk(["doctor"]);
  for (const word of ["control groups", "user namespaces", "nftables", "memory", "open files", "disk"]) {
    assert.match(text, new RegExp(word));
  }
});

test("up again changes nothing and takes less than 5 s; our files are the person's alone", async () => {
  const known = (await processes()).map((each) => each.pid).toSorted((one, other) => one - other);
  const started = performance.now();
  const again = await program(join(checkout, "bin", "up"), []);
  assert.equal(again.code, 0, again.stderr);
  assert.ok(performance.now() - started < 5_000, `${performance.now() - started} ms`);
  assert.match(again.stdout, /curl -H 'Host: hello\.localhost'/);
  assert.deepEqual(
    (await processes()).map((each) => each.pid).toSorted((one, other) => one - other),
    known,
  );
  const credentials = join(process.env["HOME"] ?? "", ".config", "stator", "credentials.json");
  assert.equal(statSync(credentials).mode & 0o777, 0o600);
});

test("a port that is taken stops `up` before anything: by whom, and what to type", async () => {
  const taken = await program(join(checkout, "bin", "up"), [], {
    env: { STATOR_HOME: "/var/tmp/stator-never", STATOR_HTTP_PORT: String(config.httpPort) },
  });
  assert.equal(taken.code, 1);
  assert.match(
    taken.stderr,
    new RegExp(`Port ${config.httpPort} \\(STATOR_HTTP_PORT\\) is taken by haproxy \\(process \\d+\\)`),
  );
  assert.match(taken.stderr, /STATOR_HTTP_PORT=\d+ .*bin\/up$/m);
  assert.throws(() => statSync("/var/tmp/stator-never"));
});

test("down --keep-dynos ends our processes only; up takes over what runs", async () => {
  const [dyno] = await waitUp(app, "web", 1);
  // Of dynos, not of what stands by for those to come.
  const isDynos = (pid: number) =>
    globSync("*/started.json", { cwd: config.instance.paths.bundles }).some(
      (path) => readFileSync(join(config.instance.paths.bundles, dirname(path), "conmon.pid"), "utf8") === String(pid),
    );
  const conmonPids = async () =>
    (await processes()).filter(({ role, pid }) => role === "conmon" && isDynos(pid)).map(({ pid }) => pid);
  const conmons = await conmonPids();
  assert.ok(conmons.length > 0);
  const down = await stator(["down", "--keep-dynos"]);
  assert.equal(down.code, 0, down.stderr);
  assert.equal((await stator(["status"])).code, 3);
  assert.equal((await throughRouter(app)).status, 200, "requests go on");
  const up = await program(join(checkout, "bin", "up"), []);
  assert.equal(up.code, 0, up.stderr);
  assert.equal((await waitUp(app, "web", 1))[0]?.id, dyno?.id, "the same dyno");
  const after = await conmonPids();
  assert.ok(conmons.every((pid) => after.includes(pid)));
});

test("down stops everything; up brings every app back as it was, also on disks limited by other means", async () => {
  await statorOk(["ps:scale", "web=2", "-a", app]);
  await waitUp(app, "web", 2);
  const standing = standingOf(config.instance.paths) ?? assert.fail("no disks");
  const repositories = () =>
    readdirSync(volumes)
      .filter((name) => name.startsWith("repo-"))
      .toSorted();
  const volumes = join(config.instance.paths.host, "store");
  const kept = repositories();
  assert.ok(kept.length > 0);
  const other = standing === "image" ? "btrfs" : "image";
  const up = (disk: string) => program(join(checkout, "bin", "up"), [], { env: { STATOR_DISK: disk } });

  const refused = await up(other);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, new RegExp(`Dynos run .*STATOR_DISK=${other} cannot be used yet: stop them`));
  assert.equal((await throughRouter(app)).status, 200);
  for (const disk of [other, standing]) {
    const down = await stator(["down"], { timeoutMs: 120_000 });
    assert.equal(down.code, 0, down.stderr);
    await assert.rejects(throughRouter(app));
    const back = await up(disk);
    assert.equal(back.code, 0, back.stderr);
    await waitUp(app, "web", 2);
    await eventually("it answers", async () => (await throughRouter(app)).status === 200);
    assert.equal(standingOf(config.instance.paths), disk);
    assert.deepEqual(repositories(), kept);
  }
  assert.ok((await pidOf("daemon")) > 0);
});
