import { appOf } from "../app-name.ts";
import { type ChecksJson, whichCheck } from "../checks.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { action, marked, note } from "../output.ts";

/** All that was set: what app.json says holds again. One kind, or `--none`: no checks, whatever app.json says. */
export async function run(input: Input): Promise<number> {
  const { type, kind } = whichCheck(input, "checks:clear TYPE [startup|readiness|liveness]");
  const client = new Client();
  const app = await appOf(input, client.platform);
  const path = `/apps/${app}/formation/${encodeURIComponent(type)}/health-checks`;
  const what = kind === undefined ? "health checks" : `${kind} check`;
  const left = await action(`Clearing the ${what} of ${type} on ${marked(app)}`, async () => {
    if (kind === undefined && !input.has("none")) return client.call<ChecksJson>("DELETE", path);
    const { checks } = await client.get<ChecksJson>(path);
    const others = kind === undefined ? [] : checks.filter((each) => each.type !== kind);
    return client.call<ChecksJson>("PUT", path, { body: { checks: others } });
  });
  note(
    left.source === "app.json"
      ? `Those of app.json hold again for dynos that start from now on; for those that run after stator ps:restart ${type}`
      : `Dynos that start from now on are without; those that run after stator ps:restart ${type}`,
  );
  return 0;
}
