import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { cpSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { homedir, networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { HyperSchema } from "../../src/api/hyper-schema.ts";
import { Client } from "../../src/cli/client.ts";
import { type OwnProcess, processesOf } from "../../src/cli/install/processes.ts";
import { readLog } from "../../src/cli/log-stream.ts";
import { type Config, loadConfig } from "../../src/config.ts";
import { ended, start } from "../../src/lib/command.ts";
import { DEFAULT_HOME, type Instance, instanceOf } from "../../src/model/instance.ts";
import { answersOf } from "../support/answers.ts";

export { freePort } from "../support/free-port.ts";

/**
 * What the end-to-end tests share. They drive one instance that `test/run.ts` installed with `bin/up` from this checkout
 * (STATOR_HOME and ports in the environment), never the machine's standing one but in `test/vm`.
 */
export const checkout = join(import.meta.dirname, "..", "..");
export const config: Config = loadConfig();
export const api = `http://127.0.0.1:${config.apiPort}`;
assert.ok(
  config.instance.home !== DEFAULT_HOME || process.env["STATOR_TEST_MACHINE"] === "throw-away",
  "the end-to-end tests never touch the machine's standing instance, unless the whole machine is there for them (test/vm)",
);

const ipv6Switch = "/proc/sys/net/ipv6/conf/all/disable_ipv6";
/** Whether this machine has IPv6, and so its dynos. */
export const hasIpv6 = existsSync(ipv6Switch) && readFileSync(ipv6Switch, "utf8").trim() === "0";

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: string | Uint8Array;
  readonly timeoutMs?: number;
}

/** Runs a program to its end, whatever its status. */
export async function program(file: string, args: readonly string[], options: ProgramOptions = {}): Promise<Result> {
  const child = start(file, args, {
    env: { ...ownEnvironment(), ...options.env },
    cwd: options.cwd ?? "/",
    stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs ?? 120_000);
  child.stdin?.on("error", () => {}); // it may leave before it has read all
  child.stdin?.end(options.input);
  const texts = ["", ""];
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (texts[0] += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (texts[1] += text));
  const { code } = await ended(child, file);
  clearTimeout(timer);
  return { code, stdout: texts[0] ?? "", stderr: texts[1] ?? "" };
}

/** The native command-line program. */
export function stator(args: readonly string[], options: ProgramOptions = {}): Promise<Result> {
  return program(join(checkout, "bin", "stator"), args, options);
}

/** The same, failing the test unless it ends with 0. */
export async function statorOk(args: readonly string[], options: ProgramOptions = {}): Promise<string> {
  const result = await stator(args, options);
  assert.equal(result.code, 0, `stator ${args.join(" ")}: status ${result.code}\n${result.stdout}\n${result.stderr}`);
  return result.stdout;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export interface RequestOptions {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly timeoutMs?: number;
}

/** One request through the router to an app, on a connection of its own. Rejects if the connection breaks. */
export function throughRouter(app: string, options: RequestOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      {
        host: "127.0.0.1",
        port: config.httpPort,
        path: options.path ?? "/",
        method: options.method ?? "GET",
        headers: { Host: `${app}.${config.domain}`, ...options.headers },
        agent: false,
        timeout: options.timeoutMs ?? 90_000,
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("error", reject);
        incoming.on("end", () =>
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            body: Buffer.concat(chunks).toString("utf8"),
          }),
        );
      },
    );
    outgoing.on("timeout", () => outgoing.destroy(new Error(`no answer from ${app} in time`)));
    outgoing.on("error", reject);
    outgoing.end(options.body);
  });
}

/** Sends requests one after the other until `body` is done; gives every answer that was not 200 and every broken one. */
export async function requestsUntil(name: string, body: () => Promise<void>): Promise<readonly string[]> {
  const failures: string[] = [];
  let going = true;
  const loops = Array.from({ length: 4 }, async () => {
    while (going) {
      try {
        const answer = await throughRouter(name);
        if (answer.status !== 200) failures.push(`status ${answer.status}`);
      } catch (error) {
        failures.push(String(error));
      }
      await pause(5);
    }
  });
  try {
    await body();
  } finally {
    going = false;
    await Promise.all(loops);
  }
  if (failures.length === 0) return failures;
  const why = (await logsOf(name)).split("\n").filter((line) => / code=H\d\d/.test(line));
  return [...failures, ...why.slice(-failures.length)];
}

const POLL_MS_MIN = 50;
const POLL_MS_MAX = 300;

