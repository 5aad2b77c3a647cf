import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import type { AllowedByApp, AppAllow } from "../../src/engine/local/app-allow.ts";
import { DynoFolder } from "../../src/engine/local/dyno-folder.ts";
import {
  type DynoNetwork,
  type NetworkOptions,
  type NetworkPool,
  openNetwork,
  removeNetwork,
} from "../../src/engine/local/network.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { type ChildProcess, ended, run, start } from "../../src/lib/command.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { type Destination, parseDestination } from "../../src/model/destination.ts";
import { type Instance, instanceOf } from "../../src/model/instance.ts";

/**
 * The network with real namespaces, servers and clients. "The world" is a namespace beside the host that has a public
 * address, and private ones that the host can reach and dynos must not.
 */
const WORLD = `stworld${process.pid}`;
const DEVICE = `wst${process.pid}`; // not like a dyno's interface
const PUBLIC = "25.99.1.2";
const ON_HOST = "25.99.1.1";
const PUBLIC_6 = "2a99:1::2";
const ON_HOST_6 = "2a99:1::1";
const PRIVATE_6 = ["fd99:1::2", "2002:a00:1::2", "64:ff9b::a00:1"];
const PRIVATE = ["10.255.254.2", "172.31.250.2", "192.168.254.2", "100.127.250.2", "169.254.169.254", "198.19.250.2"];
const LINK_LOCAL_RESOLVER = "169.254.77.77";
const LOOPBACK_RESOLVER = "127.0.77.53";
const TCP_PORTS = [80, 5000, 25];
const ECHO_PORT = 5007;
const ROUTER_UID = 54_321;
const HTTP_PORT = 18_480;
const HTTPS_PORT = 18_443;

let folder: string;
let world: ChildProcess;
let host: ChildProcess;
const instances: Instance[] = [];

before(async () => {
  assert.equal(process.getuid?.(), 0, "needs root");
  folder = await mkdtemp(join(tmpdir(), "network-test-"));
  const addresses = [PUBLIC, ...PRIVATE, LINK_LOCAL_RESOLVER];
  await ipLines([
    `netns add ${WORLD}`,
    `link add ${DEVICE} type veth peer name eth0 netns ${WORLD}`,
    `addr add ${ON_HOST}/24 dev ${DEVICE}`,
    `link set ${DEVICE} up`,
    ...addresses.slice(1).map((address) => `route add ${address}/32 dev ${DEVICE}`),
    `addr add ${ON_HOST_6}/64 dev ${DEVICE} nodad`,
    ...PRIVATE_6.map((address) => `route add ${address}/128 dev ${DEVICE}`),
  ]);
  await ipLines(
    [
      "link set lo up",
      ...addresses.map((address, at) => `addr add ${address}/${at === 0 ? 24 : 32} dev eth0`),
      "link set eth0 up",
      ...[PUBLIC_6, ...PRIVATE_6].map(
        (address) => `addr add ${address}/${address === PUBLIC_6 ? 64 : 128} dev eth0 nodad`,
      ),
      // Like the internet, it does not know dynos' addresses: only masqueraded packets are answered.
      "route add 10.0.0.0/8 dev lo",
    ],
    WORLD,
  );
  world = await serve([`--net=/run/netns/${WORLD}`], {
    tcp: TCP_PORTS.flatMap((port) => [
      ["0.0.0.0", port] as const,
      ...[PUBLIC_6, ...PRIVATE_6].map((address) => [address, port] as const),
    ]),
    udp: addresses.map((address) => [address, 5000]),
    dns: addresses,
    echo: [ECHO_PORT],
  });
  host = await serve([], {
    tcp: [
      ["0.0.0.0", HTTP_PORT],
      ["0.0.0.0", HTTPS_PORT],
      ["0.0.0.0", 18_022],
      [ON_HOST_6, HTTP_PORT],
      [ON_HOST_6, 18_022],
    ],
    udp: [
      ["0.0.0.0", 18_022],
      ["0.0.0.0", HTTP_PORT],
    ],
    dns: [LOOPBACK_RESOLVER],
  });
});

after(async () => {
  for (const server of [world, host]) {
    server?.kill("SIGKILL");
  }
  for (const instance of instances) {
    await removeNetwork(instance);
    await rm(instance.paths.run, { recursive: true, force: true });
  }
  await ipLines([`link del ${DEVICE}`, `netns del ${WORLD}`]).catch(() => {});
  if (folder) await rm(folder, { recursive: true, force: true });
});

test("the world answers the host everywhere (or the refusals below would prove nothing)", async () => {
  for (const address of [PUBLIC, ...PRIVATE, PUBLIC_6, ...PRIVATE_6])
    for (const port of TCP_PORTS) assert.equal(await client([], "tcp", address, port), "hello", `${address}:${port}`);
});

test("a dyno reaches the internet, with the host's address", async () => {
  await using net = await network("internet");
  const dyno = await net.pool.take("formation", APP);
  assert.equal(await inside(dyno, "tcp", PUBLIC, 5000), "hello");
  assert.equal(await inside(dyno, "udp", PUBLIC, 5000), "hello");
});

test("a dyno reaches no private network, no metadata service, no mail port", async () => {
  await using net = await network("private");
  const dyno = await net.pool.take("formation", APP);
  for (const address of PRIVATE) {
    assert.equal(await inside(dyno, "tcp", address, 80), "ECONNREFUSED", address);
    assert.notEqual(await inside(dyno, "udp", address, 5000), "hello", address);
  }
  assert.equal(await inside(dyno, "tcp", PUBLIC, 25), "ECONNREFUSED");
});

