import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ended, run as runProgram, start } from "../lib/command.ts";
import { encodeFrame, FRAME, FrameReader } from "./frames.ts";

/** The whole program as people call it, against a server that answers as the API does (platform-api 4). */
const TOKEN = "HRKU-test";
const home = mkdtempSync(join(tmpdir(), "stator-cli-"));
const asked: { readonly line: string; readonly body: string; readonly headers: IncomingMessage["headers"] }[] = [];
let server: Server;
let url = "";

const when = "2026-01-02T03:04:05Z";
const dyno = (name: string, command: string) => ({
  id: name,
  name,
  type: name.split(".")[0],
  command,
  size: "Basic",
  state: "up",
  updated_at: when,
  attach_url: null,
  release: { version: 3 },
});
const app = {
  id: "id",
  name: "hello",
  web_url: "http://hello.localhost/",
  owner: { email: "me@example.com" },
  region: { name: "us" },
};
const release = (version: number) => ({
  id: `r${version}`,
  version,
  description: `Deploy ${version}`,
  status: "succeeded",
  current: version === 5,
  created_at: when,
  slug: { id: "s" },
  user: { email: "me@example.com" },
});

const answers: Readonly<Record<string, (body: string) => unknown>> = {
  "GET /account": () => ({ email: "me@example.com" }),
  "GET /users/~/apps": () => [{ ...app, name: "zeta" }, app],
  "POST /apps": (body) => ({ ...app, ...(JSON.parse(body) as object) }),
  "GET /apps/hello": () => app,
  "DELETE /apps/id": () => app,
  "GET /apps/hello/dynos": () => [dyno("web.1", "npm start")],
  "PATCH /apps/hello/formation": () => [
    { type: "web", quantity: 2, size: "Basic" },
    { type: "worker", quantity: 0, size: "Basic" },
  ],
  "DELETE /apps/hello/dynos": () => ({}),
  "DELETE /apps/hello/dynos/web.1": () => ({}),
  "POST /apps/hello/dynos/web.1": () => ({
    ...dyno("web.1", "npm start"),
    attach_url: "rendezvous://localhost/broken",
  }),
  "DELETE /apps/hello/formations/web": () => ({}),
  "POST /apps/hello/formations/web/actions/stop": () => ({}),
  "GET /apps/hello/config-vars": () => ({ B: "it's", A: "1" }),
  "PATCH /apps/hello/config-vars": () => ({ A: "1" }),
  "GET /apps/hello/releases": () => [release(5), release(4)],
  "GET /apps/hello/releases/3": () => release(3),
  "POST /apps/hello/releases": () => release(6),
  "POST /apps/hello/dynos": (body) => ({
    ...dyno("run.7", (JSON.parse(body) as { command: string }).command),
    attach_url: "rendezvous://127.0.0.1:1/secret",
  }),
  "POST /apps/hello/log-sessions": () => ({ logplex_url: `${url}/stator/logs/session` }),
};

before(async () => {
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const line = `${request.method} ${request.url}`;
      const body = Buffer.concat(chunks).toString("utf8");
      asked.push({ line, body, headers: request.headers });
      if (line === "GET /stator/logs/session") {
        response.writeHead(200, { "Content-Type": "text/event-stream" });
        response.end("id: 1\ndata: first\n\n: keep-alive\n\nid: 2\ndata: second: x\n\n");
        return;
      }
      const answer = answers[line];
      const authorised = request.headers.authorization === `Bearer ${TOKEN}`;
      const [status, value] = !authorised
        ? [401, { id: "unauthorized", message: "Invalid credentials provided." }]
        : answer === undefined
          ? [404, { id: "not_found", resource: "app", message: "Couldn't find that app." }]
          : [200, answer(body)];
      response.writeHead(status as number, { "Content-Type": "application/json" });
      response.end(JSON.stringify(value));
    });
  });
  // The attached dyno: says what it got, then ends with 3.
  server.on("upgrade", (request, socket) => {
    asked.push({ line: `${request.method} ${request.url}`, body: "", headers: request.headers });
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: stator-attach\r\n\r\n");
    if (request.url === "/stator/attach/broken") return void socket.end(encodeFrame(FRAME.data, "half"));
    const reader = new FrameReader();
    const input: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => {
      for (const { type, body } of reader.push(chunk)) {
        if (type === FRAME.data) input.push(body);
        if (type !== FRAME.endOfInput) continue;
        socket.write(encodeFrame(FRAME.data, `got ${Buffer.concat(input).toString("utf8")}`));
        socket.end(encodeFrame(FRAME.exit, JSON.stringify({ status: 3 })));
      }
    });
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => {
  server.close();
  server.closeAllConnections();
  rmSync(home, { recursive: true, force: true });
});

interface Call {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly cwd?: string;
}

