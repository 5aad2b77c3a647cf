import { loadConfig } from "../../config.ts";
import { programOf } from "../../model/instance.ts";
import { type Input, UsageError } from "../command.ts";
import { untilReady } from "../install/finish.ts";
import { currentProgram, layoutOf, ownRoot } from "../install/layout.ts";
import { Progress } from "../install/progress.ts";
import { serviceOf } from "../install/service.ts";
import { renewStacks } from "../install/stacks.ts";
import { needRoot } from "../network.ts";

/**
 * Builds the stacks anew and has the host process mount them, by a restart that dynos and router do not notice. Every dyno has
 * the new one from its next start on (spec 4.3).
 */
export async function run(input: Input): Promise<number> {
  needRoot("stack:update", input);
  const config = loadConfig();
  const { instance } = config;
  const program = currentProgram(layoutOf(instance));
  if (program === undefined) throw new UsageError("The platform is not installed here. Type: sudo stator up", 1);
  if (program !== ownRoot)
    // its recipe is what the host process looks for
    throw new UsageError(`This is for the installed program: type sudo ${programOf(instance)} stack:update`, 1);
  const progress = new Progress((text) => process.stderr.write(text), process.stderr.isTTY === true);
  await renewStacks(instance, progress);
  await progress.step("Restarting the platform", async () => {
    await serviceOf(instance).start(program, { restart: true });
    await untilReady(config);
  });
  progress.say(
    "Dynos that run keep what they have; each takes the new stack at its next start: stator ps:restart -a APP",
  );
  return 0;
}
