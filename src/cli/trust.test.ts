import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { createServer, type Server } from "node:tls";
import { makeAuthority, makeServerCertificate } from "../host/certificates.ts";
import { fingerprintOf, shownFingerprint, trusted } from "./trust.ts";

const authority = await makeAuthority("Test", Date.now());
const other = await makeAuthority("Other", Date.now());
let server: Server;
let url = "";
let heard = 0;

before(async () => {
  const pair = await makeServerCertificate(authority, ["127.0.0.1"], Date.now());
  server = createServer({ cert: `${pair.certificate}\n${authority.certificate}`, key: pair.key }, (socket) => {
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => (heard += chunk.length));
  });
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => {
  server.close();
  assert.equal(heard, 0, "nothing is sent to who is not trusted yet");
});

const none = { known: undefined, fingerprint: undefined };
const answer = (text: string) => async () => text;

test("an authority of the platform's own is trusted only by who says yes to its fingerprint", async () => {
  const trustedOne = await trusted(url, { ...none, ask: answer("yes") });
  assert.equal(fingerprintOf(trustedOne ?? ""), fingerprintOf(authority.certificate));
  for (const said of ["", "y", "no", "yes please"])
    await assert.rejects(trusted(url, { ...none, ask: answer(said) }), /Not trusted/, said);
});

test("a fingerprint that was given decides, however it is written, and asks nothing", async () => {
  const shown = shownFingerprint(authority.certificate);
  const ask = () => Promise.reject(new Error("asked"));
  for (const fingerprint of [shown, shown.toLowerCase(), shown.replaceAll(":", ""), `SHA256:${shown}`])
    assert.ok(await trusted(url, { known: undefined, fingerprint, ask }));
  const wrong = trusted(url, { known: undefined, fingerprint: shownFingerprint(other.certificate), ask });
  await assert.rejects(wrong, /not the one that you gave/);
  assert.ok(await trusted(url, { known: other.certificate, fingerprint: shown, ask }), "after a change too");
});

test("who was trusted is not asked about again; another in its place is refused, loudly", async () => {
  const ask = () => Promise.reject(new Error("asked"));
  assert.equal(await trusted(url, { ...none, known: authority.certificate, ask }), authority.certificate);
  await assert.rejects(trusted(url, { ...none, known: other.certificate, ask }), /HAS CHANGED[\s\S]*--fingerprint/);
});
