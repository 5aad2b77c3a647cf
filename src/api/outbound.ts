import type { App } from "../model/app.ts";
import type { DrainTarget } from "../model/drain-url.ts";
import { PlatformError } from "../model/errors.ts";
import { programOf } from "../model/instance.ts";
import { refusalText } from "../model/refusal.ts";
import { Refused } from "../outbound/outbound.ts";
import type { ApiContext } from "./context.ts";

/**
 * Throws `invalid_params` when the URL names an address that is refused to the app (a private one, say), with the command that
 * allows it. A name is not asked about: it is judged each time that it is connected to.
 */
export async function refuseUnreachable(
  { outbound, config }: Pick<ApiContext, "outbound" | "config">,
  app: App,
  { host, port }: DrainTarget,
): Promise<void> {
  if (await outbound.mayReach(app.id, host, port)) return;
  const { destination } = new Refused(host, port);
  const program = programOf(config.instance);
  const text = refusalText({ destination, protocol: "tcp", byOwner: false, appName: app.name, program });
  throw new PlatformError("invalid_params", `Url is invalid. ${text}`);
}