test("a dyno reaches the router's two ports on the host, and no other port of it", async () => {
  await using net = await network("host");
  const dyno = await net.pool.take("formation", APP);
  for (const address of [dyno.gateway, ON_HOST]) {
    assert.equal(await inside(dyno, "tcp", address, HTTP_PORT), "hello");
    assert.equal(await inside(dyno, "tcp", address, HTTPS_PORT), "hello");
    assert.equal(await inside(dyno, "tcp", address, 18_022), "ECONNREFUSED");
    // Nor by datagrams, to the numbers of the router's ports neither.
    for (const port of [18_022, HTTP_PORT]) assert.notEqual(await inside(dyno, "udp", address, port), "hello");
  }
  assert.equal(await client([], "udp", ON_HOST, 18_022), "hello", "the host itself is answered");
});

test("*.localhost, which every resolver calls 127.0.0.1, is the router inside a dyno; other local ports are its own", async () => {
  await using net = await network("localhost");
  const dyno = await net.pool.take("formation", APP);
  assert.equal(await inside(dyno, "tcp", "127.0.0.1", HTTP_PORT), "hello");
  assert.equal(await inside(dyno, "tcp", "127.0.0.1", HTTPS_PORT), "hello");
  assert.equal(await inside(dyno, "tcp", "127.0.0.1", 18_022), "ECONNREFUSED");
  await using own = await serving(dyno, "127.0.0.1", 18_022);
  assert.equal(await inside(dyno, "tcp", "127.0.0.1", 18_022), own.greeting);
});

test("what a dyno does with itself, and what it sends, is not tracked in its namespace, which nobody would be charged for", async () => {
  await using net = await network("untracked");
  const dyno = await net.pool.take("formation", APP);
  const within = (...command: readonly string[]) => run("nsenter", [`--net=${dyno.netnsPath}`, ...command]);
  const flood = `
    const { createSocket } = require("node:dgram");
    const sockets = Array.from({ length: 20 }, () => createSocket("udp4"));
    let left = 20 * 200;
    for (const socket of sockets) for (let port = 1000; port < 1200; port++)
      socket.send("x", port, port % 2 === 0 ? "127.0.0.1" : "192.0.2.77", () => --left || process.exit());`;
  await within(process.execPath, "-e", flood);
  const { stdout } = await within("cat", "/proc/sys/net/netfilter/nf_conntrack_count");
  assert.ok(Number(stdout) < 10, `${stdout} are tracked`);
});

test("with another domain, localhost is the dyno's own altogether", async () => {
  await using net = await network("otherdomain", { config: { ...CONFIG, domain: "example.com" } });
  const dyno = await net.pool.take("formation", APP);
  assert.equal(await inside(dyno, "tcp", "127.0.0.1", HTTP_PORT), "ECONNREFUSED");
});

test("dynos do not reach each other, not even of another instance", async () => {
  await using net = await network("pair");
  await using other = await network("pair-other");
  const [one, two, foreign] = await Promise.all([
    net.pool.take("formation", APP),
    net.pool.take("run", APP),
    other.pool.take("formation", APP),
  ]);
  await using _two = await serving(two, "0.0.0.0", 5000);
  await using _foreign = await serving(foreign, "0.0.0.0", 5000);
  assert.equal(await client([], "tcp", two.address, 5000), "own"); // root may
  assert.equal(await client([], "tcp", foreign.address, 5000), "own");
  assert.equal(await inside(one, "tcp", two.address, 5000), "ECONNREFUSED");
  assert.equal(await inside(one, "tcp", foreign.address, 5000), "ECONNREFUSED");
});

test("only root and the router's user connect to a dyno, and the router's user to nothing else", async () => {
  await using net = await network("users");
  const dyno = await net.pool.take("formation", APP);
  await using _server = await serving(dyno, "0.0.0.0", 5000);
  assert.equal(await client([], "tcp", dyno.address, 5000), "own");
  assert.equal(await client(asUser(ROUTER_UID), "tcp", dyno.address, 5000), "own");
  assert.notEqual(await client(asUser(54_322), "tcp", dyno.address, 5000), "own");
  assert.equal(await client(asUser(54_322), "tcp", "127.0.0.1", 18_022), "hello");
  for (const [address, port] of [
    ["127.0.0.1", 18_022],
    [PUBLIC, 80],
    ["172.31.250.2", 80],
  ] as const)
    assert.notEqual(await client(asUser(ROUTER_UID), "tcp", address, port), "hello", address);
});

test("a dyno is not reached from outside the host", async () => {
  await using net = await network("outside");
  const dyno = await net.pool.take("formation", APP);
  await using _server = await serving(dyno, "0.0.0.0", 5000);
  await ipLines([`route replace ${dyno.address}/32 via ${ON_HOST}`], WORLD);
  assert.notEqual(await client([`--net=/run/netns/${WORLD}`], "tcp", dyno.address, 5000), "own");
});

test("packets with another's address go nowhere", async () => {
  await using net = await network("spoof");
  const [dyno, victim] = [await net.pool.take("formation", APP), await net.pool.take("formation", APP)];
  // No process of a dyno may do this; root of the host does, to see the second wall.
  const netns = netnsOf(dyno);
  await ipLines([`addr add ${victim.address}/32 dev eth0`, "addr add 172.20.0.9/32 dev eth0"], netns);
  const arrived = await countingArrivals();
  await inside(dyno, "udp", PUBLIC, UNHEARD_PORT);
  assert.equal(await arrived(), 1);
  await Promise.all([victim.address, "172.20.0.9"].map((source) => inside(dyno, "udp", PUBLIC, UNHEARD_PORT, source)));
  assert.equal(await arrived(), 1);
});

test("one dyno's flood of connections fills neither the kernel's table nor the ports of the host's address: others open theirs", async () => {
  await using net = await network("flood");
  const [dyno, other] = [await net.pool.take("formation", APP), await net.pool.take("formation", OTHER_APP)];
  const arrived = await countingArrivals(`${FLOOD_PORT}-${FLOOD_PORT + FLOOD - 1}`);
  await run("nsenter", [
    `--net=${dyno.netnsPath}`,
    process.execPath,
    "-e",
    FLOODER,
    PUBLIC,
    String(FLOOD_PORT),
    String(FLOOD),
  ]);
  const count = await arrived();
  assert.ok(count > CONNECTIONS_MAX * 0.9 && count <= CONNECTIONS_MAX, `${count} of ${FLOOD}`);
  assert.equal(await inside(dyno, "tcp", PUBLIC, 5000), "TIMEOUT", "it has had its part");
  assert.equal(await inside(other, "tcp", PUBLIC, 5000), "hello");
});

