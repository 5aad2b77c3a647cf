import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { checkPair } from "../model/certificate.ts";
import { digestOf, type RouteCertificate } from "../router/routes.ts";
import { CertificateTable } from "./certificate-table.ts";
import { makeAuthority, makeServerCertificate } from "./certificates.ts";
import { checkCertificate, checkChallenge } from "./haproxy-certificates.ts";
import { parseCall, RefusedMessage } from "./protocol.ts";

const base = mkdtempSync(join(tmpdir(), "stator-certificates-"));
after(() => rmSync(base, { recursive: true }));
const authority = await makeAuthority("Test authority", Date.now());
const made = await makeServerCertificate(authority, ["a.example"], Date.now());
const pair = checkPair(made.certificate + authority.certificate, made.key, Date.now());
const pem = pair.chain + pair.key;
const appId = randomUUID();

test("certificates and challenges are in root's own files, 0600, and there again for a successor", async () => {
  const folder = join(base, "one");
  const table = await CertificateTable.load(folder);
  const certificates: readonly RouteCertificate[] = [{ hosts: ["a.example", "*.a.example"], pem }];
  assert.equal(await table.set(appId, certificates), true);
  assert.equal(await table.set(appId, certificates), false);
  const challenge = { host: "a.example", token: "t", keyAuthorization: "t.print" };
  assert.equal(await table.setChallenge(challenge), true);
  assert.equal(await table.setChallenge(challenge), false);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  for (const file of readdirSync(folder)) assert.equal(statSync(join(folder, file)).mode & 0o777, 0o600);
  writeFileSync(join(folder, `${randomUUID()}.json`), '[{"hosts":["x\\ny"],"pem":"x"}]');
  writeFileSync(join(folder, `${randomUUID()}.json`), "damaged");
  const again = await CertificateTable.load(folder);
  assert.deepEqual(again.certificates(), table.certificates());
  assert.deepEqual(again.digests(), [{ appId, digest: digestOf(certificates) }]);
  assert.deepEqual(again.challenges(), [challenge]);
  await again.set(appId, []);
  await again.removeChallenge("a.example");
  const third = await CertificateTable.load(folder);
  assert.deepEqual([third.digests(), third.challenges()], [[], []]);
});

test("a name stands for one content: other hosts or another certificate, another name", async () => {
  const table = await CertificateTable.load(join(base, "two"));
  const names = new Set<string>();
  for (const hosts of [["a.example"], ["b.example"], ["a.example", "b.example"]]) {
    await table.set(appId, [{ hosts, pem }]);
    for (const { name } of table.certificates()) names.add(name);
  }
  assert.equal(names.size, 3);
});

test("decision 13c: what is no certificate, host or challenge never gets into a file or a command", () => {
  const good = { appId, certificates: [{ hosts: ["a.example"], pem }] };
  assert.deepEqual(parseCall("setCertificates", JSON.stringify(good)), good);
  const refused = (certificate: { hosts: readonly unknown[]; pem: string }): void => {
    assert.throws(() => checkCertificate(certificate as RouteCertificate)); // deliberately not one
    const message = JSON.stringify({ appId, certificates: [certificate] });
    assert.throws(() => parseCall("setCertificates", message), RefusedMessage);
  };
  for (const text of [
    "",
    "\n",
    `\n${pem}`,
    `${pem}\n`,
    `${pem}show info\n`,
    pair.chain,
    pair.key,
    `${pair.key}${pair.chain}`,
  ])
    refused({ hosts: ["a.example"], pem: text });
  refused({ hosts: ["a.example"], pem: pem.replace("\n", "\n\n") });
  refused({ hosts: ["a.example"], pem: pem.replace("\n", "\r\n") });
  refused({ hosts: ["a.example"], pem: `${pair.chain.repeat(11)}${pair.key}` });
  for (const host of ["!a.example", "a.example b.example", "a\nb", "[ocsp-update on]", "*", "", 7])
    refused({ hosts: [host], pem });
  fc.assert(
    fc.property(fc.string({ unit: "binary-ascii" }), fc.nat(), (text, at) => {
      const place = at % pem.length;
      const changed = pem.slice(0, place) + text + pem.slice(place + text.length);
      try {
        checkCertificate({ hosts: [], pem: changed });
      } catch {
        return;
      }
      assert.match(changed, /^(-----(BEGIN|END) [A-Z ]+-----\n|[\w+/=]+\n)+$/, "letters of PEM only, no empty line");
    }),
  );
  const challenge = { host: "a.example", token: "t", keyAuthorization: "t.p" };
  checkChallenge(challenge);
  for (const change of [
    { host: "*.a.example" },
    { host: "a b" },
    { token: "a b" },
    { token: "a/b" },
    { keyAuthorization: "x\n.y" },
    { keyAuthorization: "%[src]" },
    { keyAuthorization: "" },
  ])
    assert.throws(() => checkChallenge({ ...challenge, ...change }), JSON.stringify(change));
});
