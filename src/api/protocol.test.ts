import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../test/support/api-world.ts";
import type { RouteEntry } from "./http.ts";

/** The transport's rules (platform-api 1.4, 1.5) on every route that there is, and on those that will be. */
let world: World;
const ids = new Map<string, string>();

before(async () => {
  world = await openWorld({ callsPerHour: 1e6 });
  const { id, name } = await world.deployed("hello");
  await world.deployed("other");
  const friend = await world.store.users.ensure("friend@example.com");
  const post = async (path: string, body: object) => {
    const { status, json, text } = await world.call("POST", path, { body });
    assert.ok(status < 300, `${path}: ${text}`);
    return json.id;
  };
  const own = `/apps/${name}`;
  const pipeline = await post("/pipelines", { name: "line" });
  for (const app of ["hello", "other"]) await post("/pipeline-couplings", { app, pipeline, stage: "staging" });
  await post("/account/app-transfers", { app: id, recipient: friend.id });
  for (const n of [1, 2]) {
    const word = `w${n}.example.com`;
    await post("/pipelines", { name: `line-${n}` });
    await post("/oauth/clients", { name: word, redirect_uri: `https://${word}/` });
    await post("/oauth/authorizations", { description: word });
    await post(`${own}/collaborators`, { user: (await world.store.users.ensure(`u@${word}`)).email });
    await post(`${own}/domains`, { hostname: word });
    await post(`${own}/log-drains`, { url: `https://${word}/` });
    await post(`${own}/webhooks`, { include: ["api:release"], level: "notify", url: `https://${word}/` });
    await post(`${own}/schedules`, { command: "x", schedule: "0 3 * * *", name: `nightly-${n}` });
    await post(`${own}/egress-rules`, { action: "deny", cidr: `10.${n}.0.0/16` });
    await post(`${own}/builds`, { source_blob: { url: `https://${word}/a.tgz` } });
    await post("/telemetry-drains", {
      owner: { id, type: "app" },
      signals: ["logs"],
      exporter: { type: "otlphttp", endpoint: `https://${word}/`, headers: {} },
    });
    await world.call("PATCH", `${own}/config-vars`, { body: { [`VAR_${n}`]: "x" } });
  }
  await world.supervision.idle();
});
after(() => world[Symbol.asyncDispose]());

/** What the official CLI asks of its exec manager has rules of its own. */
const isOurs = ({ url }: RouteEntry) => !url.includes("*") && !url.startsWith("/api/v2");
const reads = () => world.api.routes.filter((route) => route.method === "GET" && isOurs(route));
const answer = ({ schema }: RouteEntry) =>
  ((schema?.response ?? {}) as Readonly<Record<string, { readonly type?: string; readonly maxItems?: number }>>)["2xx"];
const isList = (route: RouteEntry) => answer(route)?.type === "array";

/** With what is there in the place of its parameters. */
async function pathOf({ url }: RouteEntry): Promise<string> {
  let path = "";
  for (const part of url.slice(1).split("/")) {
    if (part === ":app") path += "/hello";
    else if (part === ":account") path += "/~";
    else if (part.startsWith(":")) path += `/${await idIn(path)}`;
    else path += `/${part}`;
  }
  return path;
}

async function idIn(list: string): Promise<string> {
  const known = ids.get(list);
  if (known !== undefined) return known;
  const { json } = await world.call("GET", list);
  const [first] = Array.isArray(json) ? json : [];
  const id: string = first?.id ?? first?.name ?? "none";
  ids.set(list, id);
  return id;
}

/** Lists that are given whole, and why. */
const NOT_PAGED: Readonly<Record<string, string>> = {
  "/buildpacks": "of the buildpack registry, whose clients page otherwise",
  "/teams/permissions": "all four, from the least to the most",
  "/apps/:app/schedules": "ours: a few, by name, and one of app.json may have another's name",
  "/apps/:app/schedules/:schedule/runs": "the newest 100, the newest first: there are no more",
  ...Object.fromEntries(
    [
      "/addons",
      "/addon-attachments",
      "/addon-services",
      "/users/:account/addons",
      "/teams",
      "/spaces",
      "/apps/:app/addons",
      "/apps/:app/addon-attachments",
    ].map((url) => [url, "always empty"]),
  ),
};

test("platform-api 1.5: every list is paged: 206 with Next-Range while there is more, 200 without at its end", async () => {
  const several: string[] = [];
  const notPaged: string[] = [];
  for (const route of reads().filter(isList)) {
    const path = await pathOf(route);
    const all = await world.call("GET", path);
    if (all.status === 404) continue; // of something that is not here at all
    assert.equal(all.status, 200, path);
    const fields = (all.headers.get("accept-ranges") ?? "").split(", ").filter((field) => field !== "");
    if (fields.length === 0) notPaged.push(route.url);
    assert.equal(all.headers.get("next-range"), null, path);
    if (fields.length === 0 || all.json.length < 2) continue;
    several.push(route.url);
    for (const field of fields) {
      const seen: unknown[] = [];
      let range: string | null = `${field} ..; max=1`;
      for (let pages = 0; range !== null; pages++) {
        assert.ok(pages < all.json.length, `${path}: it ends`);
        const page = await world.call("GET", path, { headers: { Range: range } });
        range = page.headers.get("next-range");
        assert.equal(page.status, range === null ? 200 : 206, path);
        assert.match(page.headers.get("content-range") ?? "", new RegExp(`^${field} .*\\.\\..*`), path);
        seen.push(...page.json.map((item: unknown) => JSON.stringify(item)));
      }
      assert.equal(new Set(seen).size, all.json.length, `${path} by ${field}`);
    }
    const bad = await world.call("GET", path, { headers: { Range: "no-such-field .." } });
    assert.deepEqual([bad.status, bad.json.id], [416, "requested_range_not_satisfiable"], path);
  }
  assert.deepEqual(
    notPaged.filter((url) => NOT_PAGED[url] === undefined),
    [],
  );
  assert.ok(several.length > 20, `lists with several things: ${several.join(", ")}`);
});

