import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../../test/support/api-world.ts";
import { SimClock } from "../../lib/sim-clock.ts";

const clock = new SimClock();
let world: World;
let appId = "";
before(async () => {
  world = await openWorld({ clock });
  appId = (await world.deployed("hello")).id;
  for (let n = 1; n <= 4; n++) say(n % 2 === 0 ? "web.1" : "worker.1", `line ${n}`);
  world.logs.append(appId, { at: clock.now(), source: "heroku", process: "web.1", text: "platform" });
});
after(() => world[Symbol.asyncDispose]());

function say(process: string, text: string): void {
  world.logs.append(appId, { at: clock.now(), source: "app", process, text });
}

async function session(body: unknown): Promise<string> {
  const { status, json } = await world.call("POST", "/apps/hello/log-sessions", { body });
  assert.equal(status, 201);
  return json.logplex_url;
}

const texts = (stream: string) =>
  stream
    .split("\n")
    .filter((line) => line.includes("]: "))
    .map((line) => line.slice(line.indexOf("]: ") + 3));
const SSE = { Accept: "text/event-stream" };

test("platform-api 3.2: plain lines without a token, the newest `lines`, then the end", async () => {
  const response = await fetch(await session({ lines: 2 }));
  assert.match(response.headers.get("content-type") ?? "", /^text\/plain/);
  const text = await response.text();
  assert.match(text, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00 app\[web\.1\]: line 4\n/);
  assert.deepEqual(texts(text), ["line 4", "platform"]);
  assert.deepEqual(texts(await (await fetch(await session({ lines: 0 }))).text()), []);
});

test("platform-api 3.2: filters by dyno, type and source, under either name of the field", async () => {
  const of = async (body: unknown) => texts(await (await fetch(await session(body))).text());
  assert.deepEqual(await of({ dyno: "worker.1" }), ["line 1", "line 3"]);
  assert.deepEqual(await of({ dyno_name: "worker" }), ["line 1", "line 3"]);
  assert.deepEqual(await of({ type: "web", source: "app" }), ["line 2", "line 4"]);
  assert.deepEqual(await of({ dyno: "web.10" }), []);
  assert.equal((await world.call("POST", "/apps/hello/log-sessions", { body: { source: "syslog" } })).status, 422);
});

test("platform-api 3.2: as events each line has an id, and a tail goes on after the last one seen, each line once", async () => {
  const url = await session({ lines: 1, tail: true });
  const first = await openTail(url, {});
  assert.deepEqual(texts(await first.until("platform")), ["platform"]);
  assert.match(first.text, /^id: 5\ndata: /);
  say("web.1", "live one");
  await first.until("live one");
  first.close();
  say("web.1", "while away");
  const seen = [...first.text.matchAll(/^id: (\d+)$/gm)].at(-1)?.[1] ?? "";
  const second = await openTail(url, { "Last-Event-ID": seen });
  assert.deepEqual(texts(await second.until("while away")), ["while away"]);
  second.close();
});

test("spec 8.3: a session is to be opened within 6 minutes; a tail that broke may go on later; forged ones are nothing", async () => {
  const url = await session({ tail: true });
  await clock.advance(370_000);
  assert.equal((await fetch(url, { headers: SSE })).status, 404);
  const resumed = await openTail(url, { "Last-Event-ID": "1" });
  await resumed.until("line 2");
  resumed.close();
  await clock.advance(86_400_000);
  assert.equal((await fetch(url, { headers: { ...SSE, "Last-Event-ID": "1" } })).status, 404);
  assert.equal((await fetch(`${world.url}/stator/logs/e30.e30`)).status, 404);
});

test("a session ends with the token that asked for it, and with the app", async () => {
  const mine = { userId: world.user.id, description: "", scopes: ["read"], expiresAt: null };
  const { token, text } = await world.store.tokens.create(mine);
  const { json } = await world.call("POST", "/apps/hello/log-sessions", { body: {}, token: text });
  assert.equal((await fetch(json.logplex_url)).status, 200);
  await world.store.tokens.revoke(token.id);
  assert.equal((await fetch(json.logplex_url)).status, 404);
});

test("a tail without lines answers at once, and says now and then that it is there", async () => {
  const tail = await openTail(await session({ lines: 0, tail: true, dyno: "nobody" }), {});
  await clock.advance(15_000);
  await tail.until(": still here");
  tail.close();
});

async function openTail(url: string, headers: Readonly<Record<string, string>>) {
  const stop = new AbortController();
  const response = await fetch(url, { headers: { ...SSE, ...headers }, signal: stop.signal });
  assert.match(response.headers.get("content-type") ?? "", /^text\/event-stream/);
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  assert.ok(reader);
  return {
    text: "",
    async until(wanted: string): Promise<string> {
      while (!this.text.includes(wanted)) {
        const { value, done } = await reader.read();
        assert.equal(done, false, `the stream ended before ${wanted}: ${this.text}`);
        this.text += value ?? "";
      }
      return this.text;
    },
    close: () => stop.abort(),
  };
}