test("IPv6: a dyno has one address, by which it reaches the internet and the router, and nothing else", async () => {
  await using net = await network("ipv6");
  await using foreign = await network("ipv6-other");
  const dyno = await net.pool.take("formation", APP);
  const [other, another] = [await net.pool.take("run", APP), await foreign.pool.take("formation", APP)];
  const { stdout } = await run("nsenter", [`--net=${dyno.netnsPath}`, "ip", "-6", "-o", "addr"]);
  assert.equal((stdout.match(/inet6 \S+/g) ?? []).length, 2, "::1, and its own; no link-local one");
  assert.ok(dyno.address6?.startsWith("fd53:"));
  assert.equal(await inside(dyno, "tcp", PUBLIC_6, 5000), "hello");
  assert.equal(await inside(dyno, "tcp", PUBLIC_6, 25), "ECONNREFUSED");
  for (const address of PRIVATE_6) assert.equal(await inside(dyno, "tcp", address, 80), "ECONNREFUSED", address);
  assert.equal(await inside(dyno, "tcp", ON_HOST_6, HTTP_PORT), "hello", "the router");
  assert.equal(await inside(dyno, "tcp", ON_HOST_6, 18_022), "ECONNREFUSED", "another port of the host");
  for (const victim of [other, another]) {
    await using _server = await serving(victim, "::", 5000);
    assert.equal(await client([], "tcp", victim.address6 ?? "", 5000), "own"); // root may
    assert.equal(await inside(dyno, "tcp", victim.address6 ?? "", 5000), "ECONNREFUSED");
  }
  await until(async () => {
    const refused = await run("nft", ["list", "set", "inet", net.instance.nftTable, "refused_6"]);
    return refused.stdout.includes(PRIVATE_6[0] ?? "");
  });
});

test("IPv6: another's address, or none at all, goes nowhere", async () => {
  await using net = await network("ipv6-spoof");
  const [dyno, victim] = [await net.pool.take("formation", APP), await net.pool.take("formation", APP)];
  const lines = [`addr add ${victim.address6}/128 dev eth0 nodad`, "addr add fe80::9/64 dev eth0 nodad"];
  await ipLines(lines, netnsOf(dyno));
  assert.equal(await inside(dyno, "tcp", PUBLIC_6, 80, dyno.address6 ?? ""), "hello");
  assert.equal(await inside(dyno, "tcp", PUBLIC_6, 80, victim.address6 ?? ""), "TIMEOUT");
});

for (const [what, server] of [
  ["on the local network", "192.168.254.2"],
  ["with a link-local address", LINK_LOCAL_RESOLVER],
  ["on the host's loopback", LOOPBACK_RESOLVER],
] as const) {
  test(`names resolve by a server ${what}, and by it alone`, async () => {
    await using net = await network("names", { resolverFiles: await resolverFiles(server) });
    const dyno = await net.pool.take("formation", APP);
    assert.equal(await inside(dyno, "dns", dyno.gateway, 53), "1.2.3.4");
    assert.equal(await inside(dyno, "dns-tcp", dyno.gateway, 53), "1.2.3.4");
    assert.notEqual(await inside(dyno, "dns", "172.31.250.2", 53), "1.2.3.4");
    if (!server.startsWith("127.")) assert.equal(await inside(dyno, "dns", server, 53), "1.2.3.4");
  });
}

test("one dyno's flood of questions reaches the resolver in part, by whichever protocol, and others have theirs answered", async () => {
  const server = "192.168.254.2";
  await using net = await network("questions", { resolverFiles: await resolverFiles(server) });
  const [dyno, other] = [await net.pool.take("formation", APP), await net.pool.take("formation", OTHER_APP)];
  for (const [protocol, burst, aSecond] of [
    ["udp", 2000, 1000],
    ["tcp", 512 * 1024, 128 * 1024],
  ] as const) {
    for (const address of [dyno.gateway, server]) {
      const began = Date.now();
      const arrived = await countingArrivals("53", protocol, protocol === "udp" ? "packets" : "bytes");
      const asked = run("nsenter", [`--net=${dyno.netnsPath}`, process.execPath, "-e", ASKER, protocol, address]);
      // A burst may fill the resolver's own queue for a moment: whoever asks asks again.
      await until(async () => (await inside(other, "dns", dyno.gateway, 53)) === "1.2.3.4");
      await asked;
      const count = await arrived();
      const most = burst + (aSecond * (Date.now() - began)) / 1000;
      assert.ok(count > 100 && count < most * 1.5, `${protocol} to ${address}: ${count} of at most ${most}`);
    }
  }
  await until(async () => (await inside(dyno, "dns", dyno.gateway, 53)) === "1.2.3.4");
});

test("a change of resolv.conf is followed by dynos that run", async () => {
  const files = await resolverFiles("192.168.254.99");
  await using net = await network("follow", { resolverFiles: files });
  const dyno = await net.pool.take("formation", APP);
  assert.notEqual(await inside(dyno, "dns", dyno.gateway, 53), "1.2.3.4");
  await writeFile(files.main, `nameserver ${LOOPBACK_RESOLVER}\n`);
  await until(async () => (await inside(dyno, "dns", dyno.gateway, 53)) === "1.2.3.4");
});

