import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect, type PeerCertificate } from "node:tls";
import { herokuClient, OFFICIAL_CLI, tellDriven } from "../support/official-cli.ts";
import { installedCommands } from "../support/official-manifest.ts";
import { echo } from "./apps.ts";
import { type Furnished, furnished } from "./furnished.ts";
import {
  api,
  appName,
  config,
  eventually,
  platform,
  program,
  pushOk,
  type Result,
  stator,
  temporaryApp,
  temporaryRepository,
  throughRouter,
  token,
  waitLog,
  waitUp,
} from "./harness.ts";
import {
  type Official,
  type OfficialOptions,
  openOfficial,
  samePrinted,
  statorGoesOn,
  statorOnTerminal,
} from "./heroku.ts";

/**
 * The unmodified official CLI, driven by what `stator env` prints and nothing else: a test for each command that no other file has
 * (`access`, `builds-api`, `certificates`, `drains`), with what it prints and its exit status; and ours beside it, which says the same.
 */
let official: Official;
let app = "";
let dispose: () => Promise<void> = async () => {};
/** Of the app from its v3 on; v4 has its code. */
const VARS = { QUOTED: "it's", SPACED: "two words", URL: "https://user@x.example/?a=1&b=2" };

before(async () => {
  official = await openOfficial();
  const made = await temporaryApp("official");
  app = made.name;
  dispose = async () => made[Symbol.asyncDispose]();
  await platform("PATCH", `/apps/${app}/config-vars`, VARS);
  using repository = await temporaryRepository(echo);
  await pushOk(repository.folder, app);
});
after(async () => {
  await dispose();
  official?.[Symbol.dispose]();
});

const heroku = (args: readonly string[], options?: OfficialOptions): Promise<Result> => official.run(args, options);
const herokuOk = (args: readonly string[], options?: OfficialOptions): Promise<string> => official.ok(args, options);
const KOLKRABBI = "kolkrabbi.heroku.com/account/github/token";
/** A sentence that was folded at the terminal's width, in one line again. */
const unfolded = (text: string): string => text.replaceAll(/\s*\n ›\s+/g, " ");

test("the list of its commands by which ours are held to account is its own", () => {
  const path = join(import.meta.dirname, "..", "support", "official-commands.json");
  // After an update of the package: write JSON.stringify(installedCommands(), null, 2) there, and see what is new.
  assert.deepEqual(JSON.parse(readFileSync(path, "utf8")), installedCommands());
});

/** What both are asked, of an app that has more than one of everything. */
const SAME = (of: Furnished): readonly (readonly string[])[] => [
  ["auth:whoami"],
  ["apps"],
  ["ps"],
  ["ps:scale"],
  ["maintenance"],
  ["features"],
  ["features:info", "http-session-affinity"],
  ["features:info", "no-such-feature"],
  ["labs"],
  ["labs:info", "log-runtime-metrics"],
  ["regions"],
  ["config"],
  ["config", "--shell"],
  ["releases"],
  ["releases:info", "v4", "--shell"],
  ["releases:output"],
  ["domains"],
  ["domains", "--csv"],
  ["drains"],
  ["telemetry"],
  ["stack"],
  ["access"],
  ["pipelines"],
  ["sessions"],
  ["authorizations"],
  ["logs", "-n", "3", "--source", "heroku", "--dyno", "web.1", "--no-color"],
  ["apps:info"],
  ["apps:info", "--json"],
  ["apps:info", "--shell"],
  ["certs"],
  ["certs:auto"],
  ["certs:info", "--show-domains"],
  ["domains:info", of.domain],
  ["telemetry:info", of.telemetry],
  ["keys"],
  ["pipelines:info", of.pipeline],
  ["webhooks"],
  ["webhooks:info", of.webhook],
  ["webhooks:deliveries"],
  ["clients"],
  ["clients:info", of.client],
  ["authorizations:info", of.authorization],
  ["buildpacks", "--json"],
];
const OF_NO_APP = /^(auth|apps$|regions|pipelines|sessions|clients|keys|telemetry:info)/;