async function stator(args: readonly string[], { env, input, cwd }: Call = {}) {
  const child = start(process.execPath, [join(import.meta.dirname, "main.ts"), ...args], {
    env: { HOME: home, NODE_COMPILE_CACHE: join(home, "cache"), STATOR_URL: url, STATOR_TOKEN: TOKEN, ...env },
    cwd: cwd ?? home,
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin?.on("error", () => {}); // it may not read
  child.stdin?.end(input ?? "");
  const texts = { stdout: "", stderr: "" };
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (texts.stdout += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (texts.stderr += text));
  return { code: (await ended(child, "stator")).code, ...texts };
}

const lastAsked = (line: string) => asked.findLast((each) => each.line === line);

test("decision 22: compiled code is kept in a person's own folder, and root's in no home that may be somebody else's", async () => {
  const person = mkdtempSync(join(tmpdir(), "stator-person-"));
  try {
    const child = start(join(import.meta.dirname, "..", "..", "bin", "stator"), ["--version"], {
      env: { HOME: person },
    });
    assert.equal((await ended(child, "stator")).code, 0);
    assert.equal(existsSync(join(person, ".cache", "stator")), process.getuid?.() !== 0);
  } finally {
    rmSync(person, { recursive: true, force: true });
  }
});

test("lists, and what is being done, go to different streams", async () => {
  assert.deepEqual(await stator(["apps"]), {
    code: 0,
    stdout: "=== me@example.com Apps\n\nhello\nzeta\n",
    stderr: "",
  });
  const scaled = await stator(["ps:scale", "web+1", "-a", "hello"]);
  assert.deepEqual(scaled, { code: 0, stdout: "", stderr: "Scaling dynos... done, now running web at 2:Basic\n" });
  assert.deepEqual(JSON.parse(lastAsked("PATCH /apps/hello/formation")?.body ?? ""), {
    updates: [{ type: "web", quantity: "+1" }],
  });
});

test("restart and stop, by word and by flag", async () => {
  const { stderr } = await stator(["restart", "-a", "hello"]);
  assert.equal(stderr, "Restarting all dynos on hello... done\n");
  assert.equal(
    (await stator(["ps:restart", "web.1", "-a", "hello"])).stderr,
    "Restarting dyno web.1 on hello... done\n",
  );
  assert.equal(
    (await stator(["ps:restart", "-p", "web", "-a", "hello"])).stderr,
    "Restarting all web dynos on hello... done\n",
  );
  assert.equal((await stator(["ps:stop", "-p", "web", "-a", "hello"])).code, 0);
  assert.equal((await stator(["ps:stop", "-a", "hello"])).code, 2);
});

test("config vars: shown, quoted, set in one call, unset", async () => {
  assert.equal((await stator(["config", "-a", "hello"])).stdout, "=== hello Config Vars\n\nA: 1\nB: it's\n");
  assert.equal((await stator(["config", "-s", "-a", "hello"])).stdout, `A=1\nB="it's"\n`);
  assert.equal((await stator(["config:get", "B", "MISSING", "constructor", "-a", "hello"])).stdout, "it's\n\n\n");
  const set = await stator(["config:set", "A=1", "-a", "hello"]);
  assert.deepEqual([set.stderr, set.stdout], ["Setting A and restarting hello... done, v5\n", "A: 1\n"]);
  await stator(["config:unset", "A", "-a", "hello"]);
  assert.equal(lastAsked("PATCH /apps/hello/config-vars")?.body, '{"A":null}');
});

test("rollback goes to the second eligible release, or to the one named", async () => {
  const back = await stator(["rollback", "-a", "hello"]);
  assert.match(back.stderr, /^Rolling back hello to v4\.\.\. done, v6\n/);
  assert.equal(lastAsked("POST /apps/hello/releases")?.body, '{"release":"r4"}');
  await stator(["rollback", "v3", "-a", "hello"]);
  assert.equal(lastAsked("POST /apps/hello/releases")?.body, '{"release":"r3"}');
});

test("run: what is piped in arrives, output is output alone, and the dyno's status is ours", async () => {
  const ran = await stator(["run", "-a", "hello", "--", "cat", "a b"], { input: "typed" });
  assert.deepEqual(ran, { code: 3, stdout: "got typed", stderr: 'Running cat "a b" on hello... up, run.7\n' });
  const {
    command,
    attach,
    force_no_tty: plain,
  } = JSON.parse(lastAsked("POST /apps/hello/dynos")?.body ?? "") as Record<string, unknown>;
  assert.deepEqual({ command, attach, plain }, { command: 'cat "a b"', attach: true, plain: true });
  assert.equal(lastAsked("GET /stator/attach/secret")?.headers["upgrade"], "stator-attach");
});

test("a session whose connection breaks: a sentence and 255; of a file that was copied nothing stays", async () => {
  const lost = " ›   Error: The connection to the platform was lost, and the session has ended with it.\n";
  const entered = await stator(["ps:exec", "-a", "hello", "--", "cat"]);
  assert.deepEqual(entered, { code: 255, stdout: "half", stderr: `Connecting to web.1 on hello... done\n${lost}` });
  const copied = await stator(["ps:copy", "file", "-o", "copy", "-a", "hello"]);
  assert.deepEqual([copied.code, copied.stderr.endsWith(lost)], [255, true], copied.stderr);
  assert.equal(existsSync(join(home, "copy")), false);
});

test("logs prints the lines of the stream and nothing else of it", async () => {
  assert.deepEqual(await stator(["logs", "-a", "hello", "-n", "2"]), {
    code: 0,
    stdout: "first\nsecond: x\n",
    stderr: "",
  });
  assert.equal(lastAsked("POST /apps/hello/log-sessions")?.body, '{"lines":2,"tail":false}');
});

test("errors: a sentence on standard error; 2 from the API and for wrong words, 1 without a token or an answer", async () => {
  const unknown = await stator(["info", "-a", "nothing"]);
  assert.deepEqual([unknown.code, unknown.stdout], [2, ""]);
  assert.match(unknown.stderr, /Couldn't find that app\.[\s\S]*Error ID: not_found/);
  assert.equal((await stator(["ps", "--nonsense"])).code, 2);
  assert.equal((await stator(["ps"])).code, 2, "no app");
  assert.equal((await stator(["ps", "-a", "../account"])).code, 2, "no path as an app");
  const refused = await stator(["apps"], { env: { STATOR_TOKEN: "wrong" } });
  assert.deepEqual([refused.code, /stator login/.test(refused.stderr)], [1, true]);
  const silent = await stator(["apps"], { env: { STATOR_URL: "http://127.0.0.1:1" } });
  assert.deepEqual([silent.code, /No answer from the platform/.test(silent.stderr)], [1, true]);
  const destroy = await stator(["destroy", "hello"]);
  assert.deepEqual([destroy.code, /--confirm hello/.test(destroy.stderr)], [1, true]);
  assert.equal((await stator(["destroy", "hello", "--confirm", "other"])).code, 1);
  assert.equal((await stator(["destroy", "hello", "--confirm", "hello"])).code, 0);
});

test("a word that nobody knows says how to get the official CLI; one that is there is run with our environment", async () => {
  const missing = await stator(["pg:info"], { env: { PATH: "/nonexistent" } });
  assert.deepEqual([missing.code, /npm install -g heroku/.test(missing.stderr)], [127, true]);
  const folder = mkdtempSync(join(home, "bin-"));
  const print = "#!/usr/bin/perl\nprint join(' ', @ARGV, $ENV{HEROKU_HOST}, $ENV{HEROKU_API_KEY}); exit 4;\n";
  writeFileSync(join(folder, "heroku"), print, { mode: 0o755 });
  const ran = await stator(["pg:info", "-a", "x y"], { env: { PATH: folder } });
  assert.deepEqual(ran, { code: 4, stdout: `pg:info -a x y ${url} ${TOKEN}`, stderr: "" });
});

test("create makes a git remote, from which the app is known then, and git gets the token from us alone", async () => {
  const repository = mkdtempSync(join(home, "repository-"));
  const git = (...args: readonly string[]) => runProgram("git", args, { cwd: repository, env: { HOME: home } });
  await git("init", "-q");
  const made = await stator(["create", "hello"], { cwd: repository });
  assert.deepEqual(made, {
    code: 0,
    stdout: `http://hello.localhost/ | ${url}/hello.git\n`,
    stderr: `Creating hello... done\nset git remote heroku to ${url}/hello.git\n`,
  });
  assert.match((await stator(["ps"], { cwd: repository })).stdout, /web\.1: up/);
  assert.equal((await stator(["ps"], { cwd: repository, env: { STATOR_URL: "http://127.0.0.1:1" } })).code, 2);
  const helper = (await git("config", "--get-all", `credential.${url}.helper`)).stdout.trim();
  assert.match(helper, /stator git:credentials$/);
  const credentials = (host: string) =>
    stator(["git:credentials", "get"], { input: `protocol=http\nhost=${host}\n\n` });
  assert.equal((await credentials(new URL(url).host)).stdout, `username=stator\npassword=${TOKEN}\n`);
  assert.equal((await credentials("example.org")).stdout, "");
  assert.doesNotMatch(readFileSync(join(repository, ".git", "config"), "utf8"), new RegExp(TOKEN));
});

test("login keeps the token with mode 0600 and makes the platform the default; a wrong token is not kept", async () => {
  const own = mkdtempSync(join(home, "person-"));
  const env = { HOME: own, STATOR_URL: "", STATOR_TOKEN: "" };
  assert.equal((await stator(["login", url], { env, input: "wrong\n" })).code, 1);
  const done = await stator(["login", url], { env, input: `${TOKEN}\n` });
  assert.deepEqual([done.code, done.stdout], [0, ""]);
  assert.match(done.stderr, /Logged in to \S+ as me@example\.com/);
  assert.equal(statSync(join(own, ".config", "stator", "credentials.json")).mode & 0o777, 0o600);
  assert.match((await stator(["apps"], { env })).stdout, /hello/);
  assert.equal((await stator(["token"], { env })).stdout, `${TOKEN}\n`);
});
