import { loadConfig } from "../../config.ts";
import { stopAll } from "../../engine/local/clean.ts";
import { type Input, UsageError } from "../command.ts";
import { processesOf } from "../install/processes.ts";
import { Progress } from "../install/progress.ts";
import { endProcesses, serviceOf } from "../install/service.ts";
import { cgroupParentOf } from "../install/units.ts";

/** As for every stop of a dyno (spec 3.3). */
const GRACE_MS = 30_000;

/** Stops the platform; what should run is remembered, so that `up` brings all back. */
export async function run(input: Input): Promise<number> {
  if (process.getuid?.() !== 0) throw new UsageError("This needs root: type sudo stator down", 1);
  const { instance } = loadConfig();
  const progress = new Progress((text) => process.stderr.write(text), process.stderr.isTTY === true);
  await progress.step("Stopping the platform", () => serviceOf(instance).stop());
  if (input.has("keep-dynos")) {
    progress.say("Dynos and router go on; `stator up` takes them over.");
    return 0;
  }
  await progress.step("Stopping the router", () => endProcesses(instance, ["router", "router-worker"]));
  await progress.step("Stopping all dynos", () =>
    stopAll(instance, GRACE_MS, { cgroupParent: cgroupParentOf(instance) }),
  );
  const left = processesOf(instance);
  if (left.length > 0)
    throw new UsageError(`Still there: ${left.map((each) => `${each.role} ${each.pid}`).join(", ")}`, 1);
  progress.say("All is stopped; `stator up` brings it back as it was.");
  return 0;
}
