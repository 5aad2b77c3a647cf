import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { loadConfig } from "../../config.ts";
import { instanceOf } from "../../model/instance.ts";
import { authorityFiles, buildSettings } from "./build-settings.ts";
import { clientEnvironment } from "./client-programs.ts";
import { holderOf, listeners, parseListeners, takes } from "./ports.ts";
import { type Facts, judge, takenPorts } from "./preflight.ts";
import { withoutDevelopment } from "./production.ts";
import { givenSettings, remembered } from "./settings-file.ts";
import { summary } from "./summary.ts";
import { scopePath, unitsOf } from "./units.ts";

const config = loadConfig({ STATOR_HOME: "/nonexistent/stator" });

test("who listens is read from the kernel's tables", () => {
  const table = [
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    "   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1",
    "   1: 0100007F:1568 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1",
    "   2: 0100007F:1568 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4713 1",
    "   3: 0500000A:1568 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4714 1",
    "   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4715 1",
  ].join("\n");
  assert.deepEqual(parseListeners(table), [
    { port: 80, inode: "4711", address: "any" },
    { port: 5480, inode: "4712", address: "loopback" },
    { port: 5480, inode: "4714", address: "other" },
    { port: 443, inode: "4715", address: "any" },
  ]);
});

test("an address of another interface does not take loopback's port, but every address's", () => {
  const other = { port: 5480, inode: "1", address: "other" } as const;
  assert.equal(takes(other, 5480, "loopback"), false);
  assert.equal(takes(other, 5480, "any"), true);
  assert.equal(takes({ ...other, address: "loopback" }, 5480, "any"), true);
  assert.equal(takes(other, 5481, "any"), false);
});

test("the process that holds a port is found", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as { port: number };
    const listener = listeners().find((each) => takes(each, port, "loopback"));
    assert.ok(listener);
    assert.equal(holderOf(listener.inode)?.pid, process.pid);
  } finally {
    server.close();
  }
});

test("a taken port is told with its holder and a free one instead; one that we hold is no obstacle", () => {
  const all = [80, 8080, 5480].map((port) => ({ port, inode: String(port), address: "any" as const }));
  const holder = (inode: string) => ({ pid: Number(inode), name: "nginx" });
  const taken = takenPorts(config, all, holder, new Set([5480]));
  assert.deepEqual(taken, [
    { setting: "STATOR_HTTP_PORT", port: 80, holder: { pid: 80, name: "nginx" }, instead: 8081 },
  ]);
});

const good: Facts = {
  uid: 0,
  arch: "x64",
  distribution: "debian",
  version: "12",
  hasApt: true,
  memoryMb: 2000,
  diskMb: 20_000,
  taken: [],
  closedFolder: undefined,
};
const invocation = { command: "./bin/up", sudo: true, given: { STATOR_HOME: "/srv/x y" }, installed: false };

test("a machine that will do has no problem; a distribution that was not tried is only a warning", () => {
  assert.deepEqual(judge(good, config, invocation), { problems: [], warnings: [] });
  const other = judge({ ...good, distribution: "linuxmint", version: "22" }, config, invocation);
  assert.equal(other.problems.length, 0);
  assert.match(other.warnings.join(), /linuxmint 22/);
});

test("the complete command to type instead of a taken port", () => {
  const port = { setting: "STATOR_HTTP_PORT", port: 80, holder: { pid: 7, name: "nginx" }, instead: 8080 } as const;
  assert.match(judge({ ...good, closedFolder: "/data" }, config, invocation).problems.join("\n"), /chmod o\+x \/data/);
  const text = judge({ ...good, taken: [port] }, config, invocation).problems.join("\n");
  assert.match(text, /Port 80 \(STATOR_HTTP_PORT\) is taken by nginx \(process 7\)\./);
  assert.match(text, /^ {2}sudo STATOR_HOME='\/srv\/x y' STATOR_HTTP_PORT=8080 \.\/bin\/up$/m);
  const asRoot = judge({ ...good, taken: [port] }, config, { ...invocation, sudo: false, given: {} });
  assert.match(asRoot.problems.join("\n"), /^ {2}STATOR_HTTP_PORT=8080 \.\/bin\/up$/m);
});

test("each thing that is missing is a sentence of its own, all at once", () => {
  const bad = { ...good, uid: 1000, hasApt: false, memoryMb: 500, diskMb: 100, arch: "riscv64" };
  assert.equal(judge(bad, config, invocation).problems.length, 5);
  const low = loadConfig({ STATOR_HOME: "/nonexistent/stator", STATOR_API_PORT: "80", STATOR_HTTP_PORT: "81" });
  assert.match(judge(good, low, invocation).problems.join(), /STATOR_API_PORT=80/);
});

