import assert from "node:assert/strict";
import { test } from "node:test";
import type { AppJson, DynoJson, ReleaseJson } from "../api.ts";
import { appsOfRemotes } from "../app-name.ts";
import { Input, UsageError } from "../command.ts";
import { commandOf, envOf } from "../one-off.ts";
import { versionOf } from "../releases.ts";
import { inWords, whichOf } from "../which-dynos.ts";
import { type AppInfo, format as formatInfo, shellLines } from "./apps-info.ts";
import { parseVars } from "./config-set.ts";
import { linesOf } from "./isolation.ts";
import { coloured, queryOf } from "./logs.ts";
import { format as formatPs } from "./ps.ts";
import { format as formatEnded } from "./ps-ended.ts";
import { formatFormation, parseUpdate } from "./ps-scale.ts";
import { sizesAsked } from "./ps-type.ts";
import { format as formatReleases } from "./releases.ts";
import { format as formatRuntime } from "./runtime.ts";
import { changeOf } from "./runtime-set.ts";

const now = new Date(2023, 2, 2, 15, 56, 13);
const at = (secondsAgo: number) => new Date(now.getTime() - secondsAgo * 1000).toISOString();

function dyno(name: string, facts: Partial<DynoJson> = {}): DynoJson {
  return {
    id: name,
    name,
    type: name.split(".")[0] ?? "",
    command: "npm start",
    size: "Basic",
    state: "up",
    updated_at: at(360),
    attach_url: null,
    release: { version: 3 },
    ...facts,
  };
}

test("spec 16: ps shows one-offs first, then a group for each type and command, in the order of their numbers", () => {
  const lines = formatPs(
    [dyno("web.10"), dyno("web.2"), dyno("worker.1", { command: "work" }), dyno("run.7", { command: "bash" })],
    now,
  );
  const time = /\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d [+-]\d{4}/g;
  assert.deepEqual(
    lines.map((line) => line.replaceAll(time, "T")),
    [
      "=== run: one-off processes (1)",
      "",
      "run.7 (Basic): up T (~ 6m ago): bash",
      "",
      "=== web (Basic): npm start (2)",
      "",
      "web.2: up T (~ 6m ago)",
      "web.10: up T (~ 6m ago)",
      "",
      "=== worker (Basic): work (1)",
      "",
      "worker.1: up T (~ 6m ago)",
      "",
    ],
  );
});

test("ps says in words when a crashed dyno is started again", () => {
  const crashed = (seconds: number) =>
    formatPs([dyno("web.1", { state: "crashed", next_start_at: at(-seconds) })], now)[2]?.replace(/^.*ago\)/, "");
  assert.equal(crashed(39.5), ", next start in 40s");
  assert.equal(crashed(119), ", next start in 119s");
  assert.equal(crashed(121), ", next start in 3m");
  assert.equal(crashed(320 * 60), ", next start in 6h");
  assert.equal(crashed(0), ", next start now");
  assert.doesNotMatch(formatPs([dyno("web.1", { next_start_at: null })], now).join(), /next start/);
});

test("ps says in words that a dyno which is up is not ready", () => {
  const shown = (change: Partial<DynoJson>) => formatPs([dyno("web.1", change)], now)[2]?.replace(/^.*ago\)/, "");
  assert.equal(shown({ ready: false }), ", not ready: no new requests");
  assert.equal(shown({ ready: true }), "");
  assert.equal(shown({}), "", "other platforms say nothing of it");
  assert.equal(shown({ ready: false, state: "starting" }), "", "it never was");
});

test("ps:ended: name, status, when, command", () => {
  const ended = { name: "run.7", command: "rake db:migrate", exit_status: 3, ended_at: at(120) };
  const lines = formatEnded([ended, { ...ended, name: "run.1234", exit_status: null }], now);
  assert.match(lines[0] ?? "", /^run\.7 {5}status 3 {3}ended \S+ \S+ \S+ \(~ 2m ago\) {2}rake db:migrate$/);
  assert.match(lines[1] ?? "", /^run\.1234 {2}no status {2}ended /);
});

