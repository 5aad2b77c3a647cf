import { type Input, UsageError } from "../command.ts";
import { SCRIPTS } from "../completion/scripts.ts";

export async function run({ positionals: [shell = "", ...more] }: Input): Promise<number> {
  const script = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined;
  if (script === undefined || more.length > 0)
    throw new UsageError(`Usage: stator completion ${Object.keys(SCRIPTS).join(" | ")}`);
  process.stdout.write(script);
  return 0;
}
