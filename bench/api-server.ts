import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SimEngine } from "../src/engine/sim/sim-engine.ts";
import { systemClock } from "../src/lib/clock.ts";
import { openWorld } from "../test/support/api-world.ts";
import { fillApps, type Shape, superviseAlone } from "./many-apps.ts";

/**
 * The API over a real database on disk and the real supervisor, with an engine in memory: a process of its own, since it is
 * held to one processor. It is told its shape as JSON, writes where it is reached as a line of JSON, and ends with its input.
 */
async function main(shape: Shape): Promise<void> {
  await using parts = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "stator-bench-"));
  parts.defer(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "stator.db");
  const engine = new SimEngine({ clock: systemClock });
  const world = await openWorld({
    databasePath: path,
    callsPerHour: 1e9,
    checkResponses: false,
    engine: async (store) => {
      await fillApps(store, path, engine, shape);
      const supervision = await superviseAlone(store, engine);
      return {
        parts: { supervision, engine, output: async function* () {} },
        [Symbol.asyncDispose]: () => supervision[Symbol.asyncDispose](),
      };
    },
  });
  parts.use(world);
  const owner = await world.store.users.ensure("bench@example.com");
  const wanted = { userId: owner.id, description: "bench", scopes: ["global"], expiresAt: null };
  const { text: token } = await world.store.tokens.create(wanted);
  process.stdout.write(`${JSON.stringify({ url: world.url, token })}\n`);
  await new Promise((resolve) => process.stdin.on("end", resolve).resume());
}

await main(JSON.parse(process.argv[2] ?? "") as Shape);
