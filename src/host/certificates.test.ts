import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { makeAuthority, makeServerCertificate } from "./certificates.ts";

test("a server's certificate is the authority's, for exactly the names given, and cannot sign others", async () => {
  const authority = await makeAuthority("Stator abc123", Date.now());
  const pair = await makeServerCertificate(authority, ["localhost", "*.apps.example", "127.0.0.1", "::1"], Date.now());
  const [root, leaf] = [new X509Certificate(authority.certificate), new X509Certificate(pair.certificate)];
  assert.ok(leaf.verify(root.publicKey));
  assert.ok(leaf.checkIssued(root));
  assert.ok(root.ca);
  assert.ok(!leaf.ca);
  assert.ok(leaf.checkPrivateKey(createPrivateKey(pair.key)));
  assert.equal(leaf.checkHost("x.apps.example"), "*.apps.example");
  assert.equal(leaf.checkHost("other.example"), undefined);
  assert.ok(leaf.checkIP("127.0.0.1"));
  assert.ok(leaf.checkIP("::1"));
  assert.ok(Date.parse(leaf.validTo) - Date.now() > 300 * 86_400_000);
});
