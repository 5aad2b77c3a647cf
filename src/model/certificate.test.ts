import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { rootCertificates } from "node:tls";
import fc from "fast-check";
import { makeAuthority, makeServerCertificate } from "../host/certificates.ts";
import { unfitReason } from "./acm.ts";
import { checkPair, covers, factsOf } from "./certificate.ts";
import { PlatformError } from "./errors.ts";

const NOW = Date.UTC(2026, 10, 27);
const YEAR_MS = 365 * 86_400_000;
const authority = await makeAuthority("Test authority", NOW);
const made = await makeServerCertificate(authority, ["www.a.example", "*.b.example", "10.0.0.1"], NOW);

function refused(chain: string, key: string, message: RegExp, now = NOW): void {
  assert.throws(
    () => checkPair(chain, key, now),
    (error) => error instanceof PlatformError && error.id === "invalid_params" && message.test(error.message),
  );
}

test("a chain comes out leaf first and in one form, whatever stood around it", () => {
  const chain = `Bag Attributes\n  friendlyName: x\n${authority.certificate}\nsubject=/CN=a\r\n${made.certificate}\n\n`;
  const ec = createPrivateKey(made.key).export({ type: "sec1", format: "pem" }).toString();
  const pair = checkPair(
    chain,
    `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${ec}`,
    NOW,
  );
  const plain = checkPair(made.certificate + authority.certificate, made.key, NOW);
  assert.deepEqual([pair.chain, pair.key], [plain.chain, plain.key]);
  assert.equal(plain.given, made.certificate + authority.certificate, "only its line ends are other");
  assert.equal(pair.given, null, "there was more in it, and that may be a secret");
  assert.equal(checkPair(plain.chain, made.key, NOW).given, null);
  assert.match(pair.key, /^-----BEGIN PRIVATE KEY-----\n/);
  assert.match(pair.chain + pair.key, /^(-----BEGIN [A-Z ]+-----\n([\w+/=]{1,64}\n)+-----END [A-Z ]+-----\n){3}$/);
  const facts = factsOf(pair.chain);
  assert.deepEqual(facts.names, ["www.a.example", "*.b.example"]);
  assert.deepEqual([facts.subject, facts.issuer], ["/CN=Stator", "/CN=Test authority"]);
  assert.deepEqual([facts.isTrusted, facts.isSelfSigned], [false, false]);
  assert.ok(facts.startsAt < NOW && facts.expiresAt > NOW + 300 * 86_400_000);
  assert.equal(factsOf(authority.certificate).isSelfSigned, true);
  assert.equal(factsOf(rootCertificates[0] ?? "").isTrusted, true);
});

test("what clients could not be shown is refused, with what to do", async () => {
  const other = await makeServerCertificate(authority, ["other.example"], NOW);
  refused(
    made.certificate,
    other.key,
    /private key does not belong to the certificate of www\.a\.example, \*\.b\.example/,
  );
  refused(made.certificate, made.key, /The certificate expired on 2027-11-27/, NOW + 2 * YEAR_MS);
  refused("", made.key, /No PEM certificate found/);
  refused(made.key, made.key, /No PEM certificate found/);
  refused(made.certificate, "", /0 PEM private keys found/);
  refused(made.certificate, made.key + other.key, /2 PEM private keys found/);
  refused(
    made.certificate + other.certificate,
    made.key,
    /is no part of the chain: \/CN=Stator was issued by \/CN=Test/,
  );
  refused(made.certificate.repeat(11), made.key, /has 11 certificates: at most 10/);
  refused("x".repeat(70_000), made.key, /at most 64 kB/);
  const broken = made.certificate.replace(/[A-Za-z]{20}/, "A".repeat(20));
  refused(broken, made.key, /cannot be read|does not belong|names no host|cannot be used/);
  const key = createPrivateKey(made.key);
  const locked = key.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" }).toString();
  refused(made.certificate, locked, /has a passphrase: take it away first/);
  for (const pair of [generateKeyPairSync("rsa", { modulusLength: 1024 }), generateKeyPairSync("ed25519")]) {
    const text = pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    refused(made.certificate, text, /must be RSA of 2048 bits or more, or ECDSA/);
  }
  const address = await makeServerCertificate(authority, ["10.0.0.1"], NOW);
  refused(address.certificate, address.key, /names no host/);
});

test("whatever is sent is refused in a sentence or comes out good", () => {
  const piece = fc.oneof(
    fc.string({ unit: "binary-ascii" }),
    fc.constantFrom(
      made.certificate,
      made.key,
      authority.certificate,
      "-----BEGIN CERTIFICATE-----\n",
      "\n\nshow info\n",
    ),
  );
  const text = fc.array(piece, { maxLength: 4 }).map((pieces) => pieces.join(""));
  fc.assert(
    fc.property(text, text, (chain, key) => {
      try {
        const pair = checkPair(chain, key, NOW);
        assert.doesNotMatch(pair.chain + pair.key, /\n\n|show info/);
      } catch (error) {
        assert.ok(error instanceof PlatformError, String(error));
      }
    }),
  );
});

test("a wildcard covers one label, and a wildcard domain", () => {
  const names = ["*.a.example", "b.example"];
  for (const host of ["x.a.example", "*.a.example", "b.example"]) assert.ok(covers(names, host), host);
  for (const host of ["a.example", "x.y.a.example", "*.b.example", "x.b.example", "example"])
    assert.ok(!covers(names, host), host);
});

test("RFC 8555, 8.3: names that no authority can look at", () => {
  for (const name of ["www.example.com", "a.b.c.example"]) assert.equal(unfitReason(name), null, name);
  assert.match(unfitReason("*.example.com") ?? "", /add each name by itself, or upload/);
  for (const name of ["app.localhost", "printer.local", "host", "x.internal"])
    assert.match(unfitReason(name) ?? "", /no name of the public internet/, name);
});
