import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../../test/support/api-world.ts";
import { type KeyPair, makeAuthority, makeServerCertificate } from "../../host/certificates.ts";

let world: World;
let authority: KeyPair;
before(async () => {
  world = await openWorld();
  authority = await makeAuthority("Test authority", Date.now());
});
after(() => world[Symbol.asyncDispose]());

async function bodyFor(...names: string[]) {
  const { certificate, key } = await makeServerCertificate(authority, names, Date.now());
  return { certificate_chain: authority.certificate + certificate, private_key: key };
}
const add = (app: string, hostname: string, endpoint: string | null = null) =>
  world.call("POST", `/apps/${app}/domains`, { body: { hostname, sni_endpoint: endpoint } });
/** What the router shows for the app: hosts of each certificate. */
const shown = (appId: string) => (world.target.certificates.get(appId) ?? []).map(({ hosts }) => hosts);

test("platform-api sni-endpoint: create, list, info, update, delete; domains are bound, and the router has it", async () => {
  const app = await world.deployed("certs-one");
  await add("certs-one", "www.one.example");
  const made = await world.call("POST", "/apps/certs-one/sni-endpoints", {
    body: await bodyFor("*.one.example", "one.example"),
  });
  assert.equal(made.status, 201, made.text);
  const { name, id, ssl_cert: cert } = made.json;
  assert.deepEqual(cert.cert_domains, ["*.one.example", "one.example"]);
  assert.deepEqual([cert["ca_signed?"], cert["self_signed?"], cert.acm], [false, false, false]);
  assert.match(made.json.certificate_chain, /^-----BEGIN CERTIFICATE-----/);
  assert.doesNotMatch(made.text, /PRIVATE KEY/);
  assert.deepEqual((await world.call("GET", "/apps/certs-one/sni-endpoints")).json, [made.json]);
  assert.deepEqual((await world.call("GET", `/apps/certs-one/sni-endpoints/${id}`)).json, made.json);
  assert.deepEqual(shown(app.id), [], "of no domain yet");

  const bound = await world.call("PATCH", "/apps/certs-one/domains/www.one.example", { body: { sni_endpoint: name } });
  assert.deepEqual(bound.json.sni_endpoint, { id, name });
  const added = await add("certs-one", "one.example");
  assert.deepEqual(added.json.sni_endpoint, { id, name }, "the only certificate, and it covers the name");
  assert.equal((await add("certs-one", "www.other.example")).json.sni_endpoint, null);
  assert.deepEqual(shown(app.id), [["one.example", "www.one.example"]]);
  const listed = (await world.call("GET", `/apps/certs-one/sni-endpoints/${name}`)).json.domains;
  assert.deepEqual(new Set(listed), new Set([bound.json.id, added.json.id]));

  const narrow = await world.call("PATCH", `/apps/certs-one/sni-endpoints/${name}`, {
    body: await bodyFor("one.example"),
  });
  assert.equal(narrow.status, 422);
  assert.match(narrow.json.message, /for one\.example, not for www\.one\.example: clients would refuse it/);
  const update = await bodyFor("one.example", "www.one.example");
  const updated = await world.call("PATCH", `/apps/certs-one/sni-endpoints/${name}`, { body: update });
  assert.equal(updated.json.id, id);
  assert.notEqual(updated.json.ssl_cert.id, cert.id);
  assert.ok(world.target.certificates.get(app.id)?.[0]?.pem.startsWith(updated.json.certificate_chain));

  await world.call("DELETE", "/apps/certs-one/domains/one.example");
  assert.deepEqual(shown(app.id), [["www.one.example"]]);
  const unbound = await world.call("PATCH", "/apps/certs-one/domains/www.one.example", {
    body: { sni_endpoint: null },
  });
  assert.equal(unbound.json.sni_endpoint, null);
  assert.deepEqual(shown(app.id), []);
  await world.call("PATCH", "/apps/certs-one/domains/www.one.example", { body: { sni_endpoint: id } });
  assert.equal((await world.call("DELETE", `/apps/certs-one/sni-endpoints/${name}`)).json.id, id);
  assert.deepEqual(shown(app.id), []);
  assert.equal((await world.call("GET", "/apps/certs-one/domains/www.one.example")).json.sni_endpoint, null);
  assert.equal((await world.call("GET", `/apps/certs-one/sni-endpoints/${name}`)).status, 404);
});

