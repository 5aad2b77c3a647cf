import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { openWorld, type World } from "../../test/support/api-world.ts";

let world: World;
before(async () => {
  world = await openWorld();
  await world.deployed("hello");
});
after(() => world[Symbol.asyncDispose]());

test("platform-api 1.3: every variant of version 3 is one API, another version is 406", async () => {
  const accept = async (value: string) => (await world.call("GET", "/account", { headers: { Accept: value } })).status;
  for (const version of ["3", "3.sdk", "3.pipelines", "3.docker-releases", "3.nobody-knows"]) {
    assert.equal(await accept(`application/vnd.heroku+json; version=${version}`), 200);
  }
  assert.equal(await accept("*/*"), 200);
  assert.equal(await accept("application/vnd.heroku+json; version=2"), 406);
  assert.equal(await accept("application/vnd.heroku+json; version=30"), 406);
});

test("platform-api 1.3: an app's generation is an object in 3, a word in 3.sdk", async () => {
  const generation = async (version: string) => {
    const headers = { Accept: `application/vnd.heroku+json; version=${version}` };
    return (await world.call("GET", "/apps/hello", { headers })).json.generation;
  };
  assert.equal((await generation("3")).name, "cedar");
  assert.equal(await generation("3.sdk"), "cedar");
});

test("platform-api 1.4: every answer has Request-Id, RateLimit-Remaining and JSON's type; ETag gives 304 without a body", async () => {
  const ok = await world.call("GET", "/account");
  const missing = await world.call("GET", "/nothing-here");
  const refused = await world.call("GET", "/account", { token: null });
  for (const answer of [ok, missing, refused]) {
    assert.match(answer.headers.get("request-id") ?? "", /^[0-9a-f-]{36}$/);
    assert.match(answer.headers.get("ratelimit-remaining") ?? "", /^\d+$/);
    assert.match(answer.headers.get("content-type") ?? "", /^application\/json/);
    assert.match(answer.headers.get("etag") ?? "", /^".+"$/);
  }
  const etag = ok.headers.get("etag") ?? "";
  const same = await world.call("GET", "/account", { headers: { "If-None-Match": etag } });
  assert.deepEqual([same.status, same.text], [304, ""]);
  const other = await world.call("GET", "/account", { headers: { "If-None-Match": '"other"' } });
  assert.equal(other.status, 200);
  const write = await world.call("POST", "/apps/hello/log-sessions", { body: {}, headers: { "If-None-Match": "*" } });
  assert.equal(write.status, 201);
});

test("platform-api 1.6: errors are JSON with id, message and resource", async () => {
  const unknown = await world.call("GET", "/nothing-here");
  assert.deepEqual([unknown.status, unknown.json.id], [404, "not_found"]);
  const app = await world.call("GET", "/apps/no-such-app");
  assert.deepEqual(app.json, { id: "not_found", message: "Couldn't find that app.", resource: "app" });
  const broken = await world.call("PATCH", "/apps/hello", { body: "{" });
  assert.deepEqual([broken.status, broken.json.id], [400, "bad_request"]);
  const wrong = await world.call("PATCH", "/apps/hello", { body: { maintenance: "yes" } });
  assert.deepEqual([wrong.status, wrong.json.id], [422, "invalid_params"]);
  assert.match(wrong.json.message, /maintenance/);
  const poison = await world.call("PATCH", "/apps/hello/config-vars", { body: '{"__proto__": "x"}' });
  assert.deepEqual([poison.status, poison.json.id], [400, "bad_request"]);
  const large = await world.call("PATCH", "/apps/hello/config-vars", { body: { A: "x".repeat(2_000_000) } });
  assert.deepEqual([large.status, large.json.id], [413, "payload_too_large"]);
});

test("bodies: none where one may be, an empty one with a type, JSON under another type, DELETE with a body", async () => {
  assert.equal((await world.call("POST", "/apps/hello/log-sessions")).status, 201);
  const type = { "Content-Type": "application/json" };
  assert.equal((await world.call("POST", "/apps/hello/log-sessions", { body: "", headers: type })).status, 201);
  const form = { "Content-Type": "application/x-www-form-urlencoded" };
  const patched = await world.call("PATCH", "/apps/hello", { body: '{"maintenance":true}', headers: form });
  assert.equal(patched.json.maintenance, true);
  assert.equal((await world.call("DELETE", "/apps/hello/dynos", { body: { force: false } })).status, 202);
});