test("build dynos alone reach the allowed private addresses", async () => {
  await using net = await network("build", { buildAllow: async () => [{ address: "192.168.254.2", port: 5000 }] });
  const [build, dyno] = [await net.pool.take("build", APP), await net.pool.take("formation", APP)];
  assert.equal(await inside(build, "tcp", "192.168.254.2", 5000), "hello");
  assert.equal(await inside(build, "tcp", "192.168.254.2", 80), "ECONNREFUSED");
  assert.equal(await inside(build, "tcp", "172.31.250.2", 5000), "ECONNREFUSED");
  assert.equal(await inside(dyno, "tcp", "192.168.254.2", 5000), "ECONNREFUSED");
});

test("what an app was allowed is reached by its dynos, those that run and those to come, and by no other app's", async () => {
  const allowing = new Allowing();
  await using net = await network("allow", { appAllow: allowing });
  const [dyno, other] = [await net.pool.take("formation", APP), await net.pool.take("formation", OTHER_APP)];
  assert.equal(await inside(dyno, "tcp", "172.31.250.2", 5000), "ECONNREFUSED");
  await allowing.allow(
    APP,
    "172.31.250.2:5000",
    "192.168.254.2",
    "100.64.0.0/10:5000",
    "198.18.0.0/15",
    "0.0.0.0/0:25",
  );
  const next = await net.pool.take("run", APP);
  for (const each of [dyno, next, await net.pool.take("build", APP)]) {
    assert.equal(await inside(each, "tcp", "172.31.250.2", 5000), "hello", "a port");
    assert.equal(await inside(each, "udp", "172.31.250.2", 5000), "hello", "of whatever protocol has ports");
    assert.equal(await inside(each, "tcp", "172.31.250.2", 80), "ECONNREFUSED", "no other port");
    assert.equal(await inside(each, "tcp", "192.168.254.2", 80), "hello", "all ports");
    assert.equal(await inside(each, "tcp", "100.127.250.2", 5000), "hello", "a port of a block");
    assert.equal(await inside(each, "tcp", "100.127.250.2", 80), "ECONNREFUSED", "no other port of the block");
    assert.equal(await inside(each, "tcp", "198.19.250.2", 80), "hello", "a block");
    assert.equal(await inside(each, "tcp", PUBLIC, 25), "hello", "mail, anywhere");
    assert.equal(await inside(each, "tcp", "10.255.254.2", 25), "hello", "mail, anywhere");
    assert.equal(await inside(each, "tcp", "169.254.169.254", 25), "ECONNREFUSED", "but there");
    assert.equal(await inside(each, "tcp", "10.255.254.2", 80), "ECONNREFUSED", "nothing else");
  }
  for (const address of PRIVATE) assert.equal(await inside(other, "tcp", address, 5000), "ECONNREFUSED", address);
  assert.equal(await inside(other, "tcp", PUBLIC, 25), "ECONNREFUSED");
});

test("what is allowed no longer ends at once, for connections that stand too; the internet goes on", async () => {
  const allowing = new Allowing();
  await using net = await network("deny", { appAllow: allowing });
  const dyno = await net.pool.take("formation", APP);
  await allowing.allow(APP, "172.31.250.2", "192.168.254.2");
  const [ended, kept, internet] = await Promise.all(
    ["172.31.250.2", "192.168.254.2", PUBLIC].map((address) => talking(dyno, address)),
  );
  if (!ended || !kept || !internet) assert.fail();
  try {
    await allowing.allow(APP, "192.168.254.2");
    assert.equal(await ended.say(), "ECONNRESET");
    assert.equal(await kept.say(), "echo");
    assert.equal(await internet.say(), "echo");
    assert.equal(await inside(dyno, "tcp", "172.31.250.2", 5000), "ECONNREFUSED");
    await net.pool.forgetApp(APP);
    assert.equal(await kept.say(), "ECONNRESET");
  } finally {
    for (const each of [ended, kept, internet]) each.end();
  }
});

test("what an app's owner denies is refused at once, for standing connections too; exceptions and builds pass, other apps are not concerned", async () => {
  const allowing = new Allowing();
  await using net = await network("egress", { appAllow: allowing });
  await allowing.allow(APP, "172.31.250.2");
  const [dyno, other, build] = [
    await net.pool.take("formation", APP),
    await net.pool.take("formation", OTHER_APP),
    await net.pool.take("build", APP),
  ];
  const [internet, allowed] = await Promise.all([talking(dyno, PUBLIC), talking(dyno, "172.31.250.2")]);
  try {
    await net.pool.setEgress(APP, [
      { action: "deny", cidr: "0.0.0.0/0", port: null },
      { action: "allow", cidr: "25.99.0.0/16", port: 80 },
      { action: "allow", cidr: "192.168.254.2", port: null }, // the platform's walls stand behind it
    ]);
    assert.equal(await internet.say(), "ECONNRESET");
    assert.equal(await allowed.say(), "ECONNRESET", "what the operator allowed the owner may deny");
    for (const each of [dyno, await net.pool.take("run", APP)]) {
      assert.equal(await inside(each, "tcp", PUBLIC, 5000), "ECONNREFUSED");
      assert.notEqual(await inside(each, "udp", PUBLIC, 5000), "hello");
      assert.equal(await inside(each, "tcp", PUBLIC, 80), "hello", "the exception");
      assert.equal(await inside(each, "tcp", each.gateway, HTTP_PORT), "ECONNREFUSED", "the router too");
      assert.equal(await inside(each, "tcp", "192.168.254.2", 80), "ECONNREFUSED", "an owner opens nothing");
    }
    assert.equal(await inside(other, "tcp", PUBLIC, 5000), "hello");
    assert.equal(await inside(build, "tcp", PUBLIC, 5000), "hello");
    const rules = async (): Promise<number> =>
      (await run("nft", ["-a", "list", "table", "inet", net.instance.nftTable])).stdout.split("# handle").length;
    const before = await rules();
    await net.pool.take("run", APP);
    assert.equal(await rules(), before, "no rule for each dyno");
    await net.pool.setEgress(APP, [{ action: "deny", cidr: "25.99.1.2", port: 80 }]);
    assert.equal(await inside(dyno, "tcp", PUBLIC, 5000), "hello");
    assert.equal(await inside(dyno, "tcp", PUBLIC, 80), "ECONNREFUSED");
    await net.pool.forgetApp(APP);
    assert.equal(await inside(dyno, "tcp", PUBLIC, 80), "hello");
  } finally {
    for (const each of [internet, allowed]) each.end();
  }
});