test("heroku and stator print the same", { concurrency: 3 }, async (t) => {
  await waitUp(app, "web", 1);
  await using of = await furnished(app);
  await Promise.all(
    SAME(of).map((args) =>
      t.test(args.join(" "), () => samePrinted(official, OF_NO_APP.test(args[0] ?? "") ? args : [...args, "-a", app])),
    ),
  );
});

test("heroku and stator print the same where CI is set", () => samePrinted(official, ["authorizations"], "true"));

test("arguments that are missing or do not go together: the same status", { concurrency: 3 }, async (t) => {
  const wrong = [["drains:add"], ["config:set"], ["config:unset"], ["ps:stop"], ["logs", "-d", "web.1", "-p", "web"]];
  await Promise.all(
    wrong.map((args) =>
      t.test(args.join(" "), async () => {
        const [theirs, ours] = await Promise.all([heroku([...args, "-a", app]), stator([...args, "-a", app])]);
        assert.deepEqual([ours.stdout, ours.code], ["", theirs.code], theirs.stderr);
      }),
    ),
  );
});

test("apps:create, apps:rename, apps:destroy", async () => {
  const other = `${app}-b`;
  assert.match(await herokuOk(["apps:create", other]), /^http\S+ \| https\S+\.git\n[\s\S]*Creating \S+\.\.\. done/);
  assert.match(await herokuOk(["apps:rename", `${other}c`, "-a", other]), /Renaming \S+ to \S+\.\.\. done/);
  assert.match(await herokuOk(["apps:destroy", "-a", `${other}c`, "--confirm", `${other}c`]), /Destroying .*done/);
});

test("apps:open", async () => {
  // A browser of the test's own: it is what their library starts on Linux.
  const browser = join(official.home, "xdg-open");
  writeFileSync(browser, `#!/bin/sh\nexit 0\n`);
  chmodSync(browser, 0o755);
  const opened = await heroku(["apps:open", "-a", app], { env: { PATH: `${official.home}:/usr/bin:/bin` } });
  assert.equal(opened.code, 0, opened.stderr);
  assert.match(opened.stdout, new RegExp(`Opening http://${app}\\.`));
});

test("apps:stacks:set", async () => {
  assert.match(await herokuOk(["apps:stacks:set", "debian-12", "-a", app]), /debian-12/);
});