test("what cannot be used is refused in a sentence, and nothing is left of it", async () => {
  await world.deployed("certs-two");
  await world.deployed("certs-three");
  const good = await bodyFor("two.example");
  const refused = async (body: unknown, message: RegExp) => {
    const answer = await world.call("POST", "/apps/certs-two/sni-endpoints", { body });
    assert.deepEqual([answer.status, answer.json.id], [422, "invalid_params"], answer.text);
    assert.match(answer.json.message, message);
  };
  await refused(
    { ...good, private_key: (await bodyFor("x.example")).private_key },
    /does not belong to the certificate/,
  );
  await refused({ ...good, certificate_chain: "nothing" }, /No PEM certificate found/);
  world.target.refusal = "ee key too small";
  await refused(good, /The router cannot use this certificate: ee key too small\./);
  world.target.refusal = null;
  assert.deepEqual((await world.call("GET", "/apps/certs-two/sni-endpoints")).json, []);
  const { json } = await world.call("POST", "/apps/certs-two/sni-endpoints", { body: good });
  const foreign = await add("certs-three", "two.example", json.id);
  assert.deepEqual([foreign.status, foreign.json.message], [422, `Couldn't find that SNI endpoint (${json.id}).`]);
  assert.equal((await world.call("GET", `/apps/certs-three/sni-endpoints/${json.id}`)).status, 404);
  assert.match(
    (await add("certs-two", "b.example", json.name)).json.message,
    /is for two\.example, not for b\.example/,
  );
  assert.equal((await world.call("GET", "/apps/certs-two/domains")).json.length, 1);
});

test("without an authority the platform says how it gets one; with one, domains tell how they stand", async () => {
  await world.deployed("certs-four");
  const off = await world.call("POST", "/apps/certs-four/acm", { body: {} });
  assert.equal(off.status, 422);
  assert.match(off.json.message, /STATOR_ACME_TERMS=agreed/);
  assert.equal((await world.call("PATCH", "/apps/certs-four/acm", { body: { acm_refresh: true } })).status, 422);
  assert.equal((await world.call("DELETE", "/apps/certs-four/acm")).json.acm, false);

  const acme = { directory: "https://acme.test/", email: null, caFile: null };
  const away = () => Promise.reject(new Error("away"));
  await using other = await openWorld({ certificates: { acme, openAuthority: away } });
  await other.deployed("certs-five");
  for (const hostname of ["*.five.example", "www.five.example"])
    await other.call("POST", "/apps/certs-five/domains", { body: { hostname } });
  assert.equal((await other.call("GET", "/apps/certs-five")).json.acm, false);
  assert.equal((await other.call("POST", "/apps/certs-five/acm", { body: {} })).json.acm, true);
  assert.equal((await other.call("GET", "/apps/certs-five")).json.acm, true);
  const wildcard = (await other.call("GET", "/apps/certs-five/domains/*.five.example")).json;
  assert.equal(wildcard.acm_status, "failed");
  assert.match(wildcard.acm_status_reason, /by HTTP: add each name by itself, or upload/);
  assert.equal((await other.call("PATCH", "/apps/certs-five/acm", { body: { acm_refresh: true } })).status, 200);
  const domains = (await other.call("GET", "/apps/certs-five/domains")).json as { kind: string; acm_status: unknown }[];
  assert.equal(domains.find(({ kind }) => kind === "heroku")?.acm_status, null);
});
