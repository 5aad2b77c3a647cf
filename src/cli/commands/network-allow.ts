import { networkInterfaces } from "node:os";
import { loadConfig } from "../../config.ts";
import { blockOf } from "../../engine/local/address.ts";
import { rememberedRange } from "../../engine/local/network-range.ts";
import { changeAllowed, DESTINATIONS_MAX } from "../../host/network-allow.ts";
import { contains } from "../../model/address-block.ts";
import { type Destination, isOnInternet, METADATA_SERVICE, onInternet } from "../../model/destination.ts";
import type { Instance } from "../../model/instance.ts";
import { type Input, UsageError } from "../command.ts";
import { destinationOf, namedApp, needRoot, untilApplied } from "../network.ts";
import { action, marked, warn } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const destination = destinationOf("network:allow", input);
  needRoot("network:allow", input);
  const config = loadConfig();
  refuseInternet(destination);
  await refusePool(destination, config.instance);
  const app = await namedApp(input, config);
  const isNow = await action(
    `Allowing ${destination.text} for ${marked(app.name)}`,
    async () => {
      await changeAllowed(config.instance, app.id, (before) => withOne(before, destination));
      return untilApplied(config.instance);
    },
    (applied) => (applied ? "" : "from the platform's next start on"),
  );
  if (isNow && destination.where === METADATA_SERVICE)
    warn(`${METADATA_SERVICE} gives whoever asks the credentials of this machine, where a cloud keeps them there.`);
  return 0;
}

function withOne(before: readonly Destination[], destination: Destination): readonly Destination[] {
  if (before.some(({ text }) => text === destination.text)) return before;
  if (before.length >= DESTINATIONS_MAX)
    throw new UsageError(`The app has ${DESTINATIONS_MAX} destinations already; take one back or name a network.`, 1);
  return [...before, destination];
}

/** The host's own address is refused to dynos whatever it is. */
function refuseInternet(destination: Destination): void {
  const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  if (isOnInternet(destination) && !own.some(({ address }) => address === destination.where))
    throw new UsageError(onInternet(destination.text), 1);
}

/** A block of dynos' addresses says nothing: today's address of a dyno is another one's tomorrow. */
async function refusePool({ text, block, isExact }: Destination, instance: Instance): Promise<void> {
  const range = await rememberedRange(instance);
  if (isExact || range === undefined || !contains(blockOf(range), block)) return;
  throw new UsageError(`${text} lies among the addresses of dynos: these are allowed one by one only.`, 1);
}
