import assert from "node:assert/strict";
import { test } from "node:test";
import { projectsOf } from "./project-store.ts";

test("the helper's answer names each folder with its project and what is in it", () => {
  assert.deepEqual(projectsOf("dyno-7a:1000:4096:1 repo-b:1001:1015275520:12"), [
    { name: "dyno-7a", id: 1000, bytes: 4096 },
    { name: "repo-b", id: 1001, bytes: 1_015_275_520 },
  ]);
  assert.deepEqual(projectsOf(""), []);
});
