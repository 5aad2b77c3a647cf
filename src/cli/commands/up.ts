import { loadConfig } from "../../config.ts";
import type { Input } from "../command.ts";
import { finishUp } from "../install/finish.ts";
import { isInstalledProgram, layoutOf } from "../install/layout.ts";
import { prepareUp } from "../install/prepare.ts";
import { Progress } from "../install/progress.ts";

/**
 * `up` in two halves: a checkout checks the machine, installs what is missing and copies itself below the folder of
 * programs; the installed, root-owned program then does all the rest. Called again it finds everything done.
 */
export async function run(input: Input): Promise<number> {
  const config = loadConfig();
  // Said now, to who can mend it: the host process would go on with what there was.
  if (config.apiCertificate !== undefined && process.getuid?.() === 0)
    await (await import("../../host/tls.ts")).ownCertificate(config);
  const quiet = input.has("quiet");
  const progress = quiet
    ? Progress.silent()
    : new Progress((text) => process.stderr.write(text), process.stderr.isTTY === true);
  if (isInstalledProgram(layoutOf(config.instance)))
    return finishUp(config, { progress, checked: input.has("installed") });
  return prepareUp(config, { progress, quiet });
}
