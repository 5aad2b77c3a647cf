import assert from "node:assert/strict";
import { test } from "node:test";
import { exportsOf } from "./commands/env.ts";
import { gitConfig, isAccepted } from "./official.ts";

test("platform-api 1.1: only hosts that the official CLI sends the token to", () => {
  assert.equal(isAccepted("http://127.0.0.1:5480"), true);
  assert.equal(isAccepted("http://localhost:1"), true);
  for (const url of ["https://api.localhost:5443", "https://127.0.0.1.example.org", "https://example.org"]) {
    assert.equal(isAccepted(url), false, url);
  }
});

test("exports can be evaluated by a shell", () => {
  assert.deepEqual(exportsOf({ A: "x y", B: "1" }), ["export A='x y'", "export B=1"]);
});

test("settings for git go beside those that are there, and twice is once", () => {
  const pair = ["http.https://127.0.0.1:5443/.sslCAInfo", "/ca.pem"] as const;
  const before = { GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "user.name", GIT_CONFIG_VALUE_0: "me" };
  const added = gitConfig(before, [pair]);
  assert.deepEqual(added, { GIT_CONFIG_COUNT: "2", GIT_CONFIG_KEY_1: pair[0], GIT_CONFIG_VALUE_1: pair[1] });
  assert.deepEqual(gitConfig({ ...before, ...added }, [pair]), { GIT_CONFIG_COUNT: "2" });
});