/** What an emulated machine (test/vm) needs more of it: there a start of ours takes a minute, not a second. */
const PATIENCE = (process.env["STATOR_TEST_SSH"] ?? process.env["STATOR_TEST_MACHINE"]) ? 4 : 1;

/** Tries until `probe` gives something, less often as time goes by, or fails with `what` after `timeoutMs`. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined | false>,
  timeoutMs = 60_000,
): Promise<T> {
  const until = performance.now() + timeoutMs * PATIENCE;
  let betweenMs = POLL_MS_MIN;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    assert.ok(performance.now() < until, `not within ${(timeoutMs * PATIENCE) / 1000} s: ${what}`);
    await pause(betweenMs);
    betweenMs = Math.min(POLL_MS_MAX, betweenMs * 1.3);
  }
}

/** An address of this machine that is not the loopback, by which somebody elsewhere would know it. */
export function ownAddress(): string {
  const found = Object.entries(networkInterfaces())
    .filter(([name]) => !name.startsWith("st"))
    .flatMap(([, all]) => all ?? [])
    .find(({ internal, family }) => !internal && family === "IPv4")?.address;
  assert.ok(found, "this machine has an address beside the loopback");
  return found;
}

/** Whether the platform answers, whatever it says. */
export async function platformAnswers(): Promise<boolean> {
  return fetch(`${api}/apps`).then(
    () => true,
    () => false,
  );
}

