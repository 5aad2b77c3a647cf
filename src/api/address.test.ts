import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../test/support/api-world.ts";

let world: World;
before(async () => {
  world = await openWorld();
  const { id } = await world.deployed("hello");
  for (const dyno of await world.store.dynos.list(id)) await world.store.dynos.update(dyno.id, { state: "up" });
});
after(() => world[Symbol.asyncDispose]());

const CLIENT_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFq5rGQ9SyTbGUWHrWAGsyqP4dHKn9YSVf9WW8ZkSXHv";
const TICKET = "t".repeat(43);
const relayed = (value: string) => ({ headers: { "Stator-Relay": value } });

test("what a relay brought is answered with addresses that lead back through it, links with its ticket", async () => {
  const through = relayed(`https://127.0.0.1:41823/?relay=${TICKET}`);
  const app = await world.call("GET", "/apps/hello", through);
  assert.equal(app.json.git_url, "https://127.0.0.1:41823/hello.git");
  const logs = await world.call("POST", "/apps/hello/log-sessions", { ...through, body: {} });
  assert.match(
    logs.json.logplex_url,
    new RegExp(`^https://127\\.0\\.0\\.1:41823/stator/logs/[^?]+\\?relay=${TICKET}$`),
  );
  const { source_blob: source } = (await world.call("POST", "/sources", through)).json;
  assert.match(source.put_url, /^https:\/\/127\.0\.0\.1:41823\/stator\/sources\/[^?]+\?relay=t+$/);
  assert.match(source.get_url, /^https:\/\/127\.0\.0\.1:41823\/stator\/sources\/[^?]+$/);
  const body = { command: "x", attach: true };
  const { attach_url } = (await world.call("POST", "/apps/hello/dynos", { ...through, body })).json;
  assert.match(attach_url, /^rendezvous:\/\/127\.0\.0\.1:41823\/[\w-]{43}\?relay=t+$/);
});

test("SSH clients are led to the relay's address where it has one, and only to one of the loopback", async () => {
  const relay = `https://127.0.0.1:41823/?relay=${TICKET}`;
  const register = async (exec: string) => {
    const authorization = `Basic ${Buffer.from(`hello:${world.token}`).toString("base64")}`;
    const headers = { "Stator-Relay": `${relay}${exec}`, Authorization: authorization };
    return world.call("PUT", "/api/v2/web.1", { headers, body: { client_key: CLIENT_KEY }, token: null });
  };
  assert.equal((await register("&exec=127.99.1.2")).json.tunnel_host, "127.99.1.2");
  const { json } = await register("");
  for (const exec of ["&exec=10.0.0.1", "&exec=127.0.0.1", "&exec=127.99.1.2.example"])
    assert.equal((await register(exec)).json.tunnel_host, json.tunnel_host, exec);
});

test("a relay is on the caller's own machine: any other address is as if none were named", async () => {
  const port = world.api.port;
  for (const value of [
    `https://example.org:1/?relay=${TICKET}`,
    `https://127.0.0.1.example.org:1/?relay=${TICKET}`,
    `https://127.0.0.1:1@example.org:1/?relay=${TICKET}`,
    `http://127.0.0.1:1/?relay=${TICKET}`,
    `https://127.0.0.1:99999/?relay=${TICKET}`,
    "https://127.0.0.1:1/?relay=short",
    `https://127.0.0.1:1/x?relay=${TICKET}`,
    "",
  ]) {
    const { json } = await world.call("GET", "/apps/hello", relayed(value));
    assert.equal(json.git_url, `http://127.0.0.1:${port}/hello.git`, value);
  }
});