test("platform-api 1.2: a Range that does not fit is ignored where there is no list", async () => {
  const headers = { Range: "id ..; max=1000", "Content-Length": "0" };
  assert.equal((await world.call("GET", "/apps/hello", { headers: { Range: headers.Range } })).status, 200);
  assert.equal((await world.call("GET", "/apps/hello/config-vars", { headers: { Range: "nonsense" } })).status, 200);
  assert.equal((await world.call("GET", "/apps", { headers: { Range: "nonsense" } })).status, 416);
});

test("spec 13: the calls of an account are counted; above the limit 429, and asking for the rest is free", async () => {
  await using few = await openWorld({ callsPerHour: 3 });
  assert.equal((await few.call("GET", "/account")).headers.get("ratelimit-remaining"), "2");
  assert.deepEqual((await few.call("GET", "/account/rate-limits")).json, { remaining: 2 });
  await few.call("GET", "/account");
  await few.call("GET", "/account");
  const refused = await few.call("GET", "/account");
  assert.deepEqual([refused.status, refused.json.id], [429, "rate_limit"]);
  assert.deepEqual((await few.call("GET", "/account/rate-limits")).json, { remaining: 0 });
});

test("large answers are compressed for those who take it", async () => {
  const { headers, body } = await raw({ path: "/dyno-sizes", headers: { "Accept-Encoding": "gzip" } });
  assert.equal(headers["content-encoding"], "gzip");
  assert.equal(JSON.parse(gunzipSync(body).toString("utf8")).length, 9);
  assert.equal((await raw({ path: "/dyno-sizes" })).headers["content-encoding"], undefined);
});

test("OPTIONS says what may be asked for, to everybody, and 404 where there is nothing", async () => {
  const options = (path: string) => world.call("OPTIONS", path, { token: null });
  const app = await options("/apps/hello");
  assert.deepEqual([app.status, app.headers.get("allow")], [204, "DELETE, GET, HEAD, OPTIONS, PATCH"]);
  assert.equal((await options("/apps/hello/dynos?x=1")).headers.get("allow"), "DELETE, GET, HEAD, OPTIONS, POST");
  assert.deepEqual([(await options("/nothing")).status, (await options("/apps/hello/nothing")).status], [404, 404]);
});

test("a field that is not known is refused by name; where clients send more than the schema has, it is taken", async () => {
  const wrong = await world.call("PATCH", "/apps/hello", { body: { maintenence: true } });
  assert.deepEqual([wrong.status, wrong.json.id], [422, "invalid_params"]);
  assert.match(wrong.json.message, /Unknown parameter: "maintenence"\. Known here: name, maintenance, build_stack\./);
  const long = await world.call("POST", "/account/keys", { body: { ["x".repeat(5000)]: 1 } });
  assert.ok(long.json.message.length < 300);
  const session = await world.call("POST", "/apps/hello/log-sessions", { body: { lines: 1, from_the_future: 1 } });
  assert.equal(session.status, 201);
  assert.equal((await world.call("DELETE", "/apps/hello/dynos", { body: { force: false } })).status, 202);
});

test("HEAD is answered as GET without its body", async () => {
  const head = await raw({ path: "/apps/hello", method: "HEAD" });
  assert.deepEqual([head.status, head.body.length], [200, 0]);
});

test("the plain port answers to this machine's names only (DNS rebinding)", async () => {
  const status = async (host: string) => (await raw({ path: "/account", headers: { Host: host } })).status;
  const { port } = world.api;
  for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, "localhost", `[::1]:${port}`, "hello.localhost"]) {
    assert.equal(await status(host), 200, host);
  }
  for (const host of [
    "evil.example.com",
    `evil.example.com:${port}`,
    "127.0.0.1.evil.example",
    "localhost.evil.example",
  ]) {
    assert.equal(await status(host), 403, host);
  }
  assert.equal(await status("evil.example.com/../localhost"), 403);
});

interface Raw {
  readonly path: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

function raw({ path, method = "GET", headers = {} }: Raw) {
  return new Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; body: Buffer }>((resolve, reject) => {
    const all = { Authorization: `Bearer ${world.token}`, ...headers };
    const outgoing = request({ port: world.api.port, host: "127.0.0.1", path, method, headers: all, agent: false });
    outgoing.once("error", reject);
    outgoing.once("response", (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.once("end", () =>
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(chunks) }),
      );
    });
    outgoing.end();
  });
}