/** A Platform API call with the token of the person who runs the tests; throws unless it is answered with 2xx. */
export async function platform<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(`${api}${path}`, {
    method,
    headers: {
      Accept: "application/vnd.heroku+json; version=3",
      Authorization: `Bearer ${token()}`,
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  const value: unknown = JSON.parse(text);
  answers ??= fetch(`${api}/schema`).then(async (schema) => answersOf((await schema.json()) as HyperSchema));
  const objection = (await answers)(method, path, value);
  assert.equal(objection, undefined, `${method} ${path} answered ${text}`);
  return value as T; // it is what the platform's own schema says
}

let answers: Promise<ReturnType<typeof answersOf>> | undefined;

/** The token that `up` gave the person who runs the tests. */
export function token(): string {
  const path = join(process.env["HOME"] ?? homedir(), ".config", "stator", "credentials.json");
  const all = JSON.parse(readFileSync(path, "utf8")) as Record<string, { readonly token: string }>;
  const mine = all[api];
  assert.ok(mine, `${path} has no token for ${api}`);
  return mine.token;
}

/** A name that no other test uses. */
export function appName(prefix: string): string {
  return `${prefix}-${randomBytes(4).toString("hex")}`;
}

/** An app that is destroyed at the end of the block. */
export async function temporaryApp(prefix: string): Promise<{ readonly name: string } & AsyncDisposable> {
  const name = appName(prefix);
  await platform("POST", "/apps", { name });
  return {
    name,
    [Symbol.asyncDispose]: async () => {
      await platform("DELETE", `/apps/${name}`).catch(() => {}); // the test may have done so
    },
  };
}

export type Files = Readonly<Record<string, string>>;

/** A git repository with these files, or a copy of a folder of the checkout; removed at the end of the block. */
export async function temporaryRepository(content: Files | string): Promise<{ readonly folder: string } & Disposable> {
  const folder = mkdtempSync(join(tmpdir(), "stator-e2e-"));
  if (typeof content === "string") cpSync(join(checkout, content), folder, { recursive: true });
  else for (const [name, text] of Object.entries(content)) writeFileSync(join(folder, name), text);
  await git(folder, ["init", "-q", "-b", "main"]);
  await commit(folder, "first");
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

export async function commit(folder: string, message: string): Promise<void> {
  await git(folder, ["add", "-A"]);
  await git(folder, ["commit", "-q", "--allow-empty", "-m", message]);
}

export async function git(folder: string, args: readonly string[]): Promise<Result> {
  const result = await program("git", ["-C", folder, ...args], { env: gitEnvironment(), timeoutMs: 300_000 });
  assert.equal(result.code, 0, `git ${args.join(" ")}: ${result.stdout}\n${result.stderr}`);
  return result;
}

/** Pushes HEAD to the app's main; never throws for a refused push. */
export function push(folder: string, app: string, refspec = "HEAD:refs/heads/main"): Promise<Result> {
  return program("git", ["-C", folder, "push", `${api}/${app}.git`, refspec], {
    env: gitEnvironment(),
    timeoutMs: 300_000,
  });
}

export async function pushOk(folder: string, app: string, refspec?: string): Promise<string> {
  const result = await push(folder, app, refspec);
  assert.equal(result.code, 0, `push to ${app}: ${result.stderr}`);
  return result.stderr;
}

/** A deployed app of a folder of the checkout (`examples/python`) or of given files. */
export async function deployed(
  prefix: string,
  content: Files | string,
): Promise<{ readonly name: string } & AsyncDisposable> {
  const app = await temporaryApp(prefix);
  try {
    using repository = await temporaryRepository(content);
    await pushOk(repository.folder, app.name);
    return app;
  } catch (error) {
    await app[Symbol.asyncDispose]();
    throw error;
  }
}

function gitEnvironment(): Record<string, string> {
  const header = `Authorization: Basic ${Buffer.from(`:${token()}`).toString("base64")}`;
  return {
    GIT_AUTHOR_NAME: "Test",
    GIT_AUTHOR_EMAIL: "test@example.com",
    GIT_COMMITTER_NAME: "Test",
    GIT_COMMITTER_EMAIL: "test@example.com",
    GIT_TERMINAL_PROMPT: "0",
    GIT_CONFIG_COUNT: "1",
    GIT_CONFIG_KEY_0: `http.${api}/.extraHeader`,
    GIT_CONFIG_VALUE_0: header,
  };
}

/** This process's own environment, for those that it starts. */
export function ownEnvironment(): Record<string, string> {
  const all = Object.entries(process.env).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return Object.fromEntries(all);
}

/** Our processes, as `stator status` finds them. */
export async function processes(): Promise<readonly OwnProcess[]> {
  return processesOf(config.instance);
}

/** Folders with the groups of an instance's dynos: of version 2, of each hierarchy of version 1, and in the scope where systemd is. */
export function cgroupFolders({ cgroup }: Pick<Instance, "cgroup">): readonly string[] {
  return globSync(`/sys/fs/cgroup/{,*/,stator.slice/*/*/}${cgroup}`);
}

export async function pidOf(role: string): Promise<number> {
  const found = (await processes()).find((each) => each.role === role);
  assert.ok(found, `no process with role ${role}`);
  return found.pid;
}

/**
 * Ends our processes of these roles with SIGKILL. From outside of the machine in which they run (test/vm) that machine's own programs do it:
 * STATOR_TEST_SSH is then the program, and its arguments as JSON, that runs a command line there.
 */
export async function killNow(roles: readonly ("daemon" | "host" | "router")[]): Promise<void> {
  const ssh = process.env["STATOR_TEST_SSH"];
  if (ssh === undefined) {
    for (const pid of await Promise.all(roles.map(pidOf))) process.kill(pid, "SIGKILL");
    return;
  }
  const [file = "", ...args] = JSON.parse(ssh) as string[];
  const unit = `stator-${instanceOf(DEFAULT_HOME).id}`;
  const pids = {
    daemon: `$(systemctl show -p MainPID --value ${unit}.service)`,
    host: `$(systemctl show -p MainPID --value ${unit}-host.service)`,
    router: "$(pgrep -xo haproxy)", // the first one is the master
  };
  const { code, stderr } = await program(file, [...args, `kill -KILL ${roles.map((role) => pids[role]).join(" ")}`]);
  assert.equal(code, 0, stderr);
}

export interface DynoJson {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly state: string;
  readonly release: { readonly version: number };
}

export function dynosOf(app: string): Promise<readonly DynoJson[]> {
  return platform<readonly DynoJson[]>("GET", `/apps/${app}/dynos`);
}

/** Waits until exactly `count` dynos of the type are up. */
export function waitUp(app: string, type: string, count: number, timeoutMs = 60_000): Promise<readonly DynoJson[]> {
  return eventually(
    `${count} ${type} dynos of ${app} up`,
    async () => {
      const all = (await dynosOf(app)).filter((dyno) => dyno.type === type);
      return all.length === count && all.every((dyno) => dyno.state === "up") ? all : undefined;
    },
    timeoutMs,
  );
}

/** What `stator logs` prints, without a process for each look: a wait for a line has many. */
export async function logsOf(app: string, lines = 1500): Promise<string> {
  let text = "";
  await readLog(
    new Client(),
    app,
    { lines, tail: false },
    (line) => (text += `${line}\n`),
    new AbortController().signal,
  );
  return text;
}

/** Waits until the app's log holds a match, and gives the log. */
export function waitLog(app: string, pattern: RegExp, timeoutMs = 60_000): Promise<string> {
  return eventually(
    `${pattern} in the log of ${app}`,
    async () => {
      const text = await logsOf(app);
      return pattern.test(text) ? text : undefined;
    },
    timeoutMs,
  );
}
