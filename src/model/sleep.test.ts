import assert from "node:assert/strict";
import { test } from "node:test";
import { sleepAfterMs } from "./sleep.ts";

test("spec 10.3: Eco apps sleep after half an hour, others when they say so; none without web dynos", () => {
  const row = (type: string, size: string, quantity = 1) => ({ type, size, quantity });
  const after = (sleepAfterMinutes: number | null, ...rows: ReturnType<typeof row>[]) =>
    sleepAfterMs({ sleepAfterMinutes }, rows);
  assert.equal(after(null, row("web", "Eco"), row("worker", "Eco")), 1_800_000);
  assert.equal(after(null, row("web", "Eco"), row("worker", "Basic")), null);
  assert.equal(after(null, row("web", "Eco"), row("worker", "Basic", 0)), 1_800_000);
  assert.equal(after(null, row("web", "Basic")), null);
  assert.equal(after(0, row("web", "Eco")), null);
  assert.equal(after(7, row("web", "Performance-L")), 420_000);
  assert.equal(after(7, row("worker", "Eco")), null);
  assert.equal(after(7, row("web", "Eco", 0), row("worker", "Eco")), null);
});
