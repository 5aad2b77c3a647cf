import { join } from "node:path";
import { test } from "node:test";
import { run } from "../../src/lib/command.ts";

/** What `door-stage.ts` says; in a network of its own, since it needs port 80 of every address. */
test("the router and the SSH door share port 80; HAProxy is reloaded and started anew while the door stands", async () => {
  const stage = join(import.meta.dirname, "door-stage.ts");
  await run("unshare", ["--net", "--", process.execPath, stage], { timeoutMs: 60_000 });
});