test("runtime:set reads words as runtime shows them, and refuses what is none", () => {
  const words = ["boot-timeout=90", "rollout=preboot", "preboot-delay=0", "daily-cycling=on", "cycling-hour=none"];
  const sleep = ["30", "0", "none"].map((value) => changeOf([`sleep-after=${value}`]));
  assert.deepEqual(sleep, [{ sleep_after: 30 }, { sleep_after: 0 }, { sleep_after: null }]);
  const change = { boot_timeout: 90, rollout: "preboot", preboot_delay: 0, daily_cycling: true, cycling_hour: null };
  assert.deepEqual(changeOf(words), change);
  for (const bad of [
    "",
    "boot-timeout",
    "boot-timeout=",
    "boot-timeout=1.5",
    "daily-cycling=yes",
    "sleep-after=never",
    "x=1",
    "__proto__=1",
  ])
    assert.throws(() => changeOf([bad]), UsageError, bad);
  assert.throws(() => changeOf([]), UsageError);
  const runtime = {
    asleep_since: null,
    boot_timeout: 90,
    cycling_hour: 3,
    daily_cycling: true,
    preboot_delay: 120,
    restart_policy: "steady",
    release_timeout: 3600,
    rollout: "surge",
    sleep_after: null,
    stop_grace: 30,
  };
  assert.deepEqual(formatRuntime(runtime, "x", now).slice(2), [
    "boot-timeout:    90 s",
    "stop-grace:      30 s",
    "release-timeout: 3600 s",
    "restart-policy:  steady",
    "rollout:         surge",
    "preboot-delay:   120 s",
    "daily-cycling:   on",
    "cycling-hour:    03:00 UTC",
    "sleep-after:     none",
  ]);
  assert.equal(formatRuntime({ ...runtime, sleep_after: 0 }, "x", now).at(-1), "sleep-after:     0 (never)");
  const asleep = formatRuntime({ ...runtime, sleep_after: 30, asleep_since: at(120) }, "x", now).slice(-2);
  assert.equal(asleep[0], "sleep-after:     30 min");
  assert.match(asleep[1] ?? "", /^asleep-since: {4}2023\/03\/02 15:54:13 \S+ \(~ 2m ago\)$/);
});

test("the words of ps:type: a size for each type, or one for all", () => {
  const formation = [{ type: "web" }, { type: "worker" }];
  assert.deepEqual(sizesAsked(["web=standard-2x"], formation), [{ type: "web", size: "standard-2x" }]);
  assert.deepEqual(sizesAsked(["Eco"], formation), [
    { type: "web", size: "Eco" },
    { type: "worker", size: "Eco" },
  ]);
  assert.deepEqual(sizesAsked([], formation), []);
  assert.throws(() => sizesAsked(["web=", "x"], formation), UsageError);
});

test("spec 10.1: the words of ps:scale", () => {
  assert.deepEqual(parseUpdate("web=2"), { type: "web", quantity: "2" });
  assert.deepEqual(parseUpdate("web+2"), { type: "web", quantity: "+2" });
  assert.deepEqual(parseUpdate("my-job_2-1"), { type: "my-job_2", quantity: "-1" });
  assert.deepEqual(parseUpdate("web=2:Standard-2X"), { type: "web", quantity: "2", size: "Standard-2X" });
  for (const text of ["web", "web=", "=2", "web=two", "web=1:", "we b=1"])
    assert.throws(() => parseUpdate(text), UsageError, text);
  const formation = [
    { type: "worker", quantity: 1, size: "Standard-1X" },
    { type: "web", quantity: 3, size: "Standard-2X" },
  ];
  assert.equal(formatFormation(formation, "x"), "web=3:Standard-2X worker=1:Standard-1X");
  assert.throws(() => formatFormation([], "x"), /No process types on x/);
});

