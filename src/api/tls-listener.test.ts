import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { connect } from "node:tls";
import { makeAuthority, makeServerCertificate } from "../host/certificates.ts";
import { ownCertificate } from "../host/tls.ts";
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/logger.ts";
import { listenTls } from "./tls-listener.ts";

const home = mkdtempSync(join(tmpdir(), "stator-tls-"));
mkdirSync(join(home, "tls"));
after(() => rmSync(home, { recursive: true, force: true }));

const file = (name: string) => join(home, "tls", name);

/** A certificate for these names in two files, by an authority that nobody else has. */
async function write(name: string, names: readonly string[]): Promise<string> {
  const authority = await makeAuthority(name, Date.now());
  const { certificate, key } = await makeServerCertificate(authority, names, Date.now());
  writeFileSync(file(`${name}.pem`), `${certificate}\n${authority.certificate}`);
  writeFileSync(file(`${name}.key`), key);
  return authority.certificate;
}

test("the operator's certificate answers to its names, the installation's to all others; one that is broken is as none", async () => {
  const installation = await write("api", ["127.0.0.1", "localhost"]);
  const operator = await write("own", ["platform.example"]);
  const options = {
    home,
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    logger: silentLogger,
    http: () => {},
    rendezvous: () => {},
  };
  const subject = async (port: number, ca: string, servername?: string): Promise<string> => {
    const named = servername === undefined ? {} : { servername };
    const socket = connect({ host: "127.0.0.1", port, ca, ...named });
    await once(socket, "secureConnect");
    const { subjectaltname = "" } = socket.getPeerCertificate();
    socket.destroy();
    return subjectaltname;
  };
  {
    await using listener = await listenTls(options);
    assert.match(await subject(listener.port, operator, "platform.example"), /DNS:platform\.example/);
    assert.match(await subject(listener.port, installation, "localhost"), /DNS:localhost/);
    assert.match(await subject(listener.port, installation), /DNS:localhost/);
  }
  writeFileSync(file("own.key"), "no key");
  await using listener = await listenTls(options);
  await assert.rejects(subject(listener.port, operator, "platform.example"), /certificate/);
  assert.match(await subject(listener.port, installation, "localhost"), /DNS:localhost/);
});

test("a certificate of the operator's that cannot be used is refused in a sentence", async () => {
  await write("one", ["platform.example"]);
  await write("two", ["platform.example"]);
  const of = (chain: string, key: string) =>
    ownCertificate({ apiCertificate: { chainFile: file(chain), keyFile: file(key) } });
  assert.equal(new X509Certificate((await of("one.pem", "one.key"))?.certificate ?? "").subject, "CN=Stator");
  assert.equal(await ownCertificate({}), undefined);
  await assert.rejects(of("one.pem", "two.key"), /is not the key of the certificate/);
  await assert.rejects(of("one.key", "one.pem"), /is no PEM of a certificate/);
  await assert.rejects(of("missing.pem", "one.key"), /STATOR_API_CERTIFICATE, STATOR_API_KEY: ENOENT/);
});
