import { loadConfig } from "../../config.ts";
import { type Input, UsageError } from "../command.ts";
import { Progress } from "../install/progress.ts";
import { removeInstance } from "../install/removal.ts";
import { warn } from "../output.ts";
import { ask } from "../prompt.ts";

export async function run(input: Input): Promise<number> {
  if (process.getuid?.() !== 0) throw new UsageError("This needs root: type sudo stator uninstall", 1);
  const { instance } = loadConfig();
  if (!input.has("yes")) {
    warn(`This removes the platform of ${instance.home} with all its apps, releases, config vars and logs.`);
    const answer = await ask("To proceed, type uninstall: ");
    if (answer !== "uninstall") throw new UsageError("Aborted; nothing was removed.", 1);
  }
  const progress = new Progress((text) => process.stderr.write(text), process.stderr.isTTY === true);
  await removeInstance(instance, progress);
  progress.say("Stator is gone from this machine. The distribution's packages that `up` installed stay.");
  return 0;
}
