import { loadConfig } from "../../config.ts";
import { gvisorRefusal } from "../../engine/local/gvisor.ts";
import { runscVersion } from "../../engine/local/isolations.ts";
import { tryRuntime } from "../../engine/local/probe-trial.ts";
import { type Input, UsageError } from "../command.ts";
import { installRunsc } from "../install/gvisor.ts";
import { needRoot } from "../network.ts";
import { action, note, print } from "../output.ts";

/** Brings what the isolation class `gvisor` needs, and tries it. The host process sees by itself that it is there. */
export async function run(input: Input): Promise<number> {
  needRoot("isolation:install", input);
  const { instance } = loadConfig();
  const refusal = async (trialError: string | null) =>
    gvisorRefusal({ architecture: process.arch, version: await runscVersion(), trialError });
  if (process.arch !== "x64") throw new UsageError((await refusal(null)) ?? "", 1);
  if ((await refusal(null)) === null) note("runsc is installed already.");
  else await action("Installing runsc", () => installRunsc(() => {}));
  const { error } = await action("Trying it", () => tryRuntime("runsc", instance));
  const still = await refusal(error);
  if (still !== null) throw new UsageError(still, 1);
  print("Apps may ask for it now: stator isolation gvisor -a APP");
  return 0;
}
