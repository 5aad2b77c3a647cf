import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSshKey } from "./ssh-key.ts";

const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFq5rGQ9SyTbGUWHrWAGsyqP4dHKn9YSVf9WW8ZkSXHv";

test("a line of a .pub file: its comment, and its fingerprint as ssh-keygen -E md5 gives it", () => {
  const key = parseSshKey(`${KEY} me@laptop with blanks\n`);
  assert.equal(key?.text, `${KEY} me@laptop with blanks`);
  assert.equal(key?.comment, "me@laptop with blanks");
  assert.match(key?.fingerprint ?? "", /^([0-9a-f]{2}:){15}[0-9a-f]{2}$/);
  assert.equal(parseSshKey(KEY)?.comment, "");
  assert.equal(parseSshKey(KEY)?.fingerprint, key?.fingerprint);
});

test("what is no public key is none", () => {
  for (const bad of [
    "",
    "ssh-rsa x",
    KEY.replace("ssh-ed25519 ", "ssh-rsa "),
    KEY.replace("ssh-ed25519 ", "ssh-dss "),
    `${KEY} a\n${KEY} b`,
    `command="sh" ${KEY}`,
    `${KEY}\0`,
    "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----",
    `ssh-rsa ${"A".repeat(20_000)}`,
  ])
    assert.equal(parseSshKey(bad), undefined, bad.slice(0, 60));
  assert.equal(parseSshKey(`${KEY} bell\u0007`)?.comment, "bell");
});
