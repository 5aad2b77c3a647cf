import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { echo } from "./apps.ts";
import { config, deployed, eventually, pidOf, platform, stator, statorOk, waitLog } from "./harness.ts";

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
  assert.match(await fromDyno(`${call}; sleep 4`), /refused|Failed to connect|Couldn't connect/); // refusals are read every 2 s
  await waitLog(
    app,
    new RegExp(`heroku\\[run\\.\\d+\\]: Connection to 10\\.\\d+\\.0\\.1:${config.httpPort} .*own egress rules`),
  );
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
  const loop = `for n in $(seq 60); do ${call} -o /dev/null -w '%{http_code} ' || true; sleep 0.25; done`;
  const running = fromDyno(loop);
  await new Promise((resolve) => setTimeout(resolve, 3000)); // some of its calls are refused
  await statorOk(["egress:remove", "0.0.0.0/0", "-a", app]);
  const text = await running;
  assert.match(text, /000[\s\S]*200/);
  assert.doesNotMatch(text.slice(text.indexOf("200")), /000/);
});
