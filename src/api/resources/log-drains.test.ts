import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../../test/support/api-world.ts";

let world: World;
before(async () => {
  world = await openWorld();
});
after(() => world[Symbol.asyncDispose]());

let number = 0;
const newApp = async () => (await world.deployed(`drained-${++number}`)).name;
const drainsOf = (app: string) => `/apps/${app}/log-drains`;
const post = (app: string, url: unknown) => world.call("POST", drainsOf(app), { body: { url } });

test("log drains: added, listed, found and removed by id, token and URL; the answers have each field of the schema", async () => {
  const app = await newApp();
  const urls = [
    "https://user:pass@logs.example.com/in?key=1",
    "syslog://logs.example.com:514",
    "syslog+tls://logs.example.com",
  ];
  const made = [];
  for (const url of urls) {
    const answer = await post(app, url);
    assert.equal(answer.status, 201, answer.text);
    assert.deepEqual([answer.json.url, answer.json.addon, answer.json.app.name], [url, null, app]);
    assert.match(answer.json.token, /^d\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    made.push(answer.json);
  }
  assert.equal((await world.call("GET", drainsOf(app))).json.length, 3);
  assert.equal((await world.call("GET", `${drainsOf(app)}?extended=true`)).json.length, 3);
  const [one, two, three] = made;
  const keys = [one.id, two.token, encodeURIComponent(three.url)];
  for (const [at, key] of keys.entries()) {
    assert.equal((await world.call("GET", `${drainsOf(app)}/${key}`)).json.id, made[at].id);
    const gone = await world.call("DELETE", `${drainsOf(app)}/${key}`);
    assert.deepEqual([gone.status, gone.json.url], [200, urls[at]]);
    const again = await world.call("DELETE", `${drainsOf(app)}/${key}`);
    assert.deepEqual([again.status, again.json.id, again.json.resource], [404, "not_found", "log_drain"]);
  }
  const log = world.logs.textOf((await world.store.apps.find(app))?.id ?? "");
  assert.ok(log.includes("app[api]: Add log drain https://logs.example.com:443/ by user owner@example.com"));
  assert.ok(!log.some((line) => line.includes("pass")));
});

test("spec 8.4: the same URL, a sixth drain, and what is no URL of a drain are refused", async () => {
  const app = await newApp();
  const refused = async (url: unknown, why: RegExp) => {
    const answer = await post(app, url);
    assert.equal(answer.status, 422, answer.text);
    assert.match(answer.json.message, why);
  };
  await post(app, "syslog://h1");
  await refused("syslog://h1", /^Url has already been taken$/);
  await refused("ftp://h", /^Url is invalid\. Use https:/);
  await refused("https://h\r\nX: y", /^Url is invalid\./);
  await refused(5, /Invalid parameters/);
  for (let n = 2; n <= 5; n++) await post(app, `syslog://h${n}`);
  await refused("syslog://h6", /5 drains already/);
  assert.equal((await post(await newApp(), "syslog://h1")).status, 201, "another app may");
});

test("SSRF: private addresses, the host's own and the metadata service are refused, however they are written, with the command", async () => {
  const app = await newApp();
  const hosts = ["10.0.0.5", "169.254.169.254", "192.168.0.1", "0x0a000005", "[::1]", "[fd00::1]", "[::ffff:10.0.0.5]"];
  for (const host of hosts) {
    for (const scheme of ["https", "syslog"]) {
      const answer = await post(app, `${scheme}://${host}:6000/`);
      assert.equal(answer.status, 422, `${host}: ${answer.text}`);
      assert.match(answer.json.message, /refused by the network rules/);
    }
  }
  const { json } = await post(app, "syslog://10.0.0.5:6000");
  assert.match(json.message, new RegExp(`sudo \\S+ network:allow 10\\.0\\.0\\.5:6000 -a ${app}$`));
  assert.equal((await post(app, "syslog://127.0.0.1:6000")).status, 201, "which this world allows");
});

test("a drain that is removed by its URL leaves no password in the audit log", async () => {
  const app = await newApp();
  const url = "https://user:pa55word@logs.example.com/in";
  await post(app, url);
  assert.equal((await world.call("DELETE", `${drainsOf(app)}/${encodeURIComponent(url)}`)).status, 200);
  const events = await world.call("GET", `/apps/${app}/audit-events`);
  assert.match(events.text, /log-drains\/\(url\)/);
  assert.doesNotMatch(events.text, /pa55word/);
});

test("drains of an app are its owner's alone", async () => {
  const app = await newApp();
  const { json } = await post(app, "syslog://h1");
  const other = await world.store.users.ensure("other@example.com");
  const { text: token } = await world.store.tokens.create({
    userId: other.id,
    description: "",
    scopes: ["global"],
    expiresAt: null,
  });
  for (const [method, path] of [
    ["GET", ""],
    ["POST", ""],
    ["GET", `/${json.id}`],
    ["DELETE", `/${json.id}`],
  ] as const) {
    const answer = await world.call(method, `${drainsOf(app)}${path}`, {
      token,
      ...(method === "POST" && { body: { url: "syslog://h" } }),
    });
    assert.ok([403, 404].includes(answer.status), `${method} ${path}: ${answer.status}`);
  }
  const mine = await newApp();
  assert.equal((await world.call("GET", `${drainsOf(mine)}/${json.id}`)).status, 404, "of another app of mine");
});
