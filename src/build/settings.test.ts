import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { networkEnvironment, readBuildSettings } from "./settings.ts";

test("builds get the machine's registry, proxies and CA, both spellings, and nothing that is not set", () => {
  assert.deepEqual(networkEnvironment({}), {});
  assert.deepEqual(networkEnvironment({ registry: null, proxy: { http: null, https: "", no: null }, ca: false }), {});
  assert.deepEqual(
    networkEnvironment({
      registry: "http://registry.test/",
      proxy: { https: "http://proxy.test:3128", no: "a,b" },
      ca: true,
    }),
    {
      npm_config_registry: "http://registry.test/",
      https_proxy: "http://proxy.test:3128",
      HTTPS_PROXY: "http://proxy.test:3128",
      no_proxy: "a,b",
      NO_PROXY: "a,b",
      NODE_EXTRA_CA_CERTS: "/etc/stator/ca.pem",
      SSL_CERT_FILE: "/etc/stator/ca.pem",
      GIT_SSL_CAINFO: "/etc/stator/ca.pem",
    },
  );
});

test("settings with credentials, or of another shape, are refused; none at all are fine", async () => {
  const home = mkdtempSync(join(tmpdir(), "stator-settings-"));
  try {
    assert.deepEqual(await readBuildSettings(home), {});
    for (const wrong of [{ registry: "http://user:pass@registry.test/" }, { registry: 1 }, { proxy: "x" }, []]) {
      writeFileSync(join(home, "build-settings.json"), JSON.stringify(wrong));
      await assert.rejects(readBuildSettings(home), /run it again/, JSON.stringify(wrong));
    }
  } finally {
    rmSync(home, { recursive: true });
  }
});