test("what an owner denied holds with the next host process, before anybody told it again", async () => {
  const net = await network("egress-restart");
  await net.pool.setEgress(APP, [{ action: "deny", cidr: "0.0.0.0/0", port: null }]);
  await net.pool[Symbol.asyncDispose]();
  await using again = await network("egress-restart");
  const [dyno, other] = [await again.pool.take("formation", APP), await again.pool.take("formation", OTHER_APP)];
  assert.equal(await inside(dyno, "tcp", PUBLIC, 5000), "ECONNREFUSED");
  assert.equal(await inside(other, "tcp", PUBLIC, 5000), "hello");
});

test("blocks hold neither the host, nor dynos, nor the metadata service: these are allowed by name alone", async () => {
  const allowing = new Allowing();
  await using net = await network("special", { appAllow: allowing });
  const [dyno, other] = [await net.pool.take("formation", APP), await net.pool.take("formation", OTHER_APP)];
  await using _other = await serving(other, "0.0.0.0", 5000);
  await ipLines([`addr add ${HOST_PRIVATE}/32 dev ${DEVICE}`]);
  try {
    const reached = async () => ({
      host: await inside(dyno, "tcp", HOST_PRIVATE, 18_022),
      hostPublic: await inside(dyno, "tcp", ON_HOST, 18_022),
      gateway: await inside(dyno, "tcp", dyno.gateway, 18_022),
      dyno: await inside(dyno, "tcp", other.address, 5000),
      metadata: await inside(dyno, "tcp", "169.254.169.254", 80),
    });
    const refused = "ECONNREFUSED";
    await allowing.allow(APP, "10.0.0.0/8", "172.16.0.0/12", "169.254.0.0/16");
    assert.equal(await inside(dyno, "tcp", "10.255.254.2", 80), "hello", "the block itself is reached");
    const nothing = { host: refused, hostPublic: refused, gateway: refused, dyno: refused, metadata: refused };
    assert.deepEqual(await reached(), nothing);
    const host = [HOST_PRIVATE, `${ON_HOST}:18022`, `${dyno.gateway}:18022`];
    await allowing.allow(APP, ...host, `${other.address}:5000`, "169.254.169.254:80");
    const all = { host: "hello", hostPublic: "hello", gateway: "hello", dyno: "own", metadata: "hello" };
    assert.deepEqual(await reached(), all);
    assert.equal(await inside(other, "tcp", dyno.gateway, 18_022), refused);
  } finally {
    await ipLines([`addr del ${HOST_PRIVATE}/32 dev ${DEVICE}`]);
  }
});

test("blocks may lie in each other, and change from one to the other", async () => {
  const allowing = new Allowing();
  await using net = await network("nested", { appAllow: allowing });
  const dyno = await net.pool.take("formation", APP);
  const reached = () => inside(dyno, "tcp", "10.255.254.2", 5000);
  for (const texts of [
    ["10.0.0.0/8", "10.255.0.0/16", "10.255.254.2", "10.255.254.2:5000", "10.0.0.0/8:5000", "10.255.0.0/16:5000"],
    ["10.255.0.0/16"],
    ["10.0.0.0/8", "10.255.0.0/16"],
    ["10.255.254.0/24:5000", "10.255.0.0/16:80"],
    ["10.255.0.0/16:5000", "10.255.254.0/24:5000", "10.255.254.0/24:80"],
  ]) {
    await allowing.allow(APP, ...texts);
    assert.equal(await reached(), "hello", texts.join());
  }
  await allowing.allow(APP, "10.255.0.0/16:80", "10.254.0.0/16");
  assert.equal(await reached(), "ECONNREFUSED");
});

test("an address that its app gave back reaches nothing of that app's for its next owner", async () => {
  const allowing = new Allowing();
  await using net = await network("owner", { appAllow: allowing });
  await allowing.allow(APP, "172.31.250.2", "10.0.0.0/8:5000");
  const dyno = await net.pool.take("formation", APP);
  assert.equal(await elementsWith(net, dyno.address), 2);
  await net.pool.release(dyno.index);
  assert.equal(await elementsWith(net, dyno.address), 0);
});

test("rules that come back after a flush know what was allowed, and so do those of the next host process, at once", async () => {
  const allowing = new Allowing();
  const net = await network("allow-restart", { appAllow: allowing });
  await allowing.allow(APP, "172.31.250.2");
  const dyno = await net.pool.take("formation", APP);
  await noteDyno(net, dyno, APP);
  const connection = await talking(dyno, "172.31.250.2");
  try {
    await run("nft", ["delete", "table", "inet", net.instance.nftTable]);
    await until(async () => (await inside(dyno, "tcp", dyno.gateway, 18_022)) === "ECONNREFUSED");
    assert.equal(await connection.say(), "echo");
    await net.pool[Symbol.asyncDispose]();
    assert.equal(await connection.say(), "echo", "while nothing of ours is alive");
    await using again = await network("allow-restart", { appAllow: allowing });
    assert.equal(await connection.say(), "echo", "before the dyno is adopted");
    again.pool.adopt(dyno.index, "formation");
    assert.equal(await connection.say(), "echo");
    await allowing.allow(APP);
    assert.equal(await connection.say(), "ECONNRESET");
  } finally {
    connection.end();
  }
});

test("each refusal is told once, with the dyno and the destination", async () => {
  await using net = await network("refusals");
  const dyno = await net.pool.take("formation", APP);
  const told: string[] = [];
  using _listener = net.pool.onRefused((index, destination, protocol) =>
    told.push(`${index} ${destination} ${protocol}`),
  );
  await inside(dyno, "tcp", "172.31.250.2", 5432);
  await inside(dyno, "tcp", "172.31.250.2", 5432);
  await inside(dyno, "udp", "169.254.169.254", 5000);
  await until(async () => told.length >= 2);
  assert.deepEqual(told.toSorted(), [`${dyno.index} 169.254.169.254:5000 udp`, `${dyno.index} 172.31.250.2:5432 tcp`]);
});

