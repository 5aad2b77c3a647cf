import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { after, before, test } from "node:test";
import { echo } from "./apps.ts";
import {
  config,
  deployed,
  eventually,
  hasIpv6,
  logsOf,
  pidOf,
  platform,
  stator,
  statorOk,
  waitLog,
} from "./harness.ts";

/**
 * Egress rules of an app (issue 3, "Walls"; decision 16): what the owner denies is refused. A dyno can surely reach one thing
 * here, the router, which it calls by the gateway's address (10.x.0.1) under every app's name.
 */
let app = "";
let dispose: () => Promise<void> = async () => {};

before(async () => {
  const made = await deployed("egress", echo);
  app = made.name;
  dispose = async () => made[Symbol.asyncDispose]();
});
after(() => dispose());

const call = `curl -sS -m 10 http://$HEROKU_APP_NAME.localhost:${config.httpPort}/inside 2>&1`;

async function fromDyno(script = call): Promise<string> {
  return (await stator(["run", "-a", app, "--no-tty", "--", script])).stdout;
}

test("nothing is denied by itself, and what is denied is refused in dynos to come, with a line in the log", async () => {
  assert.match(await fromDyno(), /path=\/inside/);
  assert.match((await stator(["egress", "-a", app])).stderr, /no egress rules/);
  await statorOk(["egress:deny", "0.0.0.0/0", "-a", app]);
  const line = new RegExp(
    `heroku\\[run\\.\\d+\\]: Connection to 10\\.\\d+\\.0\\.1:${config.httpPort} .*own egress rules`,
  );
  // Refusals are read every 2 s, while the dyno is there; on a busy machine a look may come too late for one of them.
  await eventually("a line in the log", async () => {
    assert.match(await fromDyno(`${call}; sleep 8`), /refused|Failed to connect|Couldn't connect/);
    return line.test(await logsOf(app));
  });
  const names =
    "import socket; socket.create_connection((socket.gethostbyname(open('/etc/resolv.conf').read().split()[1]), 53), 5); print('named')";
  assert.match(await fromDyno(`python3 -c "${names}"`), /named/, "names still resolve");
});

test("an exception by block and port lets just that through", async () => {
  await statorOk(["egress:allow", `10.0.0.0/8:${config.httpPort}`, "-a", app]);
  assert.match(await fromDyno(), /path=\/inside/);
  const other = call.replace("http:", "https:").replace(`:${config.httpPort}`, `:${config.httpsPort}`);
  assert.match(await fromDyno(`${other} -k`), /refused|Failed to connect|Couldn't connect/);
  await statorOk(["egress:remove", `10.0.0.0/8:${config.httpPort}`, "-a", app]);
  assert.match(await fromDyno(), /refused|Failed to connect|Couldn't connect/);
});

test("another app is not concerned, and an owner opens nothing that the platform's walls close", async () => {
  await using other = await deployed("free", echo);
  const { stdout } = await stator(["run", "-a", other.name, "--no-tty", "--", call]);
  assert.match(stdout, /path=\/inside/);
  await statorOk(["egress:allow", "169.254.169.254", "-a", other.name]);
  await statorOk(["egress:allow", "10.0.0.0/8", "-a", other.name]);
  const script = `curl -sS -m 3 http://169.254.169.254/ 2>&1; curl -sS -m 3 http://10.255.255.1:5432/ 2>&1`;
  const refused = await stator(["run", "-a", other.name, "--no-tty", "--", script]);
  assert.equal(
    [...refused.stdout.matchAll(/refused|Failed to connect|Couldn't connect/g)].length >= 2,
    true,
    refused.stdout,
  );
});

test("it survives kill -9 of both processes: the next dyno's first packet is refused", async () => {
  for (const role of ["host", "daemon"]) process.kill(await pidOf(role), "SIGKILL");
  await eventually("the platform answers", async () => {
    const rules = await platform<readonly { cidr: string }[]>("GET", `/apps/${app}/egress-rules`).catch(
      () => undefined,
    );
    return rules?.some(({ cidr }) => cidr === "0.0.0.0/0");
  });
  assert.match(await fromDyno(), /refused|Failed to connect|Couldn't connect/);
});

test("a dyno that runs is concerned at once, both ways", async () => {
  const loop = `for n in $(seq 60); do ${call} -o /dev/null -w '[%{http_code}]' || true; sleep 0.25; done`;
  const running = fromDyno(loop);
  await new Promise((resolve) => setTimeout(resolve, 3000)); // some of its calls are refused
  await statorOk(["egress:remove", "0.0.0.0/0", "-a", app]);
  const text = await running;
  // In brackets, for curl's messages name the port, which may hold any digits (20002).
  assert.match(text, /\[000\][\s\S]*\[200\]/);
  assert.doesNotMatch(text.slice(text.indexOf("[200]")), /\[000\]/);
});

/** The router as dynos see it by IPv6; undefined: this machine has no IPv6, and its dynos have none. */
function gateway6(): string | undefined {
  const all = networkInterfaces()[`${config.instance.interfacePrefix}gw`] ?? [];
  return all.find(({ family }) => family === "IPv6")?.address;
}

const REFUSED = /refused|Failed to connect|Couldn't connect|unreachable/;

test("what denies anything denies all of IPv6, in which no exception can be said; without it IPv6 is there", async () => {
  const address = gateway6();
  assert.equal(address !== undefined, hasIpv6);
  const call6 = `curl -sS -m 10 -H "Host: $HEROKU_APP_NAME.localhost" http://[${address ?? "::1"}]:${config.httpPort}/by-6 2>&1`;
  const answered = address === undefined ? REFUSED : /path=\/by-6/;
  assert.match(await fromDyno(call6), answered, "no rule");
  await statorOk(["egress:allow", "10.0.0.0/8", "-a", app]);
  assert.match(await fromDyno(call6), answered, "a rule that allows takes nothing away");
  await statorOk(["egress:deny", "203.0.113.0/24", "-a", app]);
  const both = await fromDyno(`${call}; echo; ${call6}; sleep 12`); // refusals of IPv6 are read every 8 s
  assert.match(both, /path=\/inside/, "of IPv4 that block alone");
  assert.doesNotMatch(both, /by-6/);
  assert.match(both, REFUSED);
  if (address !== undefined)
    await waitLog(app, /heroku\[run\.\d+\]: Connection to \[fd53:[^\]]+\]:\d+ .*own egress rules/);
  const elsewhere = ["2600::1", "fd00:ec2::254", "fe80::1%eth0", "::ffff:203.0.113.1"];
  const seen = await fromDyno(
    elsewhere.map((each) => `curl -sS -m 5 'http://[${each}]/' 2>&1 || echo none`).join("; "),
  );
  assert.equal(seen.match(/^none/gm)?.length, elsewhere.length, seen);
  await statorOk(["egress:remove", "203.0.113.0/24", "-a", app]);
  assert.match(await fromDyno(call6), answered, "and gives it back");
  await statorOk(["egress:remove", "10.0.0.0/8", "-a", app]);
});

test("a connection by IPv6 that stands ends when something is denied", async () => {
  const address = gateway6();
  if (address === undefined) return assert.ok(!hasIpv6); // there is none that could stand
  // A request whose head takes 12 s to say.
  const script = [
    "import socket, time",
    `one = socket.create_connection(('${address}', ${config.httpPort}), 5)`,
    `one.sendall(b'GET /stands HTTP/1.1\\r\\nHost: ${app}.localhost\\r\\n')`,
    "try:",
    "  for n in range(48):",
    "    one.sendall(b'X-More: %d\\r\\n' % n)",
    "    time.sleep(0.25)",
    "  one.sendall(b'\\r\\n')",
    "  print('answer', one.recv(12))",
    "except OSError as error:",
    "  print('ended after', n, error)",
  ].join("\n");
  const slowly = () => fromDyno(`python3 -c "${script}" 2>&1`);
  assert.match(await slowly(), /answer b'HTTP\/1\.1 200/, "with no rule it stands until it is answered");
  const running = slowly();
  await new Promise((resolve) => setTimeout(resolve, 4000)); // some of it is said
  await statorOk(["egress:deny", "203.0.113.0/24", "-a", app]);
  const text = await running;
  await statorOk(["egress:remove", "203.0.113.0/24", "-a", app]);
  const sent = Number(/ended after (\d+) .*(reset|refused|pipe)/i.exec(text)?.[1]);
  assert.ok(sent > 0 && sent < 47, text);
});