test("ps:scale", async () => {
  assert.match(
    await herokuOk(["ps:scale", "web=3", "worker=1", "-a", app]),
    /Scaling dynos\.\.\. done, now running .*web at 3:Basic, worker at 1:Basic/,
  );
  await waitUp(app, "web", 3);
  await herokuOk(["ps:scale", "web=1", "worker=0", "-a", app]);
  assert.match(unfolded((await heroku(["ps:scale", "nobody=1", "-a", app])).stderr), /Couldn't find that process type/);
});

test("ps:type", async () => {
  const text = await herokuOk(["ps:type", "web=basic", "-a", app]);
  assert.match(text, /Scaling dynos on \S+\.\.\. done/);
  assert.match(text, /web +Basic +1/);
});

test("logs: of one dyno, of one process type, of one source", async () => {
  const log = await herokuOk(["logs", "-a", app, "-n", "1500"]); // the worker of the test before has said much
  assert.match(log, /heroku\[web\.1\]: State changed from starting to up/);
  assert.doesNotMatch(await herokuOk(["logs", "-a", app, "-s", "app", "-d", "web.1"]), /heroku\[/);
  assert.doesNotMatch(await herokuOk(["logs", "-a", app, "-p", "web"]), /\[worker\./);
});

test("run: what it prints, what is piped in, its size and environment", async () => {
  const ran = await heroku(["run", "-a", app, "-e", "WORD=inside", "--", "echo", "$WORD", "the", "dyno"]);
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stdout, /inside the dyno/);
  await platform("PATCH", `/apps/${app}/formation/worker`, { size: "Standard-2X" });
  const words = ["run", "-a", app, "--no-tty", "--type", "worker", "--", "ulimit -u; wc -c"];
  const piped = await heroku(words, { input: "12345" });
  assert.equal(piped.code, 0, piped.stderr);
  assert.match(piped.stdout, /^512\s+5\s*$/m, "as many processes as the type's size gives, not the app's others");
});

test("on a terminal: its size, with ours a new one too, what is typed, and the command's status", {
  concurrency: 3,
}, async (t) => {
  const resized = `stty size; echo re''ady; until [ "$(stty size)" = "40 120" ]; do sleep 0.1; done; read word; echo "got $word"; exit 4`;
  const types = [{ seen: "ready", size: [40, 120], type: "typed\n" }] as const;
  const ours = async (...words: readonly string[]) => {
    const { code, stdout } = await statorOnTerminal([...words, "-a", app, "--", resized], [33, 101], types);
    assert.equal(code, 4, stdout);
    assert.match(stdout, /\n33 101\s+ready\s[^]*got typed\s/);
  };
  await Promise.all([
    t.test("stator run", () => ours("run")),
    t.test("stator ps:exec", () => ours("ps:exec")),
    t.test("heroku run", async () => {
      const words = ["run", "-x", "-a", app, "--", "bash", "-c", "stty size; echo re''ady; read word; exit 4"];
      const { code, stdout } = await official.onTerminal(words, [33, 101], [{ seen: "ready", type: "typed\n" }]);
      assert.equal(code, 4, stdout);
      assert.match(stdout, /33 101\s+ready\s/);
    }),
    t.test("stator run: four Ctrl-C leave a command that ignores them", async () => {
      const deaf = "trap '' INT; echo re''ady; exec sleep 1000";
      const steps = [{ seen: "ready", type: "\u0003\u0003\u0003\u0003" }];
      const { code, stdout } = await statorOnTerminal(["run", "-a", app, "--", deaf], [33, 101], steps);
      assert.equal(code, 255, stdout);
      assert.match(stdout, /forcing dyno disconnect[^]*Error: The connection to the dyno was lost/);
      assert.doesNotMatch(stdout, /\n +at /, "a sentence, not where in our code");
    }),
  ]);
});

test("run -x: the command's own status", async () => {
  const failed = await heroku(["run", "-x", "-a", app, "--", "bash", "-c", "exit 5"]);
  assert.equal(failed.code, 5, `${failed.stdout}\n${failed.stderr}`);
});

test("domains:add, domains:info, domains:wait, domains:remove, domains:clear", async () => {
  const [name, other] = [`www.${app}.example`, `other.${app}.example`];
  for (const each of [name, other]) assert.match(await herokuOk(["domains:add", each, "-a", app]), /DNS Target/);
  assert.match(await herokuOk(["domains:info", name, "-a", app]), new RegExp(`hostname: +${name}`));
  assert.match(await herokuOk(["domains:wait", name, "-a", app]), new RegExp(`Waiting for ${name}`));
  assert.match(await herokuOk(["domains:remove", name, "-a", app]), /Removing .*done/);
  assert.match(await herokuOk(["domains:clear", "-a", app]), /Removing all domains from .*done/);
  assert.doesNotMatch(await herokuOk(["domains", "-a", app]), /example/);
});

/** The certificate that the router shows to who asks for a name. */
async function shownFor(servername: string): Promise<PeerCertificate> {
  const socket = connect({ host: "127.0.0.1", port: config.httpsPort, servername, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const certificate = socket.getPeerCertificate();
  socket.destroy();
  return certificate;
}

test("certs:generate, certs:add, domains:update, certs:info, certs:update, certs:remove", async () => {
  const name = `secure.${app}.example`;
  const of = ["-a", app];
  const generated = ["certs:generate", name, "--selfsigned", "--now", ...of];
  assert.match(await herokuOk(generated), /Your key and self-signed certificate have been generated\./);
  const pair = [`${name}.crt`, `${name}.key`];
  const added = await herokuOk(["certs:add", ...pair, ...of]);
  assert.match(added, /SSL certificate is self signed[^]*Adding SSL certificate to \S+\.\.\. done/);
  const [, cert = ""] = /^ +(cert-\d+) /m.exec(await herokuOk(["certs", ...of])) ?? [];
  await platform("POST", `/apps/${app}/domains`, { hostname: name, sni_endpoint: null });
  const bound = await herokuOk(["domains:update", name, "--cert", cert, ...of]);
  assert.match(bound, new RegExp(`Updating ${name} to use ${cert} certificate\\.\\.\\. done`));
  await eventually("it is shown", async () => (await shownFor(name)).subject.CN === name);
  await herokuOk(generated); // another one
  const { fingerprint256: before } = await shownFor(name);
  const updated = await herokuOk(["certs:update", ...pair, "--confirm", app, ...of]);
  assert.match(updated, /Updated certificate details:[^]*Updating SSL certificate cert-\d+ for \S+\.\.\. done/);
  await eventually("the other is shown", async () => (await shownFor(name)).fingerprint256 !== before);
  assert.match(await herokuOk(["certs:info", "--show-domains", ...of]), new RegExp(`Domain\\(s\\): +${name}`));
  const removed = await herokuOk(["certs:remove", "--confirm", app, ...of]);
  assert.match(removed, /Removing SSL certificate cert-\d+ from \S+\.\.\. done/);
  await herokuOk(["domains:remove", name, ...of]);
});

test("certs:auto:* where the operator has not agreed to an authority's terms: a sentence", async () => {
  // `certificates.test.ts` drives them with an authority.
  const [enabled, refreshed, disabled] = await Promise.all([
    heroku(["certs:auto:enable", "-a", app]),
    heroku(["certs:auto:refresh", "-a", app]),
    heroku(["certs:auto:disable", "--confirm", app, "-a", app]),
  ]);
  assert.match(unfolded(enabled.stderr), /Its operator agrees to an authority's terms with STATOR_ACME_TERMS=agreed/);
  assert.match(unfolded(refreshed.stderr), /is off for \S+: turn it on with certs:auto:enable/);
  assert.match(disabled.stderr, /Disabling Automatic Certificate Management\.\.\. done/);
  assert.deepEqual([enabled.code, refreshed.code, disabled.code], [2, 2, 0]);
});

test("run:detached", async () => {
  const detached = await herokuOk(["run:detached", "-a", app, "--", "echo", "seen later"]);
  assert.match(detached, /Run heroku logs --app \S+ --dyno run\.\d+ to view the output/);
  await waitLog(app, /app\[run\.\d+\]: seen later/);
});

test("run:detached: of a size, as ps shows; --tail, by both clients", { concurrency: 3 }, async (t) => {
  const followed = ["run:detached", "--tail", "-a", app, "--", "echo fol''lowed"];
  await Promise.all([
    t.test("heroku -s", async () => {
      const words = ["run:detached", "-s", "Standard-2X", "-a", app, "--", "sleep 1000"];
      const [, name = ""] = /--dyno (run\.\d+) to view/.exec(await herokuOk(words)) ?? [];
      const shown = new RegExp(`^${name} \\(Standard-2X\\): .*: sleep 1000$`, "m");
      assert.match(await herokuOk(["ps", "-a", app]), shown);
      await herokuOk(["ps:stop", "-d", name, "-a", app]);
    }),
    t.test("heroku --tail", async () => {
      await official.goesOn(followed, /app\[run\.\d+\]: followed/);
    }),
    t.test("stator --tail", async () => {
      await statorGoesOn(followed, /app\[run\.\d+\]: followed/);
    }),
  ]);
});

test("logs --tail goes on with what comes; --force-colors, --no-color", { concurrency: 3 }, async (t) => {
  const tail = ["logs", "--tail", "-n", "1", "-p", "router", "-a", app];
  const first = "/before-they-follow";
  await throughRouter(app, { path: first });
  await waitLog(app, new RegExp(`path="${first}"`));
  const asks = (path: string) => ({
    act: () => throughRouter(app, { path }),
    seen: new RegExp(`heroku\\[router\\]: .*path="${path}"`),
  });
  await Promise.all([
    t.test("heroku --tail", async () => {
      await official.goesOn(tail, /heroku\[router\]/, asks("/followed-by-theirs"));
    }),
    t.test("stator --tail", async () => {
      await statorGoesOn(tail, /heroku\[router\]/, asks("/followed-by-ours"));
    }),
    t.test("colours", async () => {
      const last = ["logs", "-n", "1", "-a", app];
      const forced = await stator([...last, "--force-colors"]);
      assert.ok(forced.stdout.startsWith("\u001b["), forced.stdout);
      const theirs = await heroku([...last, "--force-colors"]);
      assert.deepEqual([theirs.code, /--force-colors flag is deprecated/.test(theirs.stderr)], [0, true]);
      for (const plain of [await stator([...last, "--no-color"]), await heroku([...last, "--no-color"])])
        assert.match(plain.stdout, /^\d{4}-\S+ \S+\[\S+\]: /);
    }),
  ]);
});

test("config:set, config:get, config:unset", async () => {
  assert.match(await herokuOk(["config:set", "GREETING=from heroku", "-a", app]), /done, v\d+/);
  assert.match(await herokuOk(["config", "-a", app]), /GREETING: from heroku/);
  const got = await heroku(["config:get", "GREETING", "-a", app]);
  assert.deepEqual([got.stdout, got.code], ["from heroku\n", 0]);
  await eventually("it is served", async () => /greeting=from heroku/.test((await throughRouter(app)).body));
  assert.match(await herokuOk(["config:unset", "GREETING", "-a", app]), /Unsetting GREETING .*done, v\d+/);
});

test("config:edit: theirs, and ours", async () => {
  const editor = join(official.home, "editor");
  writeFileSync(
    editor,
    `#!/usr/bin/python3\nimport sys\nopen(sys.argv[1], "a").write("\\nEDITED='by a program'\\n")\n`,
  );
  chmodSync(editor, 0o755);
  const theirs = await heroku(["config:edit", "-a", app], { input: "y\n", env: { VISUAL: editor } });
  assert.equal(theirs.code, 0, theirs.stderr);
  assert.match(theirs.stdout, /Config Diff:\n\+ EDITED='by a program'/);
  const ours = await stator(["config:edit", "-a", app], { env: { VISUAL: editor } });
  assert.match(ours.stdout + ours.stderr, /Config Diff:\n\+ EDITED='by a program'|no changes to config/);
});

test("ps:wait: after a release that came up, and after one that failed", async () => {
  await herokuOk(["config:set", "PYTHONHOME=/nonexistent", "-a", app]);
  await waitLog(app, /Release v\d+ failed: web\.1 exited with status 1 before it came up/);
  const waits = /^$|Waiting for every dyno to be running v\d+\.\.\.[^]*done/;
  assert.match(await herokuOk(["ps:wait", "-a", app]), waits);
  await herokuOk(["config:unset", "PYTHONHOME", "-a", app]);
  assert.match(await herokuOk(["ps:wait", "-a", app]), waits);
  assert.equal((await stator(["ps:wait", "-a", app])).code, 0);
  assert.match((await throughRouter(app)).body, /^web\.1 /);
});

test("rollback", async () => {
  assert.match(await herokuOk(["releases", "-a", app]), /Set GREETING config vars/);
  assert.match(await herokuOk(["rollback", "v4", "-a", app]), /Rolling back .* to v4.*done, v\d+/);
  assert.match(await herokuOk(["releases", "-a", app]), /Rollback to v4/);
});

test("git:remote, git:clone, git:credentials: each of both gets the code", async () => {
  const repository = join(official.home, "repository");
  await program("git", ["init", "-q", repository]);
  assert.match(await herokuOk(["git:remote", "-a", app], { cwd: repository }), /set git remote heroku to https:/);
  // Their credential helper is `heroku git:credentials`, by PATH.
  writeFileSync(join(official.home, "heroku"), `#!/bin/sh\nexec ${process.execPath} ${OFFICIAL_CLI} "$@"\n`, {
    mode: 0o755,
  });
  const env = {
    PATH: `${official.home}:/usr/local/bin:/usr/bin:/bin`,
    GIT_TERMINAL_PROMPT: "0",
    // git prefers it to all that is configured, where the machine that tests has it.
    GIT_SSL_CAINFO: official.environment["NODE_EXTRA_CA_CERTS"] ?? "",
  };
  const input = `protocol=https\nhost=127.0.0.1:${config.tlsPort}\n\n`;
  const credentials = await heroku(["git:credentials", "get"], { input });
  assert.equal(credentials.code, 0, credentials.stderr);
  assert.match(credentials.stdout, /^password=HRKU-/m);
  assert.match(await herokuOk(["git:clone", "-a", app, "theirs"], { env }), /Cloning into 'theirs'/);
  assert.equal((await stator(["git:clone", "-a", app, "ours"], { cwd: official.home })).code, 0);
  for (const folder of ["theirs", "ours"])
    assert.match(readFileSync(join(official.home, folder, "Procfile"), "utf8"), /^web:/);
});

test("ps:restart", async () => {
  assert.match(await herokuOk(["ps:restart", "-a", app]), /Restarting all dynos on \S+\.\.\. done/);
});

test("ps:stop", async () => {
  assert.match(await herokuOk(["ps:stop", "-d", "web.1", "-a", app]), /Stopping dyno web\.1 on \S+\.\.\. done/);
  assert.equal((await heroku(["ps:stop", "-a", app])).code, 2);
});

test("maintenance:on, maintenance:off", async () => {
  assert.match(await herokuOk(["maintenance:on", "-a", app]), /Enabling maintenance mode for \S+\.\.\. done/);
  await eventually("maintenance is served", async () => (await throughRouter(app)).status === 503);
  assert.match(await herokuOk(["maintenance:off", "-a", app]), /Disabling maintenance mode for \S+\.\.\. done/);
  await eventually("the app is served", async () => (await throughRouter(app)).status === 200);
});

test("features:enable, features:disable", async () => {
  const feature = ["http-session-affinity", "-a", app];
  assert.match(await herokuOk(["features:enable", ...feature]), /Enabling http-session-affinity for \S+\.\.\. done/);
  assert.match((await heroku(["features:enable", ...feature])).stderr, /http-session-affinity is already enabled/);
  assert.match(await herokuOk(["features:disable", ...feature]), /Disabling http-session-affinity for \S+\.\.\. done/);
});

test("labs:enable, labs:disable: log-runtime-metrics", async () => {
  assert.match(await herokuOk(["labs", "-a", app]), /\[ \] log-runtime-metrics +Emit dyno resource usage/);
  const metrics = ["log-runtime-metrics", "-a", app];
  assert.match(await herokuOk(["labs:enable", ...metrics]), /Enabling log-runtime-metrics for \S+\.\.\. done/);
  assert.match(await herokuOk(["labs", "-a", app]), /\[\+\] log-runtime-metrics/);
  await waitLog(app, /heroku\[web\.1\]: source=web\.1 dyno=heroku\.\d+\.\S+ sample#memory_total=/);
  assert.match(await herokuOk(["labs:disable", ...metrics]), /Disabling log-runtime-metrics for \S+\.\.\. done/);
  assert.doesNotMatch(await herokuOk(["features", "-a", app]), /log-runtime-metrics/);
  assert.notEqual((await heroku(["labs:enable", "no-such-feature", "-a", app])).code, 0);
});

test("telemetry:add, telemetry:info, telemetry:update, telemetry:remove", async () => {
  const endpoint = "https://otel.example.com/v1/logs";
  const added = await herokuOk(["telemetry:add", endpoint, "--signals", "logs", "-a", app]);
  assert.match(added, /successfully added drain https:\/\/otel\.example\.com\/v1\/logs/);
  const listed = await stator(["telemetry", "-a", app, "--json"]);
  const [{ id = "" } = {}] = JSON.parse(listed.stdout) as readonly { readonly id?: string }[];
  const info = await heroku(["telemetry:info", id]);
  assert.equal(info.stdout, (await stator(["telemetry:info", id])).stdout);
  assert.match(info.stdout, /Signals: +logs\nEndpoint: +https:\/\/otel\.example\.com\/v1\/logs\nTransport: +HTTP/);
  const updated = await herokuOk(["telemetry:update", id, "--endpoint", "https://other.example.com/v1/logs"]);
  assert.match(updated, /Endpoint: +https:\/\/other\.example\.com[^]*Updating telemetry drain \S+\.\.\. done/);
  assert.match(await herokuOk(["telemetry:remove", "-a", app]), /Removing all telemetry drains from app .*done/);
});

test("status", async () => {
  assert.match(await herokuOk(["status"]), /Apps: +No known issues at this time/);
});

/** What cannot work without Heroku's own services: a sentence, and a status that is not 0. */
const CANNOT: readonly (readonly [command: string, sentence: RegExp])[] = [
  ["auth:login", /Cannot log in with HEROKU_API_KEY set/],
  ["container:push web", /This command is for Docker apps only/],
  ["container:release web", /This command is for Docker apps only/],
  ["ps:autoscale:enable --min 1 --max 2", /Autoscaling is only available with Performance or Private dynos/],
  ["addons:create heroku-postgresql", /There are no add-ons here: set a service's address as a config var/],
  ["ci", /Couldn't find that pipeline coupling/],
  ["reviewapps:enable -p nothing", /Couldn't find that pipeline/],
  ["pipelines:open nothing", /Pipeline not found/],
  ["pipelines:transfer me -p nothing", /Pipeline not found/],
  ["spaces", /You do not have access to any spaces/],
];
test("without Heroku's own services: a sentence and a status", { concurrency: 3 }, async (t) => {
  await Promise.all(
    CANNOT.map(([command, sentence]) =>
      t.test(command, async () => {
        const args = command.split(" ");
        const of = /^(auth|spaces|pipelines)/.test(command) ? [] : ["-a", app];
        const { code, stdout, stderr } = await heroku([...args, ...of]);
        assert.notEqual(code, 0, stdout);
        assert.match(unfolded(stderr), sentence);
      }),
    ),
  );
});

test("pipelines:connect, pipelines:setup: ask a service of Heroku's first, with the token, which is why stator heroku refuses them", async () => {
  const ask = async (command: string) => {
    const args = command.split(" ");
    const { code, stderr, asked, dialled } = await official.elsewhere(args);
    assert.notEqual(code, 0);
    assert.match(stderr, /Account not connected to GitHub/);
    assert.deepEqual([...new Set(dialled)], ["kolkrabbi.heroku.com"]);
    assert.deepEqual([...new Set(asked.map(({ host, path }) => host + path))], [KOLKRABBI]);
    assert.ok(asked.every(({ authorization }) => authorization === `Bearer ${token()}`));
    const refused = await stator(["heroku", ...args]);
    assert.deepEqual([refused.code, refused.stdout], [1, ""]);
    assert.match(refused.stderr, /which would be sent the token of this platform: push to the first app of a pipeline/);
  };
  await Promise.all(["pipelines:connect shop -r me/shop", "pipelines:setup shop me/shop -y"].map(ask));
});

/** A terminal on which somebody types: the words that are waited for, and what is typed then, come as JSON in the environment. */
const TYPIST = `
import json, os, pty, sys
pid, fd = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
answers, text = json.loads(os.environ["ANSWERS"]), b""
while True:
    try: got = os.read(fd, 4096)
    except OSError: break
    if not got: break
    os.write(1, got)
    text += got
    if answers and answers[0][0].encode() in text:
        os.write(fd, answers.pop(0)[1].encode() + b"\\r")
        text = b""
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

async function typed(args: readonly string[], answers: readonly (readonly [asked: string, answer: string])[]) {
  const { home, environment } = official;
  const own = { HOME: home, HEROKU_API_KEY: "", HEROKU_NETRC_WRITE: "true", HEROKU_SKIP_NEW_VERSION_CHECK: "true" };
  const env = { ...environment, ...own, NO_COLOR: "1", CI: "false", ANSWERS: JSON.stringify(answers) };
  const result = await program("python3", ["-c", TYPIST, process.execPath, OFFICIAL_CLI, ...args], { env });
  tellDriven(args, result.code);
  return result;
}

test("login -i: the address, and a token for a password; login: a sentence, since there is no page", async () => {
  const email = (await stator(["auth:whoami"])).stdout.trim();
  const logIn = (password: string) =>
    typed(
      ["auth:login", "-i"],
      [
        ["Email", email],
        ["Password", password],
      ],
    );
  const [wrong, right, page] = await Promise.all([
    logIn("secret"),
    logIn(token()),
    typed(["auth:login"], [["Press any key", ""]]),
  ]);
  assert.notEqual(wrong.code, 0);
  assert.match(unfolded(wrong.stdout), /There are no passwords here: a token is one/);
  assert.equal(right.code, 0, right.stdout);
  assert.ok(right.stdout.includes(`Logged in as ${email}`), right.stdout);
  assert.notEqual(page.code, 0);
  assert.match(unfolded(page.stdout), /There is no page to log in on here: type heroku login -i/);
  const out = await typed(["auth:logout"], []);
  assert.equal(out.code, 0, out.stdout);
});

test("heroku-client: lists, pages by Range, creates and destroys an app, config vars, errors", async () => {
  const client = await herokuClient({ host: api, token: token() });
  const name = appName("client");
  const made = (await client.post("/apps", { body: { name } })) as { readonly id: string };
  try {
    const apps = (await client.get("/apps")) as readonly { readonly id: string }[];
    assert.ok(apps.some(({ id }) => id === made.id));
    for (const word of ["one", "two", "three"])
      await client.patch(`/apps/${name}/config-vars`, { body: { WORD: word, EMPTY: "" } });
    assert.deepEqual(await client.get(`/apps/${name}/config-vars`), { WORD: "three", EMPTY: "" });
    const range = { Range: "version ..; max=2" };
    const all = (await client.get(`/apps/${name}/releases`, { headers: range })) as readonly {
      readonly version: number;
    }[];
    assert.deepEqual(
      all.map(({ version }) => version),
      [1, 2, 3, 4, 5],
      "three pages",
    );
    const page = (await client.get(`/apps/${name}/releases`, { headers: range, partial: true })) as readonly unknown[];
    assert.equal(page.length, 2);
    await assert.rejects(client.post("/apps", { body: { name } }), { statusCode: 422 });
  } finally {
    await client.delete(`/apps/${name}`);
  }
  await assert.rejects(client.get(`/apps/${name}`), (error: { readonly statusCode: number; readonly body: object }) => {
    assert.deepEqual([error.statusCode, (error.body as { readonly id: string }).id], [404, "not_found"]);
    return true;
  });
});

test("errors have the status 1 or 2 and a sentence", async () => {
  const unknown = await heroku(["apps:info", "-a", "no-such-app-here"]);
  assert.notEqual(unknown.code, 0);
  assert.match(unknown.stderr, /Couldn't find that app/);
});
