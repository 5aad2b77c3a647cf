import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../test/support/api-world.ts";
import { silentLogger } from "../lib/logger.ts";
import { SimClock } from "../lib/sim-clock.ts";
import { SCOPES, tokenIn } from "./auth.ts";
import { createHttp } from "./http.ts";
import { RateLimit } from "./rate-limit.ts";

let world: World;
before(async () => {
  world = await openWorld();
  await world.deployed("hello");
});
after(() => world[Symbol.asyncDispose]());

const basic = (pair: string) => `Basic ${Buffer.from(pair).toString("base64")}`;

test("platform-api 1.7: Bearer, and Basic with any user name, carry a token", () => {
  assert.equal(tokenIn("Bearer T"), "T");
  assert.equal(tokenIn("bearer  T "), "T");
  assert.equal(tokenIn(basic("me@example.com:T")), "T");
  assert.equal(tokenIn(basic(":T:with:colons")), "T:with:colons");
  for (const none of [undefined, "", "T", "Digest T", basic("T"), basic("me:"), "Bearer a b"]) {
    assert.equal(tokenIn(none), undefined, String(none));
  }
});

test("platform-api 1.6: no credentials and wrong ones are 401 unauthorized, before anything else is said", async () => {
  for (const path of ["/account", "/apps/hello", "/apps/no-such-app", "/hello.git/info/refs"]) {
    const none = await world.call("GET", path, { token: null });
    const wrong = await world.call("GET", path, { token: "HRKU-wrong" });
    assert.deepEqual(
      [none.status, none.json.id, wrong.status, wrong.json.id],
      [401, "unauthorized", 401, "unauthorized"],
    );
    assert.match(none.headers.get("www-authenticate") ?? "", /^Basic realm=/);
    assert.equal(wrong.json.message, "Invalid credentials provided.");
  }
  const revoked = await tokenWith(["global"]);
  await world.store.tokens.revoke(revoked.id);
  assert.equal((await world.call("GET", "/account", { token: revoked.text })).status, 401);
});

test("an app of somebody else is not there, by name nor by id, for any call", async () => {
  const other = await world.store.users.ensure("other@example.com");
  const { text: token } = await world.store.tokens.create({ ...LONG, userId: other.id, scopes: ["global"] });
  const app = await world.store.apps.find("hello");
  const calls = ["GET /apps/:a", "PATCH /apps/:a", "DELETE /apps/:a", "GET /apps/:a/config-vars", "GET /apps/:a/dynos"];
  calls.push("POST /apps/:a/dynos", "POST /apps/:a/log-sessions", "GET /apps/:a/releases/3/stator/image");
  for (const call of calls) {
    for (const name of ["hello", app?.id ?? ""]) {
      const [method = "", path = ""] = call.replace(":a", name).split(" ");
      const body = method === "GET" ? {} : { body: { command: "env" } };
      const answer = await world.call(method, path, { token, ...body });
      assert.deepEqual([answer.status, answer.json?.resource], [404, "app"], call);
    }
  }
  assert.deepEqual((await world.call("GET", "/apps", { token })).json, []);
  assert.equal((await world.call("GET", `/users/${world.user.id}/apps`, { token })).status, 404);
  assert.equal((await world.call("GET", "/hello.git/info/refs", { token })).status, 404);
});

const NEEDS = {
  "GET /account": SCOPES,
  "GET /apps/hello": ["global", "read", "write", "read-protected", "write-protected"],
  "GET /apps/hello/config-vars": ["global", "read", "write"],
  "GET /apps/hello/releases/3/config-vars": ["global", "read", "write"],
  "PATCH /apps/hello": ["global", "write", "write-protected"],
  "PATCH /apps/hello/config-vars": ["global", "write"],
  "POST /apps/hello/dynos": ["global", "write"],
  "POST /hello.git/git-receive-pack": ["global", "write"],
  "GET /oauth/authorizations": ["global"],
  "POST /oauth/authorizations": ["global"],
} as const;

test("platform-api 3.9: a token does what its scopes say, and nothing more", async () => {
  for (const scope of SCOPES) {
    const { text: token } = await tokenWith([scope]);
    for (const [call, enough] of Object.entries(NEEDS)) {
      const [method = "", path = ""] = call.split(" ");
      const body = method === "GET" ? {} : { body: path.endsWith("dynos") ? { command: "env" } : {} };
      const { status } = await world.call(method, path, { token, ...body });
      const may = (enough as readonly string[]).includes(scope);
      assert.equal(status === 403, !may, `${scope}: ${call} gave ${status}`);
      if (may) assert.ok(status < 300, `${scope}: ${call} gave ${status}`);
    }
  }
});

test("a route without a rule stops the server from starting", () => {
  const clock = new SimClock();
  const server = createHttp({
    store: world.store,
    rateLimit: new RateLimit(clock, 1),
    logger: silentLogger,
    checkResponses: true,
    admit: () => {},
    takesUpgrade: () => false,
  });
  assert.throws(() => server.get("/open-by-mistake", () => "everything"), /has no rule/);
});

const LONG = { description: "test", expiresAt: null };

async function tokenWith(scopes: readonly string[]) {
  const { token, text } = await world.store.tokens.create({ ...LONG, userId: world.user.id, scopes });
  return { id: token.id, text };
}
