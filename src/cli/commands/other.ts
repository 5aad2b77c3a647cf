import { ended, start } from "../../lib/command.ts";
import { officialEnvironment } from "../official.ts";
import { note } from "../output.ts";
import { choosePlatform } from "../platform.ts";
import { programNamed } from "../programs.ts";

/** A word that is no command of ours goes to the official CLI, pointed at this platform. */
export async function runOfficial(args: readonly string[]): Promise<number> {
  const program = programNamed("heroku");
  if (program === undefined) {
    note(
      ` ›   Error: stator has no command ${args[0]}, and the official heroku CLI, which may know it, is not installed: npm install -g heroku`,
    );
    return 127;
  }
  const own = Object.entries(process.env).filter((pair): pair is [string, string] => pair[1] !== undefined);
  const env = { ...Object.fromEntries(own), ...(await officialEnvironment(choosePlatform())) };
  const child = start(program, args, { env, cwd: process.cwd(), stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => {}); // its own to handle
  const { code } = await ended(child, program);
  return code ?? 1;
}
