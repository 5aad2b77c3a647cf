import { existsSync } from "node:fs";
import type { Config } from "../config.ts";
import { aborted } from "../lib/abort.ts";
import { systemClock } from "../lib/clock.ts";
import { jsonLogger } from "../lib/logger.ts";
import { enterRole, keepProcess } from "./own-processes.ts";

const LOOK_MS = 50;

/**
 * The keeper: restarts the host process, which restarts the keeper, and the daemon. Does nothing else, so that it starts at
 * once and never fails; that the daemon is its task lets daemon and host come back side by side when both were killed.
 */
export async function runKeeper(config: Config, until: AbortSignal): Promise<void> {
  const [clock, logger] = [systemClock, jsonLogger("keeper")];
  if (!(await enterRole("keeper", config))) return logger.warn("keeper.not_needed");
  await using parts = new AsyncDisposableStack();
  parts.use(keepProcess("host", { config, clock, logger }));
  // The host process makes the folders, after each boot, that the daemon cannot make for itself.
  while (!existsSync(config.instance.paths.daemonRun) && !until.aborted)
    await clock.sleep(LOOK_MS, until).catch(() => {});
  parts.use(keepProcess("daemon", { config, clock, logger }));
  await aborted(until);
}
