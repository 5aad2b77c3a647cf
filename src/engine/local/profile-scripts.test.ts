import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { hasProfileScripts } from "./profile-scripts.ts";

function asked(make: (folders: { stack: string; slug: string }) => void, env: Readonly<Record<string, string>> = {}) {
  const folder = mkdtempSync(join(tmpdir(), "stator-profile-"));
  const folders = { stack: join(folder, "stack"), slug: join(folder, "slug") };
  mkdirSync(join(folders.stack, "etc/profile.d"), { recursive: true });
  mkdirSync(folders.slug);
  try {
    make(folders);
    return hasProfileScripts(folders, env);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("spec 3.1: a bash for profile scripts is needed where the slug or the stack may have any", () => {
  assert.equal(
    asked(() => {}),
    false,
  );
  assert.equal(
    asked(({ slug }) => writeFileSync(join(slug, ".profile"), "")),
    true,
  );
  assert.equal(
    asked(({ slug }) => mkdirSync(join(slug, ".profile.d"))),
    true,
  );
  assert.equal(
    asked(({ stack }) => writeFileSync(join(stack, "etc/profile.d/x.sh"), "")),
    true,
  );
});

test("a link counts by its name, wherever it leads: it means something else inside the dyno", () => {
  assert.equal(
    asked(({ slug }) => symlinkSync("/nowhere", join(slug, ".profile.d"))),
    true,
  );
});

test("with a home of its own a dyno may have a profile that only it sees", () => {
  assert.equal(
    asked(() => {}, { HOME: "/tmp" }),
    true,
  );
  assert.equal(
    asked(() => {}, { HOME: "/app" }),
    false,
  );
});