test("platform-api 1.3: what heroku-client sends with every request is no bad range to any read", async () => {
  for (const route of reads()) {
    const path = await pathOf(route);
    const { status } = await world.call("GET", path, { headers: { Range: "id ..; max=1000" } });
    assert.notEqual(status, 416, path);
  }
});

test("platform-api 1.4: every read has an ETag, which gives 304 without a body; HEAD says the same without one", async () => {
  let count = 0;
  for (const route of reads()) {
    const path = await pathOf(route);
    const { status, headers, text } = await world.call("GET", path);
    const what = `${path} ${status}`;
    assert.match(headers.get("request-id") ?? "", /^[0-9a-f-]{36}$/, what);
    assert.match(headers.get("ratelimit-remaining") ?? "", /^\d+$/, what);
    if (status >= 300 || headers.get("content-type")?.includes("json") !== true) continue; // a stream
    count++;
    const etag = headers.get("etag") ?? "";
    assert.match(etag, /^"[0-9a-f]+"$/, what);
    const head = await world.call("HEAD", path);
    assert.deepEqual([head.status, head.text], [status, ""], what);
    const again = await world.call("GET", path, { headers: { "If-None-Match": etag } });
    if (again.status === 200 && again.text !== text) continue; // it says how much is left, or what time it is
    assert.deepEqual([again.status, again.text], [304, ""], what);
  }
  assert.ok(count > 80, `${count} were read`);
});

test("OPTIONS names every method of every route", async () => {
  for (const { method, url } of world.api.routes.filter((route) => !route.url.includes("*"))) {
    const path = url.replaceAll(/:\w+/g, "x");
    const { status, headers } = await world.call("OPTIONS", path, { token: null });
    assert.equal(status, 204, path);
    assert.ok(headers.get("allow")?.split(", ").includes(method), `${method} ${path}`);
  }
});

test("a field that is not known is refused by every route that takes fields", async () => {
  let count = 0;
  for (const route of world.api.routes) {
    const { type, properties, additionalProperties } = (route.schema?.body ?? {}) as {
      readonly type?: string;
      readonly properties?: object;
      readonly additionalProperties?: unknown;
    };
    const isClosed = type === "object" && properties !== undefined && additionalProperties !== true;
    if (!isClosed || !isOurs(route)) continue;
    const body = { no_such_field: 1 };
    const { status, json } = await world.call(route.method, await pathOf(route), { body });
    if (status === 404 || status === 415) continue;
    count++;
    assert.equal(status, 422, `${route.method} ${route.url}`);
    assert.match(json.message, /Unknown parameter: "no_such_field"/, `${route.method} ${route.url}`);
  }
  assert.ok(count > 40, `${count} routes were asked`);
});

test("platform-api 1.4: a create that the client sends again is done once, and answered the same", async () => {
  const headers = { "Request-Id": "01234567-89ab-4def-8123-456789abcdef,fedcba98-7654-4210-8edc-ba9876543210" };
  const create = (body: object, more: object = headers) =>
    world.call("POST", "/apps", { body, headers: more as Record<string, string> });
  const [first, beside] = await Promise.all([create({ name: "once" }), create({ name: "once" })]);
  assert.deepEqual([first.status, beside.status], [201, 201]);
  assert.deepEqual(beside.json, first.json);
  const again = await create({ name: "once" });
  assert.deepEqual([again.status, again.json], [201, first.json]);
  assert.notEqual(again.headers.get("request-id"), first.headers.get("request-id"));
  assert.match((await create({ name: "once" }, {})).json.message, /already taken/, "another call is another");
  assert.equal((await create({ name: "other-body" })).json.name, "other-body");
  const hook = { include: ["api:release"], level: "notify", url: "https://again.example.com/" };
  const secrets = [];
  for (let times = 0; times < 2; times++) {
    const made = await world.call("POST", "/apps/once/webhooks", { body: hook, headers });
    secrets.push(made.headers.get("heroku-webhook-secret"));
  }
  assert.ok(secrets[0]);
  assert.equal(secrets[1], secrets[0]);
  assert.equal((await world.call("GET", "/apps/once/webhooks")).json.length, 1);
  const stranger = await world.store.users.ensure("stranger@example.com");
  const fresh = { userId: stranger.id, description: "", scopes: ["global"], expiresAt: null };
  const { text: token } = await world.store.tokens.create(fresh);
  const theirs = await world.call("POST", "/apps", { body: { name: "once" }, headers, token });
  assert.equal(theirs.status, 422, "nobody sees another's answer");
});
