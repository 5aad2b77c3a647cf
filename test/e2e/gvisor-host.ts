import assert from "node:assert/strict";
import { installRunsc } from "../../src/cli/install/gvisor.ts";
import { gvisorRefusal } from "../../src/engine/local/gvisor.ts";
import { runscVersion } from "../../src/engine/local/isolations.ts";

/** Installs gVisor on this machine as `stator isolation:install` does, where it is not there. The tests of its class need it. */
export async function needGvisor(): Promise<void> {
  const refusal = async () =>
    gvisorRefusal({ architecture: process.arch, version: await runscVersion(), trialError: null });
  if ((await refusal()) !== null) await installRunsc(() => {});
  assert.equal(await refusal(), null);
}