test("spec 9.6: releases, with the current one in the header and a word about those that are not well", () => {
  const release = (version: number, facts: Partial<ReleaseJson>): ReleaseJson => ({
    id: String(version),
    version,
    description: "Deploy 1234abcd",
    status: "succeeded",
    current: false,
    created_at: at(3700),
    slug: { id: "s" },
    user: { email: "me@example.com" },
    ...facts,
  });
  const lines = formatReleases(
    [release(10, { status: "failed" }), release(9, { current: true, description: "Rollback to v7" })],
    "app",
    now,
  );
  assert.equal(lines[0], "=== app Releases - Current: v9");
  assert.match(
    lines[4] ?? "",
    /^ {2}v10 {3}Deploy 1234abcd release command failed {3}me@example\.com {3}\d{4}.*\(~ 1h ago\)$/,
  );
  assert.match(lines[5] ?? "", /^ {2}v9\s+Rollback to v7\s+me@example\.com/);
  assert.deepEqual([versionOf("v12"), versionOf("12")], [12, 12]);
  assert.throws(() => versionOf("../x"), UsageError);
});

test("a command's words become one command line: one as it is, several each a word, variables left to the dyno", () => {
  assert.equal(commandOf(["echo $((6*7)); exit 3"]), "echo $((6*7)); exit 3");
  assert.equal(commandOf(["echo", "from the", "one-off"]), 'echo "from the" one-off');
  assert.equal(commandOf(["echo", "$HOME", 'a"b', ""]), 'echo $HOME "a\\"b" ""');
  assert.throws(() => commandOf([]), UsageError);
  assert.deepEqual(envOf("A=1;B=x=y;"), { A: "1", B: "x=y" });
  assert.throws(() => envOf("A"), UsageError);
});

test("config:set takes values with =, and refuses words without", () => {
  assert.deepEqual(parseVars(["A=1", "URL=http://x/?a=b", "EMPTY="]), { A: "1", URL: "http://x/?a=b", EMPTY: "" });
  for (const words of [[], ["A"], ["=x"]]) assert.throws(() => parseVars(words), UsageError);
});

test("which dynos: by flag or by word, never two, never a path", () => {
  const which = (words: readonly string[], flags: Record<string, string> = {}) =>
    whichOf(new Input(words, new Map(Object.entries(flags))));
  assert.equal(inWords(which([])), "all dynos");
  assert.equal(inWords(which(["web.1"])), "dyno web.1");
  assert.equal(inWords(which(["web"])), "all web dynos");
  assert.equal(inWords(which([], { "dyno-name": "run.12" })), "dyno run.12");
  assert.throws(() => which(["web"], { "process-type": "web" }), UsageError);
  assert.throws(() => which(["../../apps"]), UsageError);
});

