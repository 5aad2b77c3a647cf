import { mkdtempSync, rmSync } from "node:fs";
import { chmod, copyFile, readFile, writeFile } from "node:fs/promises";
import { Agent, request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { run } from "../src/lib/command.ts";
import { commit, config, type DynoJson, git, pushOk, temporaryApp, token } from "../test/e2e/harness.ts";
import { checkout } from "./instance.ts";

/** What the rows share: an app of one tiny program, and calls that note the instant of their first byte. */
export const { instance } = config;

export interface BenchApp {
  readonly name: string;
  readonly id: string;
}

/** The tiny program, made on this machine. */
export async function makeTick(): Promise<{ readonly path: string } & Disposable> {
  const folder = mkdtempSync(join(tmpdir(), "stator-bench-"));
  const path = join(folder, "tick");
  try {
    await run("gcc", ["-O2", "-static", "-s", "-o", path, join(checkout, "bench", "tick.c")]);
  } catch (cause) {
    throw new Error("bench/tick.c could not be compiled here: run bench/install-peers, which brings gcc too", {
      cause,
    });
  }
  await chmod(path, 0o755);
  return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

/** An app of the program, with no dyno; destroyed at the end of the block. */
export async function tickApp(tick: string): Promise<BenchApp & AsyncDisposable> {
  const app = await temporaryApp("bench");
  const folder = mkdtempSync(join(tmpdir(), "stator-bench-"));
  try {
    await copyFile(tick, join(folder, "tick"));
    await chmod(join(folder, "tick"), 0o755);
    await writeFile(join(folder, "Procfile"), "web: exec ./tick serve\n");
    await git(folder, ["init", "-q", "-b", "main"]);
    await commit(folder, "tick");
    await pushOk(folder, app.name);
    const { json } = await call<{ readonly id: string }>("GET", `/apps/${app.name}`);
    await scale(app.name, 0);
    await until(async () => (await dynosOf(app.name)).length === 0);
    return { name: app.name, id: json.id, [Symbol.asyncDispose]: () => app[Symbol.asyncDispose]() };
  } catch (error) {
    await app[Symbol.asyncDispose]();
    throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const agent = new Agent({ keepAlive: true, maxSockets: 4 });

export interface Called<T> {
  /** CLOCK_MONOTONIC just before the request's first byte, and when its answer was there; ns. */
  readonly began: bigint;
  readonly answered: bigint;
  readonly json: T;
}

/** A Platform API call on a connection that is kept. Throws unless it is answered with 2xx. */
export async function call<T>(method: string, path: string, body?: unknown): Promise<Called<T>> {
  const text = body === undefined ? "" : JSON.stringify(body);
  const headers = {
    Accept: "application/vnd.heroku+json; version=3",
    Authorization: `Bearer ${token()}`,
    "Content-Type": "application/json",
    "Content-Length": String(Buffer.byteLength(text)),
  };
  const { port, began, status, answer } = await ask({ port: config.apiPort, method, path, headers, text, agent });
  if (status >= 300) throw new Error(`${method} ${path} on port ${port}: ${status} ${answer}`);
  return { began, answered: process.hrtime.bigint(), json: JSON.parse(answer) as T }; // the API's own tests check shapes
}

/** One request through the router, on a connection of its own. */
export async function throughRouter(app: string): Promise<{ readonly status: number; readonly answer: string }> {
  const headers = { Host: `${app}.${config.domain}` };
  return ask({ port: config.httpPort, method: "GET", path: "/", headers, text: "", agent: undefined });
}

interface Asked {
  readonly port: number;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  readonly agent: Agent | undefined;
}

function ask({ text, agent, ...options }: Asked) {
  const began = process.hrtime.bigint();
  return new Promise<{ port: number; began: bigint; status: number; answer: string }>((resolve, reject) => {
    const outgoing = httpRequest({ host: "127.0.0.1", ...options, agent: agent ?? false, timeout: 90_000 });
    outgoing.on("timeout", () => outgoing.destroy(new Error(`no answer to ${options.method} ${options.path}`)));
    outgoing.on("error", reject);
    outgoing.on("response", (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("error", reject);
      incoming.on("end", () => {
        const answer = Buffer.concat(chunks).toString("utf8");
        resolve({ port: options.port, began, status: incoming.statusCode ?? 0, answer });
      });
    });
    outgoing.end(text);
  });
}

export function scale(app: string, quantity: number, size?: string): Promise<Called<unknown>> {
  const change = { quantity, ...(size !== undefined && { size }) };
  return call("PATCH", `/apps/${app}/formation/web`, change);
}

export async function dynosOf(app: string): Promise<readonly DynoJson[]> {
  return (await call<readonly DynoJson[]>("GET", `/apps/${app}/dynos`)).json;
}

/** Looks until it is so; throws after `timeoutMs`. */
export async function until(isSo: () => Promise<boolean> | boolean, everyMs = 50, timeoutMs = 120_000): Promise<void> {
  const limit = performance.now() + timeoutMs;
  while (!(await isSo())) {
    if (performance.now() > limit) throw new Error(`not within ${timeoutMs / 1000} s: ${String(isSo)}`);
    await pause(everyMs);
  }
}

/** What the program in a dyno said of its own beginning (ns), from the dyno's raw log; and since when it listened. */
export async function ticksOf(dynoId: string): Promise<readonly bigint[] | undefined> {
  return ticksIn(await readFile(join(instance.paths.logs, `${dynoId}.log`), "utf8").catch(() => "")); // not yet
}

export function ticksIn(text: string): readonly bigint[] | undefined {
  const [, began, bound] = /\btick (\d+)(?: (\d+))?$/m.exec(text) ?? [];
  return began === undefined ? undefined : [BigInt(began), ...(bound === undefined ? [] : [BigInt(bound)])];
}

export const msBetween = (from: bigint, to: bigint): number => Number(to - from) / 1e6;
