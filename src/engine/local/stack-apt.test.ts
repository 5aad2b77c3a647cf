import assert from "node:assert/strict";
import { test } from "node:test";
import { acquireOptions, parseTargets, signedBy, sourceLines } from "./stack-apt.ts";

const target = (
  release: string,
  uri: string,
  rest: Partial<{ label: string; origin: string; component: string }> = {},
) =>
  [
    `Component: ${rest.component ?? "main"}`,
    `Origin: ${rest.origin ?? "Debian"}`,
    `Label: ${rest.label ?? "Debian"}`,
    `Release: ${release}`,
    `Repo-URI: ${uri}`,
    "Sourcesentry: /etc/apt/sources.list.d/debian.sources:1",
  ].join("\n");

const MIRROR = "http://mirror.example/debian/";
const SECURITY = "http://mirror.example/security/";

test("the machine's mirrors are used for the stack's suite, whatever its own is", () => {
  const targets = parseTargets(
    [
      target("trixie", MIRROR),
      target("trixie", MIRROR, { component: "contrib" }),
      target("trixie-updates", MIRROR),
      target("trixie-security", SECURITY, { label: "Debian-Security" }),
      target("nodistro", "http://other.example/", { origin: "Other" }),
    ].join("\n\n"),
  );
  assert.deepEqual(sourceLines(targets, new Map(), "bookworm"), [
    `deb ${MIRROR} bookworm main`,
    `deb ${MIRROR} bookworm-updates main`,
    `deb ${SECURITY} bookworm-security main`,
  ]);
});

test("on a machine that is no Debian the choice is mmdebstrap's", () => {
  const targets = parseTargets(
    target("noble", "http://archive.example/ubuntu/", { origin: "Ubuntu", label: "Ubuntu" }),
  );
  assert.deepEqual(sourceLines(targets, new Map(), "bookworm"), []);
});

test("a key that the machine demands is demanded, in both formats of sources", () => {
  const stanzas = `Types: deb\nURIs: http://a.example/debian\nSigned-By: /k/a.gpg\n\nTypes: deb\nURIs: ${MIRROR}\nSigned-By: /k/b.gpg\n`;
  assert.equal(signedBy(stanzas, MIRROR), "/k/b.gpg");
  assert.equal(
    signedBy(`# deb ${MIRROR} x main\ndeb [arch=amd64 signed-by=/k/c.gpg] ${MIRROR} x main\n`, MIRROR),
    "/k/c.gpg",
  );
  assert.equal(signedBy(`deb ${MIRROR} x main\n`, MIRROR), undefined);
});

test("proxies, checks and credentials' files are taken over; hooks are not", () => {
  const dump = [
    'Acquire::http::Proxy "http://proxy.example:3128";',
    'Acquire::https::CaInfo "/etc/ssl/own.pem";',
    'Acquire::Check-Valid-Until "false";',
    'Acquire::IndexTargets::deb::Packages "";',
    'Acquire::http "";',
    'APT::Update::Post-Invoke-Success:: "rm -rf /";',
    'DPkg::Post-Invoke:: "x";',
    'Dir::Etc::netrcparts "auth.conf.d";',
  ].join("\n");
  assert.deepEqual(acquireOptions(dump), [
    'Acquire::http::Proxy "http://proxy.example:3128";',
    'Acquire::https::CaInfo "/etc/ssl/own.pem";',
    'Acquire::Check-Valid-Until "false";',
    'Dir::Etc::netrcparts "/etc/apt/auth.conf.d";',
  ]);
});
