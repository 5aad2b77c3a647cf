import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Memory, memoryNow, networksFull, ownKernelKib, processesNow } from "../../../bench/kernel.ts";
import { config, deployed, eventually, stator, statorOk, waitUp } from "../../e2e/harness.ts";

/**
 * What a further dyno costs a machine of control groups version 2, counted as `npm run bench -- density` does (docs/performance.md). Not the
 * speed, which emulation does not tell. Runs inside the machine of `npm run test:vm`.
 */
const [FEW, MANY] = [5, 45];
/** No measure of speed: the machine is emulated. */
const START_MS = 300_000;
const PSS_MIB_MAX = 0.5;
const ALL_MIB_MAX = 1.2;
const FULL_MS = 20_000;

test("density: what a further dyno costs, with what the kernel holds for it", async (context) => {
  const sizesFile = join(config.instance.home, "sizes.json");
  writeFileSync(sizesFile, JSON.stringify({ sizes: { Tiny: { memory_mb: 32 } } }), { mode: 0o644 });
  await using app = await deployed("density", { Procfile: "sleeper: exec sleep 1000000\n" });
  try {
    await eventually("the size is known", async () => {
      const { code } = await stator(["ps:scale", `sleeper=${FEW}:tiny`, "-a", app.name]);
      return code === 0;
    });
    const few = await standing(app.name, FEW);
    await statorOk(["ps:scale", `sleeper=${MANY}:tiny`, "-a", app.name]);
    const many = await standing(app.name, MANY);
    const each = (kib: number) => kib / (MANY - FEW) / 1024;
    const [pss, kernel] = [each(many.ownKib - few.ownKib), each(many.kernelKib - few.kernelKib)];
    context.diagnostic(
      `${pss.toFixed(2)} MiB PSS, ${kernel.toFixed(2)} MiB of the kernel's for each of ${MANY - FEW} dynos`,
    );
    assert.ok(pss < PSS_MIB_MAX, `${pss} MiB PSS`);
    assert.ok(pss + kernel < ALL_MIB_MAX, `${pss + kernel} MiB`);
  } finally {
    rmSync(sizesFile, { force: true });
  }
});

/** Without what the kernel holds of the users' own processes. */
async function standing(app: string, count: number): Promise<Memory> {
  await waitUp(app, "sleeper", count, START_MS);
  await networksFull(FULL_MS, START_MS);
  const { ownKib, kernelKib } = memoryNow();
  const theirs = processesNow().users.map(ownKernelKib);
  return { ownKib, kernelKib: theirs.reduce((left, kib) => left - kib, kernelKib) };
}
