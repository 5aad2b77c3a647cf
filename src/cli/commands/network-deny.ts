import { loadConfig } from "../../config.ts";
import { changeAllowed } from "../../host/network-allow.ts";
import type { Destination } from "../../model/destination.ts";
import { type Input, UsageError } from "../command.ts";
import { allowedApp, destinationOf, needRoot, untilApplied } from "../network.ts";
import { action, marked } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const destination = destinationOf("network:deny", input);
  needRoot("network:deny", input);
  const config = loadConfig();
  const app = await allowedApp(input, config);
  const without = (before: readonly Destination[]): readonly Destination[] => {
    const after = before.filter(({ text }) => text !== destination.text);
    if (after.length < before.length) return after;
    const others = before.length === 0 ? "nothing" : before.map(({ text }) => text).join(", ");
    throw new UsageError(`${destination.text} was not allowed for ${app.name}; what was: ${others}.`, 1);
  };
  await action(
    `Denying ${destination.text} for ${marked(app.name)}`,
    async () => {
      await changeAllowed(config.instance, app.id, without);
      return untilApplied(config.instance);
    },
    (applied) => (applied ? "" : "from the platform's next start on"),
  );
  return 0;
}