test("after a restart the living keep their network, unused ones are used, the rest is gone", async () => {
  const net = await network("restart");
  const [living, dead] = [await net.pool.take("formation", APP), await net.pool.take("formation", APP)];
  await using _server = await serving(living, "0.0.0.0", 5000);
  await until(async () => (await namespacesOf(net.instance)).length === 5); // two taken, two ready, one for builds
  await net.pool[Symbol.asyncDispose]();
  const before = new Set(await namespacesOf(net.instance));
  assert.equal(await client([], "tcp", living.address, 5000), "own", "while nothing of ours is alive");
  assert.equal(await inside(living, "tcp", PUBLIC, 5000), "hello");

  await using again = await network("restart");
  assert.deepEqual(again.pool.adopt(living.index, "formation"), living);
  const next = await again.pool.take("formation", APP);
  assert.ok(before.has(netnsOf(next)), "one that was ready is used");
  assert.ok(next.index !== living.index && next.index !== dead.index);
  assert.ok(!existsSync(dead.netnsPath), "one that nobody claims is destroyed");
  assert.equal(await client([], "tcp", living.address, 5000), "own");
  assert.equal(await inside(next, "tcp", PUBLIC, 5000), "hello");
});

test("what was given away stays until it was said that the living are adopted, also where the process ends before", async () => {
  const net = await network("unadopted");
  const [dyno, gone] = [await net.pool.take("formation", APP), await net.pool.take("formation", APP)];
  await net.pool.release(gone.index);
  await net.pool[Symbol.asyncDispose]();
  const early = await network("unadopted");
  await early.pool[Symbol.asyncDispose]();
  assert.ok(existsSync(dyno.netnsPath));
  await using again = await network("unadopted");
  assert.equal(again.pool.adopt(gone.index, "formation"), undefined, "it is not there");
  assert.ok(existsSync(dyno.netnsPath));
  again.pool.adopted();
  await until(async () => !existsSync(dyno.netnsPath));
});

test("a namespace given away is never given again, and is gone when released", async () => {
  await using net = await network("release");
  const dynos = await Promise.all(Array.from({ length: 20 }, () => net.pool.take("run", APP)));
  assert.equal(new Set(dynos.map((dyno) => dyno.address)).size, 20);
  await Promise.all(dynos.map((dyno) => net.pool.release(dyno.index)));
  await Promise.all(dynos.map((dyno) => net.pool.release(dyno.index)));
  for (const dyno of dynos) assert.ok(!existsSync(dyno.netnsPath));
  assert.ok(!dynos.map((dyno) => dyno.index).includes((await net.pool.take("run", APP)).index));
});

test("rules that somebody flushed come back", async () => {
  await using net = await network("flush");
  const dyno = await net.pool.take("formation", APP);
  await run("nft", ["delete", "table", "inet", net.instance.nftTable]);
  assert.equal(await inside(dyno, "tcp", dyno.gateway, 18_022), "hello", "the wall is down");
  await until(async () => (await inside(dyno, "tcp", dyno.gateway, 18_022)) === "ECONNREFUSED");
});

test("removal leaves nothing of the instance, and all of another", async () => {
  await using other = await network("stays");
  const theirs = await other.pool.take("formation", APP);
  {
    await using net = await network("goes");
    const dyno = await net.pool.take("formation", APP);
    const child = start("nsenter", [`--net=${dyno.netnsPath}`, "sleep", "60"]); // even with a process in it
    try {
      await net.pool[Symbol.asyncDispose]();
      await removeNetwork(net.instance);
      assert.deepEqual(await tracesOf(net.instance, dyno.gateway), []);
      await removeNetwork(net.instance);
      assert.equal(await inside(theirs, "tcp", PUBLIC, 5000), "hello");
      assert.equal((await readFile("/proc/sys/net/ipv4/ip_forward", "utf8")).trim(), "1", "the other needs it");
    } finally {
      child.kill("SIGKILL");
    }
  }
  await other.pool[Symbol.asyncDispose]();
  for (const instance of instances) await removeNetwork(instance);
  assert.deepEqual(await tracesOf(other.instance, theirs.gateway), []);
  // An instance that is none of this test's may have come meanwhile, and needs it.
  if (!existsSync("/run/stator-ip-forward"))
    assert.equal(await readFile("/proc/sys/net/ipv4/ip_forward", "utf8"), initialForwarding);
});

// --- what the tests are made with

const CONFIG = { httpPort: HTTP_PORT, httpsPort: HTTPS_PORT, domain: "localhost" };
const initialForwarding = await readFile("/proc/sys/net/ipv4/ip_forward", "utf8");

const APP = "00000000-0000-4000-8000-00000000000a";
const OTHER_APP = "00000000-0000-4000-8000-00000000000b";

/** What apps are allowed, as the test says it. */
class Allowing implements AppAllow {
  readonly #listeners = new Set<() => void>();
  #apps = new Map<string, readonly Destination[]>();
  #version = 0;
  #applied = "";

