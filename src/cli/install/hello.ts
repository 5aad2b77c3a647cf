import { cp, mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Config } from "../../config.ts";
import { run } from "../../lib/command.ts";
import type { AppJson, DynoJson } from "../api.ts";
import { ApiError, type Client } from "../client.ts";
import { UsageError } from "../command.ts";
import { runLoud } from "./client-programs.ts";

/** The example app with which `up` shows that everything works. */
export const HELLO = "hello";
const UP_WITHIN_MS = 240_000;
const ROUTER_WITHIN_MS = 60_000;

/** The app; made if it is not there. */
export async function ensureHello(client: Client): Promise<AppJson> {
  try {
    return await client.get<AppJson>(`/apps/${HELLO}`);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    return client.call<AppJson>("POST", "/apps", { body: { name: HELLO } });
  }
}

/**
 * Pushes a folder to the app with git, from a temporary repository of its own. The token goes by git's environment: it is
 * neither in an argument nor in a file.
 */
export async function pushHello(client: Client, folder: string, onLine: (line: string) => void): Promise<void> {
  const repository = await mkdtemp(join(tmpdir(), "stator-hello-"));
  try {
    await cp(folder, repository, { recursive: true });
    const env = gitEnvironment(client, repository);
    await run("git", ["init", "-q", "-b", "main"], { cwd: repository, env });
    await run("git", ["add", "-A"], { cwd: repository, env });
    await run("git", ["commit", "-q", "-m", "The example app hello"], { cwd: repository, env });
    const url = `${client.platform.url}/${HELLO}.git`;
    await runLoud("git", ["push", "--force", "--", url, "HEAD:refs/heads/main"], { cwd: repository, env, onLine });
  } finally {
    await rm(repository, { recursive: true, force: true });
  }
}

function gitEnvironment(client: Client, home: string): Readonly<Record<string, string>> {
  const { url, token = "" } = client.platform;
  const header = `Authorization: Basic ${Buffer.from(`:${token}`).toString("base64")}`;
  const who = { NAME: "Stator", EMAIL: "stator@localhost", DATE: "2026-01-01T00:00:00Z" };
  const people = Object.entries(who).flatMap(([key, value]) => [
    [`GIT_AUTHOR_${key}`, value],
    [`GIT_COMMITTER_${key}`, value],
  ]);
  return {
    HOME: home,
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_TERMINAL_PROMPT: "0",
    GIT_CONFIG_COUNT: "1",
    GIT_CONFIG_KEY_0: `http.${url}/.extraHeader`,
    GIT_CONFIG_VALUE_0: header,
    ...Object.fromEntries(people),
  };
}

/** Waits until a web dyno of the app is up. Throws with what they are instead. */
export async function untilUp(client: Client): Promise<void> {
  const until = performance.now() + UP_WITHIN_MS;
  for (;;) {
    const dynos = await client.get<readonly DynoJson[]>(`/apps/${HELLO}/dynos`);
    const web = dynos.filter((dyno) => dyno.type === "web");
    if (web.some((dyno) => dyno.state === "up")) return;
    if (performance.now() > until) {
      const states = web.map((dyno) => `${dyno.name} is ${dyno.state}`).join(", ") || "there is none";
      throw new Error(`No web dyno of ${HELLO} came up (${states}); look with: stator logs -a ${HELLO}`);
    }
    await pause(150);
  }
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/**
 * One request to the app through the router, as the printed `curl` line makes it. The API may answer before HAProxy listens:
 * a connection that nobody takes is tried again.
 */
export async function requestHello(config: Config, within = ROUTER_WITHIN_MS): Promise<Answer> {
  const until = performance.now() + within;
  for (;;) {
    try {
      return await requestOnce(config);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const isRefused = error instanceof Error && "code" in error && error.code === "ECONNREFUSED";
      if (!isRefused || performance.now() > until)
        throw new UsageError(
          `The router does not answer on port ${config.httpPort}: ${why}. Whether it runs shows: stator status. Why not stands in ${config.instance.paths.processLogs}.`,
          1,
        );
      await pause(100);
    }
  }
}

function requestOnce(config: Config): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: "127.0.0.1",
        port: config.httpPort,
        path: "/",
        headers: { Host: `${HELLO}.${config.domain}` },
        agent: false,
        timeout: 60_000,
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.once("error", reject);
        incoming.once("end", () =>
          resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") }),
        );
      },
    );
    outgoing.once("timeout", () => outgoing.destroy(new Error("no answer within 60 s")));
    outgoing.once("error", reject);
    outgoing.end();
  });
}
