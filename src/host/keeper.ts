import type { Config } from "../config.ts";
import { aborted } from "../lib/abort.ts";
import { systemClock } from "../lib/clock.ts";
import { jsonLogger } from "../lib/logger.ts";
import { enterRole, keepProcess } from "./own-processes.ts";

/** The keeper: restarts the host process, which restarts the keeper and the daemon. Does nothing else, so that it never fails. */
export async function runKeeper(config: Config, until: AbortSignal): Promise<void> {
  const logger = jsonLogger("keeper");
  if (!(await enterRole("keeper", config))) return logger.warn("keeper.not_needed");
  await using _host = keepProcess("host", { config, clock: systemClock, logger });
  await aborted(until);
}