  async read(): Promise<AllowedByApp> {
    return { apps: this.#apps, version: String(this.#version) };
  }

  watch(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  async applied({ version }: AllowedByApp): Promise<void> {
    this.#applied = version;
  }

  async forget(appId: string): Promise<void> {
    this.#change(appId, []);
  }

  /** Resolves when it is true. */
  async allow(appId: string, ...texts: readonly string[]): Promise<void> {
    this.#change(appId, texts);
    for (const listener of this.#listeners) listener();
    await until(async () => this.#applied === String(this.#version));
  }

  #change(appId: string, texts: readonly string[]): void {
    this.#apps = new Map(this.#apps).set(appId, texts.map(parseDestination));
    this.#version++;
  }
}

interface Network extends AsyncDisposable {
  readonly instance: Instance;
  readonly pool: NetworkPool;
}

async function network(name: string, options: Partial<NetworkOptions> = {}): Promise<Network> {
  const instance = instanceOf(join(folder, name));
  if (!instances.some(({ id }) => id === instance.id)) instances.push(instance);
  const pool = await openNetwork({
    instance,
    config: CONFIG,
    buildAllow: async () => [],
    appAllow: new Allowing(),
    routerUid: ROUTER_UID,
    probeUid: 0,
    logger: silentLogger,
    clock: systemClock,
    poolSize: 2,
    ...options,
  });
  return {
    instance,
    pool,
    [Symbol.asyncDispose]: async () => {
      await pool[Symbol.asyncDispose]();
      await removeNetwork(instance);
    },
  };
}

/** Connects from inside a dyno; gives what the server said, or the error's code. */
const inside = (dyno: DynoNetwork, protocol: string, address: string, port: number, source?: string): Promise<string> =>
  client([`--net=${dyno.netnsPath}`], protocol, address, port, source);

const asUser = (uid: number): readonly string[] => [`--setuid=${uid}`, `--setgid=${uid}`, "--net=/proc/self/ns/net"];

async function client(
  enter: readonly string[],
  protocol: string,
  address: string,
  port: number,
  source = "",
): Promise<string> {
  const node = [process.execPath, "-e", CLIENT, protocol, address, String(port), source];
  const { stdout } =
    enter.length === 0 ? await run(node[0] ?? "", node.slice(1)) : await run("nsenter", [...enter, ...node]);
  return stdout;
}

interface Served {
  readonly tcp: readonly (readonly [string, number])[];
  readonly udp: readonly (readonly [string, number])[];
  readonly dns: readonly string[];
  /** Ports on which what is said comes back. */
  readonly echo?: readonly number[];
}

/** Starts servers on the host or in a namespace; resolves when they listen. */
async function serve(enter: readonly string[], served: Served, greeting = "hello"): Promise<ChildProcess> {
  const node = [process.execPath, "-e", SERVER, JSON.stringify(served), greeting];
  const stdio = ["ignore", "pipe", "inherit"] as const;
  const [program = "", ...args] = enter.length === 0 ? node : ["nsenter", ...enter, ...node];
  const child = start(program, args, { stdio: [...stdio] });
  if (!child.stdout) throw new Error("no pipe");
  await once(child.stdout, "data", { signal: AbortSignal.timeout(10_000) });
  return child;
}

/** A server in a dyno that says "own". */
async function serving(dyno: DynoNetwork, address: string, port: number) {
  const child = await serve([`--net=${dyno.netnsPath}`], { tcp: [[address, port]], udp: [], dns: [] }, "own");
  return {
    greeting: "own",
    [Symbol.asyncDispose]: async () => {
      const end = ended(child, "server");
      child.kill("SIGKILL");
      await end;
    },
  };
}

const CLIENT = `
const [protocol, address, port, source] = process.argv.slice(1);
const done = (text) => { process.stdout.write(String(text)); process.exit(0); };
setTimeout(done, 1500, "TIMEOUT");
const query = Buffer.from("0007010000010000000000000361707004746573740000010001", "hex");
const answer = (data) => done(data.subarray(-4).join("."));
if (protocol === "tcp" || protocol === "dns-tcp") {
  const socket = require("net").connect({ host: address, port: Number(port), ...(source && { localAddress: source }) });
  socket.on("error", (error) => done(error.code)).on("data", protocol === "tcp" ? done : answer);
  if (protocol === "dns-tcp") socket.write(Buffer.concat([Buffer.from([0, query.length]), query]));
} else {
  const socket = require("dgram").createSocket("udp4");
  socket.on("error", (error) => done(error.code)).on("message", protocol === "udp" ? done : answer);
  if (source) socket.bind(0, source);
  socket.connect(Number(port), address, () => socket.send(protocol === "udp" ? "?" : query));
}`;

const SERVER = `
const { tcp, udp, dns, echo = [] } = JSON.parse(process.argv[1]);
const greeting = process.argv[2];
const net = require("net"), dgram = require("dgram");
const answer = (query) => {
  const head = Buffer.from(query);
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(1, 6);
  return Buffer.concat([head, Buffer.from("c00c000100010000003c000401020304", "hex")]);
};
// Like a local stub, which answers its own machine only.
const known = (host, from) => !host.startsWith("127.") || from.startsWith("127.");
const listening = [];
const tcpServer = (host, port, serve) => listening.push(new Promise((resolve) => net.createServer((socket) => { socket.on("error", () => {}); serve(socket); }).listen(port, host, resolve)));
const udpServer = (host, port, reply) => listening.push(new Promise((resolve) => {
  const socket = dgram.createSocket("udp4");
  socket.on("message", (data, from) => { if (known(host, from.address)) socket.send(reply(data), from.port, from.address, () => {}); }).bind(port, host, resolve);
}));
for (const [host, port] of tcp) tcpServer(host, port, (socket) => socket.end(greeting));
for (const port of echo) tcpServer("0.0.0.0", port, (socket) => socket.pipe(socket));
for (const [host, port] of udp) udpServer(host, port, () => greeting);
for (const host of dns) {
  udpServer(host, 53, answer);
  tcpServer(host, 53, (socket) => known(host, socket.remoteAddress) && socket.on("data", (data) => { const body = answer(data.subarray(2)); socket.write(Buffer.concat([Buffer.from([0, body.length]), body])); }));
}
Promise.all(listening).then(() => process.stdout.write("ready"));
`;

const UNHEARD_PORT = 5999;
const HOST_PRIVATE = "172.31.250.99";

/** A connection from inside a dyno to the world's echo, kept open; `say` gives what came back, or the error's code. */
async function talking(dyno: DynoNetwork, address: string): Promise<{ say(): Promise<string>; end(): void }> {
  const node = [process.execPath, "-e", TALKER, address, String(ECHO_PORT)];
  const child = start("nsenter", [`--net=${dyno.netnsPath}`, ...node], { stdio: ["pipe", "pipe", "inherit"] });
  const { stdin, stdout } = child;
  if (!stdin || !stdout) throw new Error("no pipes");
  const lines = createInterface(stdout)[Symbol.asyncIterator]();
  const line = async () => String((await lines.next()).value);
  assert.equal(await line(), "connected");
  return {
    say: () => {
      stdin.write("?"); // it may have broken before: then that is the next line
      return line();
    },
    end: () => child.kill("SIGKILL"),
  };
}

/** How many elements of the sets of what apps were allowed begin with the address. */
async function elementsWith({ instance }: Network, address: string): Promise<number> {
  const { stdout } = await run("nft", ["list", "table", "inet", instance.nftTable]);
  return stdout.split(`${address} . `).length - 1;
}

/** The folder of a dyno that runs, as the engine leaves it to the next host process. */
async function noteDyno({ instance }: Network, { index }: DynoNetwork, appId: string): Promise<void> {
  const id = "00000000-0000-4000-8000-00000000000c";
  const folder = new DynoFolder(instance.paths.bundles, id);
  await mkdir(instance.paths.bundles, { recursive: true });
  await folder.create({
    id,
    appId,
    uidIndex: 1,
    kind: "formation",
    name: "web.1",
    releaseId: null,
    stack: "debian-12",
    slugDigest: null,
    command: "true",
    size: "Basic",
    port: null,
    terminal: null,
    stdin: false,
    isolation: "container",
    io: false,
    createdAt: 0,
  });
  await folder.setNetwork({ index });
}

const TALKER = `
const socket = require("net").connect({ host: process.argv[1], port: Number(process.argv[2]) });
socket.on("connect", () => console.log("connected")).on("data", () => console.log("echo")).on("error", (error) => console.log(error.code));
process.stdin.on("data", () => socket.write("?"));
`;

/** As docs/dynos.md says, and more datagrams than that, each to a port of its own and so a connection to the kernel. */
const CONNECTIONS_MAX = 8192;
const FLOOD = 10_000;
const FLOOD_PORT = 10_000;

const FLOODER = `
const [address, first, count] = process.argv.slice(1);
const socket = require("dgram").createSocket("udp4");
const send = (at) => at === Number(count) ? socket.close() : socket.send("x", Number(first) + at, address, () => send(at + 1));
send(0);
`;

/** As many questions as it can send within a second, from one port. */
const ASKER = `
const [protocol, address] = process.argv.slice(1);
const query = Buffer.from("0007010000010000000000000361707004746573740000010001", "hex");
setTimeout(() => process.exit(0), 1000);
if (protocol === "udp") {
  const socket = require("dgram").createSocket("udp4");
  const send = () => socket.send(query, () => setImmediate(send));
  socket.connect(53, address, () => { for (let at = 0; at < 20; at++) send(); });
} else {
  const socket = require("net").connect({ host: address, port: 53 }).on("error", () => {}).resume();
  const many = Buffer.concat(Array.from({ length: 5000 }, () => Buffer.concat([Buffer.from([0, query.length]), query])));
  const send = () => { while (socket.write(many)); };
  socket.on("drain", send); send();
}
`;

/** Counts what reaches the world for ports where nobody answers. */
async function countingArrivals(
  ports = String(UNHEARD_PORT),
  protocol = "udp",
  unit = "packets",
): Promise<() => Promise<number>> {
  const inWorld = (...args: readonly string[]) => run("nsenter", [`--net=/run/netns/${WORLD}`, "nft", ...args]);
  await inWorld(
    `add table ip seen; add chain ip seen in { type filter hook prerouting priority -400; }; flush chain ip seen in; add rule ip seen in ${protocol} dport ${ports} counter`,
  );
  return async () =>
    Number(new RegExp(`${unit} (\\d+)`).exec((await inWorld("list", "table", "ip", "seen")).stdout)?.[1]);
}

async function resolverFiles(server: string) {
  const main = join(folder, `resolv-${server}-${instances.length}.conf`);
  await writeFile(main, `nameserver ${server}\n`);
  return { main, behindStub: join(folder, "missing") };
}

async function ipLines(lines: readonly string[], netns?: string): Promise<void> {
  await run("ip", [...(netns === undefined ? [] : ["-n", netns]), "-batch", "-"], { input: `${lines.join("\n")}\n` });
}

async function namespacesOf(instance: Instance): Promise<readonly string[]> {
  return (await readdir("/run/netns")).filter((name) => name.startsWith(instance.netnsPrefix));
}

const netnsOf = (dyno: DynoNetwork): string => dyno.netnsPath.slice("/run/netns/".length);

/** Everything on the host that carries the instance's id, or its range. */
async function tracesOf(instance: Instance, gateway: string): Promise<readonly string[]> {
  const [tables, links, routes, routes6] = await Promise.all([
    run("nft", ["list", "tables"]),
    run("ip", ["-o", "link"]),
    run("ip", ["route", "show", "table", "all"]),
    run("ip", ["-6", "route", "show", "table", "all"]),
  ]);
  const lines = [tables, links]
    .flatMap(({ stdout }) => stdout.split("\n"))
    .filter((line) => line.includes(instance.id));
  const range = gateway.replace(/\.1$/, ".0/16");
  const prefix = instance.id.slice(0, 4).replace(/^0+/, "");
  const ranges = [
    ...routes.stdout.split("\n").filter((line) => line.includes(range)),
    ...routes6.stdout.split("\n").filter((line) => line.includes(`fd53:${prefix}:`)),
  ];
  return [...lines, ...(await namespacesOf(instance)), ...ranges];
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!(await condition())) {
    if (Date.now() > deadline) assert.fail("did not become true in 15 s");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