test("settings: what is given is remembered beside what was, in one order", () => {
  const first = remembered("", { STATOR_HTTP_PORT: "8080", STATOR_HOME: "/x", PATH: "/bin", STATOR_DOMAIN: "" });
  assert.match(first, /^#.*\nSTATOR_HTTP_PORT=8080\n$/);
  const second = remembered(first, { STATOR_API_PORT: "1234" });
  assert.match(second, /\nSTATOR_API_PORT=1234\nSTATOR_HTTP_PORT=8080\n$/);
  assert.equal(remembered(second, {}), second);
  assert.deepEqual(givenSettings({ STATOR_HOME: "/x", STATOR_URL: "y" }), { STATOR_HOME: "/x" });
});

test("answers are checked in an installation of our tests, never in the machine's own", () => {
  const of = (STATOR_HOME: string, STATOR_TEST_ANSWERS: string) =>
    loadConfig({ STATOR_HOME, STATOR_TEST_ANSWERS }).checksAnswers;
  assert.equal(of("/nonexistent/stator", "checked"), true);
  assert.equal(of("/nonexistent/stator", ""), undefined);
  assert.equal(config.checksAnswers, undefined);
  assert.throws(() => of("/nonexistent/stator", "yes"), /Stator's own tests; take it away/);
  assert.throws(() => of("/var/lib/stator", "checked"), /Stator's own tests; take it away/);
});

test("what limits disks is one of the three, or left to the platform", () => {
  const of = (text: string) => loadConfig({ STATOR_HOME: "/nonexistent/stator", STATOR_DISK: text }).disk;
  assert.deepEqual(["", "auto", "btrfs", "project", "image"].map(of), ["auto", "auto", "btrfs", "project", "image"]);
  assert.throws(() => of("none"), { message: "STATOR_DISK=none: must be auto, btrfs, project, image" });
});

test("where the API answers: an address, names, and a certificate with its key", () => {
  const of = (env: Record<string, string>) => loadConfig({ STATOR_HOME: "/nonexistent/stator", ...env });
  assert.deepEqual([of({}).tlsAddress, of({}).apiHosts, of({}).apiCertificate], ["0.0.0.0", [], undefined]);
  assert.deepEqual(of({ STATOR_API_HOST: "Platform.example, 10.0.0.1" }).apiHosts, ["platform.example", "10.0.0.1"]);
  assert.equal(of({ STATOR_TLS_ADDRESS: "::" }).tlsAddress, "::");
  const files = { STATOR_API_CERTIFICATE: "/a.pem", STATOR_API_KEY: "/a.key" };
  assert.deepEqual(of(files).apiCertificate, { chainFile: "/a.pem", keyFile: "/a.key" });
  for (const [name, value, why] of [
    ["STATOR_TLS_ADDRESS", "platform.example", /must be an IP address/],
    ["STATOR_API_HOST", "a.example,-b", /STATOR_API_HOST=-b: must be host names/],
    ["STATOR_API_CERTIFICATE", "/a.pem", /set both, or neither/],
  ] as const)
    assert.throws(() => of({ [name]: value }), why);
  assert.throws(() => of({ ...files, STATOR_API_KEY: "a.key" }), /must be the absolute path/);
});

test("certificates by ACME: nobody is asked before terms are agreed to; a wrong value is said", () => {
  const of = (env: Record<string, string>) => loadConfig({ STATOR_HOME: "/nonexistent/stator", ...env }).acme;
  const directory = "https://acme-v02.api.letsencrypt.org/directory";
  assert.equal(of({ STATOR_ACME_EMAIL: "a@b.example" }), undefined);
  assert.deepEqual(of({ STATOR_ACME_TERMS: "agreed" }), { directory, email: null, caFile: null });
  const all = {
    STATOR_ACME_DIRECTORY: "https://ca.example/dir",
    STATOR_ACME_EMAIL: "a@b.example",
    STATOR_ACME_CA_FILE: "/ca.pem",
  };
  assert.deepEqual(of({ ...all, STATOR_ACME_TERMS: "agreed" }), {
    directory: "https://ca.example/dir",
    email: "a@b.example",
    caFile: "/ca.pem",
  });
  for (const [name, bad] of [
    ["TERMS", "yes"],
    ["DIRECTORY", "http://ca.example/dir"],
    ["DIRECTORY", "ca"],
    ["EMAIL", "nobody"],
    ["CA_FILE", "ca.pem"],
  ])
    assert.throws(() => of({ [`STATOR_ACME_${name}`]: bad ?? "" }), new RegExp(`^Error: STATOR_ACME_${name}=`), name);
});

test("build settings carry the machine's registry and proxies, and no credentials", () => {
  const npm = {
    registry: "https://me:secret@registry.example.org/npm/",
    "https-proxy": "http://u:p@proxy:3128",
    noproxy: ["a", "b"],
  };
  const made = buildSettings(npm, { http_proxy: "proxy.example.org:8080" }, true);
  assert.deepEqual(made, {
    registry: "https://registry.example.org/npm/",
    proxy: { http: "http://proxy.example.org:8080/", https: "http://proxy:3128/", no: "a,b" },
    ca: true,
  });
  assert.doesNotMatch(JSON.stringify(made), /secret|u:p/);
  assert.deepEqual(buildSettings({}, {}, false), { ca: false });
  assert.deepEqual(buildSettings({ registry: "file:///etc/passwd" }, {}, false), { ca: false });
  assert.deepEqual(authorityFiles({ cafile: "/ca.pem" }, { NODE_EXTRA_CA_CERTS: "/ca.pem", SSL_CERT_FILE: "/b.pem" }), [
    "/ca.pem",
    "/b.pem",
  ]);
});

test("apt and npm get the person's proxies and authorities, trust the machine's own, and get nothing else of the environment", () => {
  const env = {
    HTTPS_PROXY: "p",
    npm_config_registry: "r",
    NODE_EXTRA_CA_CERTS: "c",
    HOME: "/h",
    AWS_SECRET: "s",
    NODE_OPTIONS: "x",
  };
  assert.deepEqual(Object.keys(clientEnvironment(env)).toSorted(), [
    "HOME",
    "HTTPS_PROXY",
    "NODE_EXTRA_CA_CERTS",
    "NODE_USE_SYSTEM_CA",
    "npm_config_registry",
  ]);
});

test("the installed program's lock is the checkout's without development", () => {
  const manifest = JSON.stringify({
    name: "x",
    dependencies: { a: "1" },
    devDependencies: { b: "1" },
    scripts: { t: "t" },
  });
  const lock = JSON.stringify({
    name: "x",
    packages: {
      "": { dependencies: { a: "1" }, devDependencies: { b: "1" } },
      "node_modules/a": { version: "1" },
      "node_modules/b": { version: "1", dev: true },
      "node_modules/c": { version: "1", devOptional: true },
    },
  });
  const kept = withoutDevelopment({ manifest, lock });
  assert.deepEqual(JSON.parse(kept.manifest), { name: "x", dependencies: { a: "1" } });
  assert.deepEqual(JSON.parse(kept.lock).packages, {
    "": { dependencies: { a: "1" } },
    "node_modules/a": { version: "1" },
  });
});

test("units: the daemon is nobody special and holds nothing; what was started outlives a restart; dynos in their own scope", () => {
  const instance = instanceOf("/srv/stator");
  const units = unitsOf(instance, "/srv/stator/program/1", { node: "/node", unified: true });
  const daemon = units[`stator-${instance.id}.service`] ?? "";
  assert.match(daemon, new RegExp(`^User=${instance.users.daemon}$`, "m"));
  assert.match(daemon, /^CapabilityBoundingSet=$/m);
  assert.match(daemon, /^NoNewPrivileges=yes$/m);
  assert.match(
    daemon,
    /^Environment=.*NODE_COMPILE_CACHE=\/srv\/stator\/data\/compile-cache MALLOC_ARENA_MAX=1 /m,
    "its own: root reads none of it",
  );
  const host = units[`stator-${instance.id}-host.service`] ?? "";
  assert.match(host, /^KillMode=process$/m);
  assert.match(host, /^RestartSec=200ms$/m);
  assert.match(host, /^Environment=.*NODE_COMPILE_CACHE=\/srv\/stator\/host\/compile-cache /m);
  assert.match(host, new RegExp(`STATOR_CGROUP_PARENT=${scopePath(instance)}$`, "m"));
  const old = unitsOf(instance, "/p", { node: "/node", unified: false });
  assert.doesNotMatch(Object.values(old).join(), /STATOR_CGROUP_PARENT/);
  assert.doesNotMatch(
    unitsOf(instanceOf("/var/tmp/x"), "/p", { node: "/n", unified: true })[
      `stator-${instanceOf("/var/tmp/x").id}.service`
    ] ?? "",
    /PrivateTmp/,
  );
});

test("what `up` prints works as it stands: port where it is not 80, Host without", () => {
  const lines = summary({
    config: { ...config, httpPort: 8080 },
    command: "stator",
    answer: "Hello\n",
    atBoot: "x",
  }).join("\n");
  assert.match(lines, /^ {2}Hello$/m);
  assert.match(lines, /^ {2}http:\/\/hello\.localhost:8080\/$/m);
  assert.match(lines, /^ {2}curl -H 'Host: hello\.localhost' http:\/\/127\.0\.0\.1:8080\/$/m);
  assert.match(lines, /ssh -L 8080:127\.0\.0\.1:8080 /);
  const standard = summary({ config, command: "stator", answer: "x", atBoot: "x" }).join("\n");
  assert.match(standard, /http:\/\/127\.0\.0\.1\/$/m);
  assert.match(standard, /ssh -L 8080:127\.0\.0\.1:80 /);
});