test("logs: what is asked, and colours only on the head of a line", () => {
  const query = (flags: Record<string, string | true>) => queryOf(new Input([], new Map(Object.entries(flags))));
  assert.deepEqual(query({}), { lines: 100, tail: false });
  assert.deepEqual(query({ tail: true, num: "5", source: "app", "dyno-name": "web.1" }), {
    lines: 5,
    tail: true,
    source: "app",
    dyno: "web.1",
  });
  assert.throws(() => query({ source: "nowhere" }), UsageError);
  assert.match(
    coloured("2026-01-01T00:00:00.000000+00:00 app[web.1]: x [y]: z").replaceAll("\u001b", "ESC"),
    /^ESC\[\d+m2026\S+ app\[web\.1\]:ESC\[0m x \[y\]: z$/,
  );
});

test("apps of git remotes: of this platform only, each once, of one remote if it is named", () => {
  const origins = new Set(["http://127.0.0.1:5480", "https://127.0.0.1:5443"]);
  const remotes = [
    { name: "origin", url: "git@example.org:me/hello.git" },
    { name: "heroku", url: "http://127.0.0.1:5480/hello.git" },
    { name: "secure", url: "https://127.0.0.1:5443/hello.git" },
    { name: "staging", url: "http://127.0.0.1:5480/hello-staging.git" },
    { name: "other", url: "http://127.0.0.1:9999/foreign.git" },
    { name: "deep", url: "http://127.0.0.1:5480/a/b.git" },
  ];
  assert.deepEqual(
    appsOfRemotes(remotes, origins).map((each) => each.app),
    ["hello", "hello-staging"],
  );
  assert.deepEqual(appsOfRemotes(remotes, origins, "staging"), [{ remote: "staging", app: "hello-staging" }]);
  assert.deepEqual(appsOfRemotes(remotes, origins, "other"), []);
});

test("isolation: the class, what runs while another one comes up, and why a class cannot be had", () => {
  const choices = [
    { name: "container", refusal: null },
    { name: "gvisor", refusal: null },
  ];
  assert.deepEqual(linesOf({ isolation: "container", current: "container", choices }), ["container"]);
  assert.deepEqual(linesOf({ isolation: "gvisor", current: "container", choices }), [
    "gvisor (its current release runs as container)",
  ]);
  const none = [{ name: "gvisor", refusal: "gVisor is not installed." }];
  assert.deepEqual(linesOf({ isolation: "container", current: null, choices: none }), [
    "container",
    "gvisor cannot be had on this machine: gVisor is not installed.",
  ]);
});

const app: AppJson = {
  id: "a1",
  name: "hello",
  owner: { id: "u1", email: "me@example.com" },
  region: { name: "us" },
  stack: { name: "debian-12" },
  build_stack: { name: "debian-13" },
  acm: true,
  git_url: "",
  web_url: "http://hello.localhost/",
  repo_size: null,
  slug_size: 2048,
  released_at: null,
};

test("apps:info: who else and which pipeline, a line for each collaborator; --shell as the official client's, not quoted", () => {
  const users = ["zoe@example.com", "me@example.com", "amy@example.com"].map((email) => ({ user: { email } }));
  const info: AppInfo = {
    addons: [],
    app,
    collaborators: users,
    dynos: [dyno("worker.1"), dyno("web.1"), dyno("web.2")],
    pipeline_coupling: { pipeline: { name: "line" }, stage: "staging" },
  };
  assert.deepEqual(formatInfo(info, "http://git/hello.git"), [
    "=== hello",
    "",
    "Collaborators:  amy@example.com",
    "                zoe@example.com",
    "Pipeline:       line - staging",
    "Auto Cert Mgmt: true",
    "Git URL:        http://git/hello.git",
    "Web URL:        http://hello.localhost/",
    "Repo Size:      0 B",
    "Slug Size:      2 KB",
    "Owner:          me@example.com",
    "Region:         us",
    "Dynos:          worker: 1, web: 2",
    "Stack:          debian-12 (next build will use debian-13)",
  ]);
  assert.deepEqual(shellLines(info, "http://git/hello.git"), [
    "auto_cert_mgmt=true",
    "addons=",
    "collaborators=amy@example.com,zoe@example.com",
    "pipeline=line:staging",
    "git_url=http://git/hello.git",
    "web_url=http://hello.localhost/",
    "repo_size=0 B",
    "slug_size=2 KB",
    "owner=me@example.com",
    "region=us",
    "dynos={ worker: 1, web: 2 }",
    "stack=debian-12",
  ]);
  const alone = { ...info, collaborators: [], dynos: [], pipeline_coupling: null };
  assert.doesNotMatch(formatInfo(alone, "").join("\n"), /Collaborators|Pipeline/);
  assert.match(shellLines(alone, "").join("\n"), /^collaborators=$[\s\S]*^dynos=\{\}$/m);
});
