import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { type KeyPair, makeAuthority, makeServerCertificate } from "../../src/host/certificates.ts";
import { checkPair } from "../../src/model/certificate.ts";
import { ask, RouterRig } from "./router-rig.ts";

/** Certificates in a real HAProxy, and from a real ACME authority. Needs root. */
let rig: RouterRig;
let authority: KeyPair;
before(async () => {
  rig = await RouterRig.open();
  authority = await makeAuthority("Test authority", Date.now());
});
after(() => rig[Symbol.asyncDispose]());

async function pemFor(...names: string[]): Promise<string> {
  const { certificate, key } = await makeServerCertificate(authority, names, Date.now());
  const pair = checkPair(certificate + authority.certificate, key, Date.now());
  return pair.chain + pair.key;
}

/** The names of the certificate that a client is shown. */
async function shown(servername: string, options: ConnectionOptions = {}): Promise<string> {
  const socket = await connected(servername, options);
  const { subjectaltname = "" } = socket.getPeerCertificate();
  socket.destroy();
  return subjectaltname;
}

function connected(servername: string, options: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const to = { host: "127.0.0.1", port: rig.layout.httpsPort, servername, rejectUnauthorized: false, ...options };
    const socket = connectTls(to, () => resolve(socket));
    socket.once("error", reject);
  });
}

function haproxy() {
  assert.ok(rig.haproxy);
  return rig.haproxy;
}

const workerOf = () => readFileSync(`/proc/${rig.pid}/task/${rig.pid}/children`, "utf8").trim();

test("certificates come, change and go by SNI without a reload; everything else gets the installation's own", async () => {
  const app = rig.app();
  const worker = workerOf();
  assert.match(await shown("www.one.example"), /localhost/);
  await haproxy().setCertificates(app.id, [{ hosts: ["www.one.example"], pem: await pemFor("www.one.example") }]);
  assert.equal(await shown("www.one.example"), "DNS:www.one.example");
  assert.match(await shown("other.one.example"), /localhost/);
  const pem = await pemFor("*.one.example", "one.example");
  await haproxy().setCertificates(app.id, [{ hosts: ["*.one.example", "one.example"], pem }]);
  for (const name of ["www.one.example", "one.example"])
    assert.equal(await shown(name), "DNS:*.one.example, DNS:one.example");
  assert.match(await shown("a.b.one.example"), /localhost/, "a wildcard stands for one label");
  await haproxy().setCertificates(app.id, []);
  assert.match(await shown("www.one.example"), /localhost/);
  assert.equal(workerOf(), worker, "no reload");
});

test("spec 7.9: TLS 1.2 and 1.3, HTTP/2 by ALPN; 1.1 is refused", async () => {
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    const socket = await connected("x.example", { minVersion: version, maxVersion: version, ALPNProtocols: ["h2"] });
    assert.deepEqual([socket.getProtocol(), socket.alpnProtocol], [version, "h2"]);
    socket.destroy();
  }
  const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
  await assert.rejects(connected("x.example", old), /protocol version/i);
});

test("a certificate that HAProxy would refuse never gets in, and the others stay", async () => {
  const app = rig.app();
  const pem = await pemFor("good.example");
  await haproxy().setCertificates(app.id, [{ hosts: ["good.example"], pem }]);
  const [chain = ""] = pem.split("-----BEGIN PRIVATE");
  const { key } = await makeServerCertificate(authority, ["good.example"], Date.now());
  const bad = [{ hosts: ["good.example"], pem: chain + key.replace(/\n*$/, "\n") }];
  await assert.rejects(haproxy().setCertificates(app.id, bad), /invalid|inconsistencies|does not accept/i);
  assert.notEqual(await haproxy().certificateRefusal(bad[0]?.pem ?? ""), null);
  assert.equal(await haproxy().certificateRefusal(pem), null);
  await assert.rejects(haproxy().setCertificates(app.id, [{ hosts: ["x\nshow info"], pem }]));
  await assert.rejects(haproxy().setCertificates(app.id, [{ hosts: [], pem: `${pem}\n\nshow info\n` }]));
  assert.equal(await shown("good.example"), "DNS:good.example");
});

test("certificates are back after kill -9 of HAProxy, after a reload, and with a new host process", async () => {
  const app = rig.app();
  await haproxy().setCertificates(app.id, [{ hosts: ["kept.example"], pem: await pemFor("kept.example") }]);
  const folder = join(rig.folder, "certificates");
  for (const file of readdirSync(folder)) assert.equal(statSync(join(folder, file)).mode & 0o777, 0o600, file);
  const before = rig.pid;
  process.kill(Number(workerOf()), "SIGKILL");
  process.kill(before, "SIGKILL");
  await rig.haproxy?.reload();
  assert.notEqual(rig.pid, before);
  assert.equal(await shown("kept.example"), "DNS:kept.example");
  await rig.haproxy?.[Symbol.asyncDispose]();
  await rig.startHost();
  await haproxy().setCertificates(app.id, [{ hosts: ["new.example"], pem: await pemFor("new.example") }]);
  assert.equal(await shown("new.example"), "DNS:new.example");
  assert.match(await shown("kept.example"), /localhost/);
});

test("a chain too long for a command comes by a reload", async () => {
  const app = rig.app();
  const names = Array.from({ length: 600 }, (_, n) => `host-${n}.long.example`);
  await haproxy().setCertificates(app.id, [{ hosts: ["host-7.long.example"], pem: await pemFor(...names) }]);
  assert.match(await shown("host-7.long.example"), /host-599/);
});

test("RFC 8555: the path of a host under order is answered by the router; every other is the app's", async () => {
  const app = rig.app();
  await app.set({ hosts: ["acme.example"], dynoIds: [await rig.dyno("web.1")] });
  const get = (host: string, path: string) => ask(rig.layout.httpPort, { path, headers: { Host: host } });
  const path = "/.well-known/acme-challenge/token-1";
  const worker = workerOf();
  await haproxy().setChallenge({ host: "acme.example", token: "token-1", keyAuthorization: "token-1.print" });
  const answer = await get("ACME.example:80", path);
  assert.deepEqual([answer.status, answer.text, answer.headers["content-type"]], [200, "token-1.print", "text/plain"]);
  assert.match((await get("acme.example", `${path}2`)).text, /"name":"web.1"/);
  assert.equal((await get("other.example", path)).status, 404);
  await haproxy().reload();
  assert.equal((await get("acme.example", path)).text, "token-1.print", "over a reload too");
  await haproxy().removeChallenge("acme.example");
  assert.match((await get("acme.example", path)).text, /"name":"web.1"/);
  assert.notEqual(workerOf(), worker);
});
