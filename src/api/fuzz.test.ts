import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { TSchema } from "typebox";
import { openWorld, type World } from "../../test/support/api-world.ts";
import type { RouteEntry } from "./http.ts";

/**
 * Every word that a request can carry, in every route, replaced by what an attacker would write: never a 500, never a connection that
 * hangs, and of a refused call nothing is left. The routes and the fields of their bodies are read from the server.
 */
let world: World;
before(async () => {
  world = await openWorld({ callsPerHour: 1e9 });
});
after(() => world[Symbol.asyncDispose]());

const WORDS: readonly string[] = [
  "",
  "$(reboot); `id` | cat & '\"\\",
  "two\nlines\r\n\r\nHTTP/1.1 200",
  "--upload-pack=touch /tmp/x",
  "nul\0byte \u202e \u001b[2J",
  "../../../../etc/passwd",
  "x".repeat(20_000),
  "__proto__",
  "' or 1=1; drop table apps; --",
];
const VALUES: readonly unknown[] = [...WORDS, null, true, -1e308, [], {}, [[{}]], { constructor: { prototype: 1 } }];

interface Node {
  readonly type?: string;
  readonly anyOf?: readonly Node[];
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
  readonly required?: readonly string[];
  readonly const?: unknown;
}

/** Something that fits, so that what is wrong is wrong in one place. */
function fitting(node: Node): unknown {
  if (node.const !== undefined) return node.const;
  if (node.anyOf) return fitting(node.anyOf[0] ?? {});
  switch (node.type ?? "") {
    case "object":
      return Object.fromEntries((node.required ?? []).map((name) => [name, fitting(node.properties?.[name] ?? {})]));
    case "array":
      return node.items ? [fitting(node.items)] : [];
    case "integer":
    case "number":
      return 1;
    case "boolean":
      return true;
    default:
      return "word";
  }
}

/** The body with each of its fields, also of what lies inside, replaced by each value. */
function* bodiesOf(node: Node): Generator<unknown> {
  const whole = fitting(node);
  if (node.type !== "object") yield* VALUES;
  for (const [name, inner] of Object.entries(node.properties ?? {})) {
    for (const value of VALUES) yield { ...(whole as object), [name]: value };
    const deep = [inner, ...(inner.anyOf ?? []), ...(inner.items ? [inner.items] : [])];
    for (const each of deep.filter(({ properties }) => properties))
      for (const value of bodiesOf(each))
        yield { ...(whole as object), [name]: inner.type === "array" ? [value] : value };
  }
  if (node.properties === undefined) for (const word of WORDS) yield { [word]: word };
}

const routes = () => world.api.routes.filter(({ method }) => method !== "HEAD");
let apps = 0;

async function appFor({ rule }: RouteEntry) {
  if (rule.kind !== "app") return undefined;
  return world.store.apps.create({
    name: `app-${++apps}`,
    ownerId: world.user.id,
    stack: "debian-12",
    domain: "localhost",
  });
}

async function check(route: RouteEntry, path: string, body: unknown): Promise<number> {
  const { method } = route;
  const hasBody = method !== "GET";
  const answer = await world.call(method, path, { ...(hasBody && { body: body as string }) });
  const what = `${method} ${path.slice(0, 200)} ${JSON.stringify(body)?.slice(0, 300)}: ${answer.status} ${answer.text.slice(0, 300)}`;
  assert.ok(answer.status < 500, what);
  if (answer.status < 400 || route.url.includes("*")) return answer.status;
  assert.match(answer.json?.message ?? "", /./, what);
  assert.ok(answer.text.length < 3000, what); // what was sent is not sent back whole
  const told = await world.store.audit.list({ order: "desc", limit: 3 });
  const own = told.find(({ requestId }) => requestId === answer.headers.get("request-id"));
  assert.notEqual(own?.outcome, "done", `${what}\nwas refused, and something was changed`);
  return answer.status;
}

test("every word of every path", async () => {
  for (const route of routes()) {
    if (!route.url.includes(":")) continue;
    const app = await appFor(route);
    const names = [...route.url.matchAll(/:(\w+)/g)].map(([, name = ""]) => name);
    for (const name of names)
      for (const word of WORDS) {
        if (word.length > 4000) continue; // an address has an end
        const path = route.url.replaceAll(/:(\w+)/g, (_, each: string) =>
          each === name ? encodeURIComponent(word) : each === "app" ? (app?.name ?? "x") : "word",
        );
        const status = await check(route, path.replace("*", "info/refs"), {});
        if (name === "app" && word !== "") assert.ok(status === 404 || status === 400, `${path} gave ${status}`);
      }
  }
});

test("every field of every body", async () => {
  for (const route of routes()) {
    const schema = route.schema?.body as (TSchema & Node) | undefined;
    if (schema === undefined || Object.keys(schema).length === 0) continue;
    let app = await appFor(route);
    for (const body of bodiesOf(schema)) {
      const path = route.url.replace(":app", app?.name ?? "x").replaceAll(/:\w+/g, "web");
      const status = await check(route, path, body);
      const isAway =
        status < 300 && app !== undefined && (await world.store.apps.findFor(world.user.id, app.name)) === undefined;
      if (isAway) app = await appFor(route); // it was renamed, or destroyed
    }
  }
});

test("bodies that are no JSON, too deep, not UTF-8, or of another kind", async () => {
  const bodies = [
    "{",
    "[".repeat(50_000),
    `${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`,
    '"\ud800"',
    "null",
    "[]",
    "1",
    "\u0000",
  ];
  for (const route of routes()) {
    if (route.method === "GET" || route.url.includes("*") || route.rule.kind === "operator") continue;
    const app = await appFor(route);
    const path = route.url.replace(":app", app?.name ?? "x").replaceAll(/:\w+/g, "word");
    for (const body of bodies) await check(route, path, body);
  }
  const raw = await fetch(`${world.url}/apps`, {
    method: "POST",
    headers: { Authorization: `Bearer ${world.token}`, "Content-Type": "application/json" },
    body: new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
  });
  assert.equal(raw.status, 422);
});
