import { loadConfig } from "../../config.ts";
import { createToken } from "../admin.ts";
import { type Input, UsageError } from "../command.ts";
import { json, print } from "../output.ts";
import { choosePlatform } from "../platform.ts";

export async function run(input: Input): Promise<number> {
  const platform = choosePlatform();
  const email = input.text("email");
  if (!input.has("new") && email === undefined) {
    if (platform.token === undefined)
      throw new UsageError("You have no token yet. On the platform's machine, `sudo stator token --new` makes one.", 1);
    tell(platform.token, input);
    return 0;
  }
  if (process.getuid?.() !== 0) throw new UsageError("Only root makes tokens: sudo stator token --new", 1);
  const description = input.text("description") ?? "made by stator token";
  const made = await createToken(loadConfig().instance, { description, ...(email !== undefined && { email }) });
  tell(made.token, input);
  return 0;
}

function tell(token: string, input: Input): void {
  if (input.has("json")) json({ token });
  else print(token);
}
