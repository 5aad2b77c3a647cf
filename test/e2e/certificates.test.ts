import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { openAuthority } from "../../src/certificates/acme-authority.ts";
import { startCertificates } from "../../src/certificates/certificates.ts";
import { type KeyPair, makeAuthority, makeServerCertificate } from "../../src/host/certificates.ts";
import { type Clock, systemClock } from "../../src/lib/clock.ts";
import { jsonLogger } from "../../src/lib/logger.ts";
import { checkPair, factsOf } from "../../src/model/certificate.ts";
import type { Challenge } from "../../src/router/routes.ts";
import { openStore } from "../../src/store/sqlite.ts";
import { openWorld } from "../support/api-world.ts";
import { eventually } from "../support/eventually.ts";
import { needOfficialCli, OFFICIAL_CLI, tellDriven } from "../support/official-cli.ts";
import { program, stator } from "./harness.ts";
import { Pebble } from "./pebble.ts";
import { ask, RouterRig } from "./router-rig.ts";

/** Certificates in a real HAProxy, and from a real ACME authority. Needs root. */
const logger = jsonLogger("test", (line) => process.env["RIG_LOG"] !== undefined && process.stderr.write(line));
let rig: RouterRig;
let authority: KeyPair;
let pebble: Pebble;
before(async () => {
  rig = await RouterRig.open();
  pebble = await Pebble.start(rig.layout.httpPort);
  authority = await makeAuthority("Test authority", Date.now());
});
after(async () => {
  await pebble[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

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
  const before = await connected("www.one.example");
  const pem = await pemFor("*.one.example", "one.example");
  await haproxy().setCertificates(app.id, [{ hosts: ["*.one.example", "one.example"], pem }]);
  for (const name of ["www.one.example", "one.example"])
    assert.equal(await shown(name), "DNS:*.one.example, DNS:one.example");
  assert.match(await shown("a.b.one.example"), /localhost/, "a wildcard stands for one label");
  await haproxy().setCertificates(app.id, []);
  assert.match(await shown("www.one.example"), /localhost/);
  assert.equal(workerOf(), worker, "no reload");
  before.write("GET / HTTP/1.1\r\nHost: www.one.example\r\n\r\n");
  assert.match(String((await once(before, "data"))[0]), /^HTTP\/1\.1 404 /, "what was connected before goes on");
  before.destroy();
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

test("many certificates: at a start some are there at once, and the others follow", async () => {
  const app = rig.app();
  await app.set({ dynoIds: [await rig.dyno("web.1")] });
  const pem = await pemFor("*.many.example");
  // 50 hosts are one entry of HAProxy's: 130 entries of one certificate are as many certificates to it.
  const certificates = Array.from({ length: 130 }, (_, n) => ({ hosts: [`h${n}.many.example`], pem }));
  await haproxy().setCertificates(app.id, certificates);
  assert.equal(await shown("h129.many.example"), "DNS:*.many.example");
  const before = rig.pid;
  process.kill(Number(workerOf()), "SIGKILL");
  process.kill(before, "SIGKILL");
  await eventually(async () => (await app.ask().catch(() => undefined))?.status === 200);
  await eventually(async () => (await shown("h129.many.example").catch(() => "")) === "DNS:*.many.example");
  await haproxy().setCertificates(app.id, []);
  assert.match(await shown("h0.many.example"), /localhost/);
});

test("600 names, and a chain too long for a command, which comes by a reload", async () => {
  const app = rig.app();
  const hosts = Array.from({ length: 600 }, (_, n) => `host-${n}.long.example`);
  await haproxy().setCertificates(app.id, [{ hosts, pem: await pemFor(...hosts) }]);
  for (const host of ["host-7.long.example", "host-555.long.example"]) assert.match(await shown(host), /host-599/);
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

test("ACM: a certificate is got from a real authority over our router, shown, renewed, and a failure is told", async () => {
  let late = 0;
  const clock: Clock = { ...systemClock, now: () => Date.now() + late };
  const acme = { directory: pebble.directory, email: "operator@example.com", caFile: pebble.caFile };
  await using world = await openWorld({ clock, certificates: { target: haproxy(), acme, logger } });
  const app = await world.deployed("hello");
  const add = (hostname: string) =>
    world.call("POST", "/apps/hello/domains", { body: { hostname, sni_endpoint: null } });
  await add("www.acm.example");
  await pebble.setAddress("lost.acm.example", "255.255.255.255");
  assert.equal((await world.call("POST", "/apps/hello/acm", { body: {} })).json.acm, true);
  const domain = async (hostname: string) => (await world.call("GET", `/apps/hello/domains/${hostname}`)).json;
  await eventually(async () => (await domain("www.acm.example")).acm_status === "cert issued");
  await eventually(async () => (await shown("www.acm.example")) === "DNS:www.acm.example");
  assert.deepEqual(await haproxy().listChallenges(), [], "nothing is answered any more");

  await add("lost.acm.example");
  await eventually(async () => (await domain("lost.acm.example")).acm_status === "failing");
  const { acm_status_reason: reason } = await domain("lost.acm.example");
  assert.match(reason, /cannot reach http:\/\/lost\.acm\.example\/: its DNS must lead here.*Tried again after /);
  assert.match(world.logs.textOf(app.id).join("\n"), /heroku\[acm\]: No certificate for lost\.acm\.example: /);
  assert.match(await shown("lost.acm.example"), /localhost/, "as if nothing had been tried");

  const before = (await world.store.certificates.list(app.id)).map(({ chain }) => factsOf(chain));
  assert.deepEqual(
    before.map(({ names }) => names),
    [["www.acm.example"]],
  );
  late = 0.7 * ((before[0]?.expiresAt ?? 0) - (before[0]?.startsAt ?? 0));
  await world.call("PATCH", "/apps/hello/acm", { body: { acm_refresh: true } });
  await eventually(async () => {
    const [now] = await world.store.certificates.list(app.id);
    return now !== undefined && factsOf(now.chain).fingerprint !== before[0]?.fingerprint;
  });
  assert.equal((await world.call("DELETE", "/apps/hello/acm")).json.acm, false);
  assert.match(await shown("www.acm.example"), /localhost/);
});

test("ACM: an order goes on after the daemon was killed in its middle", async () => {
  const acme = { directory: pebble.directory, email: null, caFile: pebble.caFile };
  let orders = 0;
  const store = await openStore({ path: ":memory:", key: [randomBytes(32)], clock: systemClock });
  await using _store = store;
  const user = await store.users.ensure("owner@example.com");
  const app = await store.apps.create({ name: "hello", ownerId: user.id, stack: "debian-12", domain: "localhost" });
  await store.domains.add({ appId: app.id, hostname: "www.killed.example", kind: "custom" });
  await store.certificates.setAutomatic(app.id, true);
  const options = { store, acme, logs: { append: () => {} }, clock: systemClock, logger };
  const killed = Promise.withResolvers<void>();
  const target = new Proxy(haproxy(), {
    get(of, key) {
      if (key === "setChallenge") return (challenge: Challenge) => of.setChallenge(challenge).then(killed.resolve);
      const value = Reflect.get(of, key) as unknown;
      return typeof value === "function" ? value.bind(of) : value;
    },
  });
  const first = startCertificates({ ...options, target });
  await killed.promise;
  await first[Symbol.asyncDispose]();
  const [state] = await store.certificates.states();
  assert.ok(state?.orderUrl, "the order is noted");
  await using _second = startCertificates({
    ...options,
    target: haproxy(),
    openAuthority: async (with_) => {
      const authority = await openAuthority(with_);
      return { ...authority, order: (hostname) => (orders++, authority.order(hostname)) };
    },
  });
  await eventually(async () => (await store.certificates.states())[0]?.status === "cert issued");
  await eventually(async () => (await shown("www.killed.example")) === "DNS:www.killed.example");
  assert.equal(orders, 0, "no second order");
});

/** Two files that `certs:add` takes. */
async function pairFiles(folder: string, ...names: string[]): Promise<readonly [string, string]> {
  const { certificate, key } = await makeServerCertificate(authority, names, Date.now());
  const paths = [join(folder, "site.crt"), join(folder, "site.key")] as const;
  writeFileSync(paths[0], certificate + authority.certificate);
  writeFileSync(paths[1], key);
  return paths;
}

test("the official CLI: certs, certs:add, info, update, remove, certs:auto, domains:add --cert, domains:update", async () => {
  await needOfficialCli();
  const acme = { directory: pebble.directory, email: null, caFile: pebble.caFile };
  await using world = await openWorld({ certificates: { target: haproxy(), acme, logger } });
  await world.deployed("hello");
  const heroku = async (...args: string[]): Promise<string> => {
    const env = { HEROKU_HOST: world.url, HEROKU_API_KEY: world.token, DISABLE_TELEMETRY: "true", HOME: world.home };
    const result = await program(process.execPath, [OFFICIAL_CLI, ...args, "-a", "hello"], {
      env: { ...env, TERM: "dumb", NO_COLOR: "1" },
      cwd: world.home,
    });
    tellDriven(args, result.code);
    assert.equal(result.code, 0, `heroku ${args.join(" ")}: ${result.stdout}\n${result.stderr}`);
    return `${result.stdout}${result.stderr}`;
  };
  assert.match(
    await heroku("certs:add", ...(await pairFiles(world.home, "www.cli.example", "cli.example"))),
    /Common Name\(s\): +www\.cli\.example[\s\S]*SSL certificate is not trusted/,
  );
  const [{ name = "" } = {}] = (await world.call("GET", "/apps/hello/sni-endpoints")).json as { name?: string }[];
  assert.match(await heroku("domains:add", "www.cli.example", "--cert", name), /DNS Target hello\.localhost/);
  assert.equal(await shown("www.cli.example"), "DNS:www.cli.example, DNS:cli.example");
  await world.call("POST", "/apps/hello/domains", { body: { hostname: "cli.example", sni_endpoint: null } });
  await world.call("PATCH", "/apps/hello/domains/cli.example", { body: { sni_endpoint: null } });
  assert.match(await heroku("domains:update", "cli.example", "--cert", name), /Updating cli\.example to use .*done/);
  assert.match(await heroku("certs:info", "--show-domains"), /Domain\(s\):\s+cli\.example\s+www\.cli\.example/);
  const pair = await pairFiles(world.home, "*.cli.example", "cli.example");
  const updated = await heroku("certs:update", ...pair, "--confirm", "hello");
  assert.match(updated, /Updated certificate details:\nCommon Name\(s\): \*\.cli[^]*Updating SSL certificate .*done/);
  assert.equal(await shown("www.cli.example"), "DNS:*.cli.example, DNS:cli.example");
  assert.match(
    await heroku("certs"),
    new RegExp(`${name} .*\\*\\.cli\\.example, cli\\.example .* UTC .*False +SNI +2`),
  );
  assert.match(await heroku("certs:remove", "--confirm", "hello"), /Removing SSL certificate .*done/);
  assert.match(await shown("www.cli.example"), /localhost/);
  assert.match(await heroku("certs:auto:enable"), /Your certificate will now be managed/);
  await eventually(async () => (await shown("www.cli.example")) === "DNS:www.cli.example");
  await eventually(async () => (await shown("cli.example")) === "DNS:cli.example");
  assert.match(await heroku("certs:auto"), /is enabled[\s\S]*www\.cli\.example +Cert issued/);
  assert.match(await heroku("certs:auto:refresh"), /Refreshing Automatic Certificate Management\.\.\. done/);
  const disabled = await heroku("certs:auto:disable", "--confirm", "hello");
  assert.match(disabled, /Disabling Automatic Certificate Management\.\.\. done/);
  assert.match(await shown("www.cli.example"), /localhost/);
});

test("the same natively", async () => {
  const acme = { directory: pebble.directory, email: null, caFile: pebble.caFile };
  await using world = await openWorld({ certificates: { target: haproxy(), acme, logger } });
  await world.deployed("hello");
  const env = { STATOR_URL: world.url, STATOR_TOKEN: world.token, HOME: world.home };
  const run = (...args: string[]) => stator([...args, "-a", "hello"], { env });
  const good = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, 0, `stator ${args.join(" ")}: ${stdout}\n${stderr}`);
    return stdout + stderr;
  };
  assert.match(await good("certs"), /hello has no SSL certificates/);
  await good("domains:add", "www.own.example");
  const added = await good("certs:add", ...(await pairFiles(world.home, "www.own.example")));
  const [, name = ""] = /domains:update HOSTNAME --cert (cert-\d+) \(it covers www\.own\.example\)/.exec(added) ?? [];
  assert.match(added, /Common Name\(s\): www\.own\.example\n/);
  await good("domains:update", "www.own.example", "--cert", name);
  assert.equal(await shown("www.own.example"), "DNS:www.own.example");
  assert.match(await good("certs"), new RegExp(`${name} +www\\.own\\.example .* UTC +False +SNI +1`));
  assert.match(await good("domains"), new RegExp(`www\\.own\\.example +CNAME +hello\\.localhost +${name}`));
  assert.match(await good("certs:info", "--endpoint", "www.own.example", "--show-domains"), /Domain\(s\): +www\.own/);
  const [certificate] = await pairFiles(world.home, "other.example");
  const refused = await run("certs:update", certificate, join(world.home, "ca.pem"), "--confirm", "hello");
  assert.deepEqual([refused.code, /0 PEM private keys found/.test(refused.stderr)], [2, true], refused.stderr);
  await good("certs:update", ...(await pairFiles(world.home, "*.own.example")), "--confirm", "hello");
  assert.equal(await shown("www.own.example"), "DNS:*.own.example");
  await good("certs:remove", "--confirm", "hello");
  await good("certs:auto:enable", "--wait");
  assert.equal(await shown("www.own.example"), "DNS:www.own.example");
  assert.match(
    await good("certs:auto"),
    /is enabled on hello\n\nRenewal .*\n\nCertificate details:[^]*\n +Domain .*\n.*\n +www\.own\.example +Cert issued/,
  );
  await good("certs:auto:refresh");
  await good("certs:auto:disable", "--confirm", "hello");
  assert.match(
    await good("domains:info", "www.own.example"),
    /cname: +hello\.localhost\n[\s\S]*hostname: +www\.own\.example/,
  );
  await good("domains:wait", "www.own.example");
  await good("domains:remove", "www.own.example");
  await world.call("POST", "/apps/hello/domains", { body: { hostname: "more.own.example", sni_endpoint: null } });
  await good("domains:clear");
  assert.equal((await world.call("GET", "/apps/hello/domains")).json.length, 1);
  assert.match(await shown("www.own.example"), /localhost/);
});
