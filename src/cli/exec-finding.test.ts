import assert from "node:assert/strict";
import { test } from "node:test";
import { execFinding } from "./exec-finding.ts";

test("doctor names the address by which the official ps:exec comes in, or that it is turned off", async () => {
  const off = await execFinding({ address: null, hostPid: undefined, routerUid: 0 });
  assert.deepEqual([off.verdict, /off/.test(off.detail)], ["ok", true]);
  const on = await execFinding({ address: "127.91.82.200", hostPid: undefined, routerUid: 0 });
  assert.match(on.detail, /127\.91\.82\.200:80|port 80/);
});
