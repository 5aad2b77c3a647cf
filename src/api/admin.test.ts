import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../test/support/api-world.ts";

let world: World;
before(async () => {
  world = await openWorld();
});
after(() => world[Symbol.asyncDispose]());

const socketPath = () => join(world.home, "run", "daemon", "admin.sock");

test("whoever may open the socket gets a token: the owner's, or that of the person they name", async () => {
  const own = await post({ description: "laptop" });
  assert.deepEqual([own.status, own.json.email], [201, "owner@example.com"]);
  assert.equal((await world.call("GET", "/account", { token: own.json.token })).json.email, "owner@example.com");
  const other = await post({ description: "laptop", email: "new@example.com" });
  assert.equal((await world.call("GET", "/account", { token: other.json.token })).json.email, "new@example.com");
  assert.equal((await post({ description: "x", email: "no address" })).status, 422);
  assert.equal((await post({ description: "x", scopes: ["global"] })).status, 422);
});

test("the socket is its user's alone, and its routes are on no other listener", async () => {
  assert.equal(statSync(socketPath()).mode & 0o777, 0o600);
  assert.equal((await world.call("POST", "/tokens", { body: { description: "x" } })).status, 404);
});

test("whoever may open the socket sees every app's id, and takes nothing from the public list of apps", async () => {
  const app = await world.deployed("admin-sees");
  const { status, json } = await ask<readonly unknown[]>("GET", "/apps");
  assert.deepEqual([status, json], [200, [{ id: app.id, name: "admin-sees" }]]);
  assert.equal((await world.call("GET", "/apps", { token: null })).status, 401);
});

const post = (body: unknown) => ask<{ readonly token: string; readonly email: string }>("POST", "/tokens", body);

function ask<T>(method: string, path: string, body?: unknown): Promise<{ readonly status: number; readonly json: T }> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "Content-Type": "application/json" };
    const outgoing = request({ socketPath: socketPath(), path, method, headers, agent: false });
    outgoing.once("error", reject);
    outgoing.once("response", (incoming) => {
      let text = "";
      incoming.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      incoming.once("end", () => resolve({ status: incoming.statusCode ?? 0, json: JSON.parse(text) }));
    });
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
