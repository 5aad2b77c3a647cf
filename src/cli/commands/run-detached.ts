import { setTimeout as pause } from "node:timers/promises";
import type { DynoExitJson, DynoJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { ApiError, Client, UnreachableError } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { readLog } from "../log-stream.ts";
import { commandOf, createDyno } from "../one-off.ts";
import { action, marked, print, warn } from "../output.ts";

export async function run(input: Input): Promise<number> {
  if (input.has("tail") && input.has("wait"))
    throw new UsageError("--tail and --wait cannot be given together; stator run shows the output and waits.");
  const client = new Client();
  const command = commandOf(input.positionals);
  const app = await appOf(input, client.platform);
  const dyno = await action(
    `Running ${command} on ${marked(app)}`,
    () => createDyno(client, app, input, { attach: false, terminal: false }),
    (made) => made.name,
  );
  if (input.has("wait")) return exitStatusOf(client, app, dyno);
  if (!input.has("tail")) {
    print(`Run stator logs --app ${app} --dyno ${dyno.name} to view the output.`);
    return 0;
  }
  const interrupted = new AbortController();
  process.once("SIGINT", () => interrupted.abort());
  await readLog(client, app, { dyno: dyno.name, tail: true }, print, interrupted.signal);
  return 0;
}

const WAIT_S = 30;
const PAUSE_MS = 2_000;
/** The platform may be restarted meanwhile; the dyno goes on. */
const FAILURES_MAX = 60;

/** 1 where nobody saw it end. */
async function exitStatusOf(client: Client, app: string, { id, name }: DynoJson): Promise<number> {
  for (let failures = 0; ; ) {
    const since = performance.now();
    try {
      const exit = await client.get<DynoExitJson>(`/apps/${app}/dynos/${id}/exit?wait=${WAIT_S}`);
      failures = 0;
      if (exit.exit_status !== null) return exit.exit_status;
      if (exit.ended_at !== null) {
        warn(`${name} has ended, and nobody saw with which status.`);
        return 1;
      }
    } catch (error) {
      if (!mayPass(error) || ++failures > FAILURES_MAX) throw error;
    }
    if (performance.now() - since < PAUSE_MS) await pause(PAUSE_MS);
  }
}

function mayPass(error: unknown): boolean {
  return (
    error instanceof UnreachableError || (error instanceof ApiError && (error.status >= 500 || error.status === 429))
  );
}
