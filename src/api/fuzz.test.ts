import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { connect as connectTcp, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { openWorld, type Program, type World } from "../../test/support/api-world.ts";
import { Changes, sharedDatabasePath } from "../../test/support/changes.ts";
import { thingsOf } from "../../test/support/furnished.ts";
import {
  ALWAYS,
  ALWAYS_BODIES,
  BODIES,
  fieldsOf,
  fitting,
  HEADER_VALUES,
  HEADERS,
  NO_WORDS,
  type Node,
  QUERIES,
  VALUES,
  WORDS,
} from "../../test/support/hostile.ts";
import { exchange, Wire, type WireAnswer } from "../../test/support/wire.ts";
import { parseGitRequest } from "../build/git-http.ts";
import { makeAuthority, makeServerCertificate } from "../host/certificates.ts";
import { encodeFrame } from "../lib/frames.ts";
import { seededRandom } from "../lib/random.ts";
import { APP_NAME, PROCESS_TYPE } from "../model/app.ts";
import { BASIC_AUTH_NAME } from "../model/basic-auth.ts";
import { PIPELINE_NAME } from "../model/pipeline.ts";
import type { RouteEntry } from "./http.ts";

/**
 * Every word that a request can carry, in every route, replaced by what an attacker would write: never a 500, never a connection that
 * hangs, and of a refused call nothing is left in the store. The routes and the fields of their bodies are read from the server, so a new
 * route is in here by itself. Every place is tried in every run: with one word of each kind, and some of the others, by a seed, which is
 * the day's and stands in what fails. `STATOR_FUZZ=20261127` is that day again, `STATOR_FUZZ=all` tries all.
 */
let world: World;
let changes: Changes;
let wire: Wire;
const cat: Program = async ({ input, output }) => {
  for await (const chunk of input) output.write(chunk);
  return 0;
};

async function open(): Promise<void> {
  const databasePath = sharedDatabasePath();
  world = await openWorld({ callsPerHour: 1e9, databasePath, program: cat });
  await world.store.users.update(world.user.id, { isOperator: true });
  changes = new Changes(databasePath);
  wire = new Wire(world.api.port);
  const authority = await makeAuthority("Fuzz CA", Date.now());
  const { certificate, key } = await makeServerCertificate(authority, ["www.fuzz.example"], Date.now());
  pair = { certificate, key };
}
async function close(): Promise<void> {
  wire[Symbol.dispose]();
  changes[Symbol.dispose]();
  await world[Symbol.asyncDispose]();
}
before(open);
after(close);
let pair: { readonly certificate: string; readonly key: string };

const FUZZ = process.env["STATOR_FUZZ"] || new Date().toISOString().slice(0, 10).replaceAll("-", "");
const ALL = FUZZ === "all";
/** No answer takes this long, however busy the machine is. */
const ANSWER_MS = 20_000;
const random = seededRandom(ALL ? 1 : Number(FUZZ));

/** Those that are always among them, and of the rest some, others each day: `count` in all. */
function some<T>(all: readonly T[], count: number, always: readonly T[] = []): readonly T[] {
  if (ALL) return all;
  const rest = all.filter((each) => !always.includes(each));
  while (rest.length > count - always.length) rest.splice(random.below(rest.length), 1);
  return [...always, ...rest];
}

/** One of each kind that the corpus has, and others. */
function someValues(): readonly unknown[] {
  return some<unknown>(VALUES, 20, [...ALWAYS, ...some(NO_WORDS, 1)]);
}

const routes = () => world.api.routes.filter(({ method }) => method !== "HEAD");
const bodySchema = ({ schema }: RouteEntry) => (schema?.body ?? {}) as Node;

/** Good words for the fields of a route's body where any word does not do. */
function wordsFor({ method, url }: RouteEntry): (path: string) => unknown {
  const whole = `${method} ${url}`;
  return (path) => wordFor(path === "" ? whole : path);
}

function wordFor(path: string): unknown {
  const number = random.below(1e9);
  const app = place?.app;
  const byPath: Readonly<Record<string, unknown>> = {
    "client.secret": place?.token,
    "grant.type": "authorization_code",
    "owner.id": app?.id,
    "source_blob.url": "https://example.com/a.tgz",
    "exporter.endpoint": "https://otel.example.com",
    user: place?.friend,
    email: `user${number}@example.com`,
    name: `name-${number}`,
    permissions: ["view"],
    hostname: `w${number}.fuzz.example`,
    sni_endpoint: null,
    cidr: "10.0.0.0/8",
    url: `https://hook${number}.example.com/x`,
    redirect_uri: "https://example.com/back",
    include: ["api:release"],
    signals: ["logs"],
    schedule: "0 3 * * *",
    certificate_chain: pair.certificate,
    private_key: pair.key,
    public_key: sshKey(number),
    client_key: sshKey(number),
    isolation: "container",
    checks: [],
    "updates.type": "web",
    "PUT /apps/:app/buildpack-installations": { updates: [{ buildpack: "heroku/nodejs" }] },
    "POST /apps/:app/releases": { slug: place?.slug },
    "POST /pipeline-couplings": { app: place?.loose, pipeline: place?.pipeline, stage: "staging" },
    "POST /account/app-transfers": { app: place?.other.id, recipient: place?.friend },
    "POST /pipeline-promotions": {
      pipeline: { id: place?.pipeline },
      source: { app: { id: app?.id } },
      targets: [{ app: { id: place?.other.id } }],
    },
    process_types: { web: "node server.js" },
    description: "word",
  };
  return byPath[path];
}

function sshKey(number: number): string {
  return `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${Buffer.alloc(32, `${number}`).toString("base64").slice(0, 43)}`;
}

/** An app with one of everything, so that paths lead somewhere. */
interface Place {
  readonly app: { readonly id: string; readonly name: string };
  readonly other: { readonly id: string };
  /** An app in no pipeline. */
  readonly loose: string;
  /** Somebody who has no part in the app. */
  readonly friend: string;
  readonly pipeline: string;
  readonly slug: string;
  readonly token: string;
  /** What the parameters of a route stand for, by the address of their list. */
  readonly ids: Map<string, string>;
  /** Calls that changed something. */
  done: number;
}
let place: Place | undefined;
let count = 0;
/** A world has user ids for some 4,000 apps in its life, and a place has three, and what is made in it. */
const PLACES_MAX = 800;

async function here(): Promise<Place> {
  if (place !== undefined && place.done < 25) return place;
  await clear();
  if (count >= PLACES_MAX) {
    await close();
    await open();
    count = 0;
  }
  const name = `app-${++count}`;
  const app = await world.deployed(name);
  const other = await world.deployed(`${name}-other`);
  const stack = "debian-12";
  const loose = await world.store.apps.create({
    name: `${name}-loose`,
    ownerId: world.user.id,
    stack,
    domain: "localhost",
  });
  const friend = (await world.store.users.ensure(`friend${count}@example.com`)).email;
  const member = (await world.store.users.ensure(`member${count}@example.com`)).email;
  const post = async (path: string, body: object) => {
    const headers = { ...CREDENTIALS(), "Content-Type": "application/json" };
    return JSON.parse(
      (await wire.send("POST", path, headers, JSON.stringify(body), AbortSignal.timeout(ANSWER_MS))).text,
    );
  };
  const pipeline: string = (await post("/pipelines", { name: `line-${count}` })).id;
  const grant = await post("/oauth/authorizations", { description: "fuzz" });
  const slug = (await world.store.releases.newest(app.id))?.slugId ?? "";
  const token: string = grant.access_token.token;
  place = { app, other, loose: loose.id, friend, pipeline, slug, token, ids: new Map(), done: 0 };
  const own = `/apps/${name}`;
  const hostname = `p${count}.fuzz.example`;
  for (const [path, body] of thingsOf({ app, other, loose: loose.id, pipeline, member, hostname, pair })) {
    const { id } = await post(path, body);
    place.ids.set(path, id);
    if (path.endsWith("/dynos")) place.ids.set("/api/v2", id); // a one-off: those of the formation come and go
  }
  for (const [list, id] of Object.entries({
    "/buildpacks": "heroku%2Fnodejs",
    [`${own}/features`]: "preboot",
    [`${own}/routing/users`]: "guest",
    [`/teams/apps/${name}/collaborators`]: member,
  }))
    place.ids.set(list, id);
  await settle();
  return place;
}

/** What was made before is looked at, and goes: lists stay short. */
async function clear(): Promise<void> {
  await settle();
  lookAtNames();
  const { store } = world;
  for (const { id } of await store.pipelines.list(world.user.id)) await store.pipelines.remove(id);
  for (const { id } of await store.apps.list()) await store.apps.remove(id);
  await settle();
}

/** What was taken is such as the model allows. */
function lookAtNames(): void {
  for (const column of ["name", "hostname", "type", "stack", "size", "stage", "email", "url"]) {
    for (const { table, value } of changes.valuesOf(column)) {
      if (typeof value === "string") assert.match(value, NAMES[`${table} ${column}`] ?? PLAIN, `${table}.${column}`);
    }
  }
}

const NAMES: Readonly<Record<string, RegExp>> = {
  "apps name": APP_NAME,
  "pipelines name": PIPELINE_NAME,
  "formation type": PROCESS_TYPE,
  "dynos type": PROCESS_TYPE,
  "dynos name": /^[-\w]+\.\d+$/,
  "domains hostname": /^(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*$/,
  "basic_auth_users name": BASIC_AUTH_NAME,
};
const PLAIN = /^[^\p{Cc}\p{Bidi_Control}]*$/u;

/** What names the parameter's thing: the newest of the list that the path has before it. */
async function idFor(list: string, parameter: string, { ids }: Place): Promise<string> {
  if (parameter === "account") return "~";
  if (parameter === "type" || parameter === "formation") return "web";
  const known = ids.get(list);
  if (known !== undefined) return known;
  const { status, json } = await world.call("GET", list);
  const mine = (await world.store.tokens.find(world.token))?.id;
  const found = (Array.isArray(json) ? (json as { readonly id?: string; readonly name?: string }[]) : []).filter(
    ({ id }) => id !== world.user.id && id !== mine,
  );
  const id = status < 300 ? (found.at(-1)?.id ?? found.at(-1)?.name) : undefined;
  ids.set(list, id ?? "web");
  return id ?? "web";
}

/** The address of a route, with what is there, but for `hostile`. */
async function pathOf({ url }: RouteEntry, at: Place, hostile: Readonly<Record<string, string>> = {}): Promise<string> {
  let path = "";
  for (const part of url.slice(1).split("/")) {
    const [, parameter, rest = ""] = /^:(\w+)(.*)$/.exec(part) ?? [];
    const word = parameter === undefined ? undefined : hostile[parameter];
    if (word !== undefined) path += `/${encodeURIComponent(word.toWellFormed())}${rest}`;
    else if (parameter === "app") path += `/${at.app.name}${rest}`;
    else if (parameter !== undefined) path += `/${await idFor(path, parameter, at)}`;
    else path += part === "*" ? "/info/refs" : `/${part}`;
  }
  return path;
}

const CREDENTIALS = () => ({
  Authorization: `Bearer ${world.token}`,
  Accept: "application/vnd.heroku+json; version=3",
});

/** Nothing goes on any more of what was asked for before. */
async function settle(): Promise<void> {
  for (let quiet = 0; quiet < 3; quiet++) {
    await world.supervision.idle();
    await turn();
    if ((await changes.since()).length > 0) quiet = 0;
  }
}

type Send = () => Promise<WireAnswer>;

/** Sends it, and looks at what came of it. */
async function check(route: RouteEntry, what: () => string, send: Send): Promise<number> {
  const answer = await send().catch((error: unknown) =>
    assert.fail(`STATOR_FUZZ=${FUZZ}: ${what()}: ${String(error)}`),
  );
  const told = () => `STATOR_FUZZ=${FUZZ}: ${what()}: ${answer.status} ${answer.text.slice(0, 400)}`;
  assert.ok(answer.status < 500, told());
  if (answer.status < 400) {
    if (route.method !== "GET") await settle();
    if (route.method !== "GET" && place)
      place.done += route.url === "/apps/:app" ? 25 : route.method === "DELETE" ? 8 : 1;
    return answer.status;
  }
  assert.match(answer.headers["content-type"] ?? "", /^application\/json/, told());
  const error = JSON.parse(answer.text) as Record<string, unknown>;
  assert.match(String(error["id"]), /^[a-z_]+$/, told());
  assert.match(String(error["message"]), /\S/, told());
  assert.deepEqual(
    Object.keys(error).filter((key) => !["id", "message", "resource"].includes(key)),
    [],
    told(),
  );
  assert.ok(answer.text.length < 3000, told()); // what was sent is not sent back whole
  assert.doesNotMatch(String(error["message"]), /(?!\n)[\p{Cc}\p{Bidi_Control}]/u, told());
  assert.deepEqual(await changes.since(), [], `${told()}\nwas refused, and something was changed`);
  return answer.status;
}

function sender({ method, url }: RouteEntry, path: string, headers: object = {}, body?: string | Uint8Array): Send {
  const type = body === undefined ? {} : { "Content-Type": "application/json" };
  const who = url.startsWith("/api/v2") ? EXEC_CREDENTIALS() : CREDENTIALS();
  return () => wire.send(method, path, { ...who, ...type, ...headers }, body, AbortSignal.timeout(ANSWER_MS));
}

/** The exec manager's clients name the app as the user of Basic authentication. */
const EXEC_CREDENTIALS = () => ({
  Authorization: `Basic ${Buffer.from(`${place?.app.name}:${world.token}`).toString("base64")}`,
});

/** What is not here at all (add-ons, teams) refuses everything. */
function answersAnything({ schema }: RouteEntry): boolean {
  const answers = (schema?.response ?? {}) as Readonly<Record<string, Node | undefined>>;
  return !("not" in (answers["2xx"] ?? {}));
}

const shown = (value: unknown) => (JSON.stringify(value) ?? "").slice(0, 300);

test("what is right is taken, so that what follows is wrong in one place", async () => {
  const refused: string[] = [];
  for (const route of routes()) {
    const at = await here();
    const isHere = answersAnything(route);
    const path = await pathOf(route, at);
    const body = route.method === "GET" ? undefined : JSON.stringify(fitting(bodySchema(route), wordsFor(route)));
    const status = await check(route, () => `${route.method} ${path} ${body}`, sender(route, path, {}, body));
    if (status >= 400 && isHere) refused.push(`${route.method} ${route.url} ${status}`);
    if (route.url.startsWith("/api/v2")) assert.equal(status, 200, "it gets as far as the dyno and the key");
  }
  const all = routes().length;
  assert.ok(refused.length < all * 0.2, `${refused.length} of ${all} are refused:\n${refused.join("\n")}`);
});

test("every word of every path", async () => {
  for (const route of routes()) {
    for (const [, name = ""] of route.url.matchAll(/:(\w+)/g)) {
      for (const word of WORDS.filter(({ length }) => length < 4000)) {
        const at = await here();
        const path = await pathOf(route, at, { [name]: word });
        const body = route.method === "GET" ? undefined : JSON.stringify(fitting(bodySchema(route), wordsFor(route)));
        const status = await check(route, () => `${route.method} ${path}`, sender(route, path, {}, body));
        if (name === "app" && !/^\.{0,2}$/.test(word))
          assert.ok(status === 404 || status === 400, `${path} gave ${status}`);
      }
    }
  }
});

test("every field of every body", async () => {
  for (const route of routes()) {
    if (route.method === "GET") continue;
    for (const { path: field, with: put } of fieldsOf(bodySchema(route), wordsFor(route))) {
      for (const value of someValues()) {
        const at = await here();
        const path = await pathOf(route, at);
        const body = JSON.stringify(put(value));
        await check(
          route,
          () => `${route.method} ${path} ${field}: ${body.slice(0, 400)}`,
          sender(route, path, {}, body),
        );
      }
    }
  }
});

test("bodies that are no JSON, too deep, not UTF-8, or of another kind", async () => {
  for (const route of routes()) {
    for (const body of route.method === "GET" ? some(BODIES, 1) : some(BODIES, 4, ALWAYS_BODIES)) {
      const path = await pathOf(route, await here());
      await check(route, () => `${route.method} ${path} ${shown(body)}`, sender(route, path, {}, body));
    }
  }
});

test("every header that is read, and queries", async () => {
  for (const route of routes()) {
    const body = route.method === "GET" ? undefined : JSON.stringify(fitting(bodySchema(route), wordsFor(route)));
    for (const name of some(HEADERS, 4, ["Range"])) {
      for (const value of some(HEADER_VALUES, 1)) {
        const path = await pathOf(route, await here());
        await check(
          route,
          () => `${route.method} ${path} ${name}: ${value}`,
          sender(route, path, { [name]: value }, body),
        );
      }
    }
    for (const query of some(QUERIES, 1)) {
      const path = `${await pathOf(route, await here())}?${query}`;
      await check(route, () => `${route.method} ${path}`, sender(route, path, {}, body));
    }
  }
});

test("nothing but names was asked of dynos and builds", () => {
  lookAtNames();
  const { supervision, builds } = world;
  assert.ok(supervision.asked.length > 10 && builds.asked.length > 10);
  for (const asked of [...supervision.asked, ...builds.asked]) assert.match(asked, /^[\w :./,@*-]+$/, asked);
});

/** Bytes that are no request, or two, or one without an end. `TOKEN` stands for a good one. */
const RAW: readonly string[] = [
  "\0\0\0\0",
  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
  "SSH-2.0-OpenSSH_9.9\r\n",
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  "GET /apps\r\n\r\n",
  "GET /apps HTTP/9.9\r\n\r\n",
  "GET /apps HTTP/1.1\r\n\r\n",
  "GET /ap\0ps HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "GET /% HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\n\r\n",
  "GET /apps/%ff%fe HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\n\r\n",
  `GET /apps/${"a".repeat(12_000)} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\n\r\n`,
  `GET /apps HTTP/1.1\r\nHost: localhost\r\nX: ${"a".repeat(100_000)}\r\n\r\n`,
  `GET /apps HTTP/1.1\r\nHost: localhost\r\n${"A: b\r\n".repeat(3000)}\r\n`,
  "GET http://[/apps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\n\r\n",
  "GET //x.git//../git-receive-pack HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\n\r\n",
  "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "TRACE /apps HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "GET /apps HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
  "GET /apps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\0\r\n\r\n",
  "GET /apps HTTP/1.1\r\nHost: localhost\r\nExpect: the-worst\r\n\r\n",
  "POST /apps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\nContent-Length: 99999999999999\r\n\r\n{",
  "POST /apps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\nContent-Length: -1\r\n\r\n{}",
  "POST /apps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\nContent-Length: 200\r\n\r\n{}",
  "POST /apps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{}",
  "POST /apps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
  "POST /apps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n{}\r\n",
  "PUT /stator/sources/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab",
  "GET /stator/attach/x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: stator-attach\r\n\r\n",
  "GET /stator/attach/%00../x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: STATOR-ATTACH\r\n\r\n\0\0",
  "GET /stator/attach/__proto__ HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\nUpgrade: stator-attach\r\n\r\n",
  "GET /apps HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
  `${"A".repeat(43)}\r\n`,
  `${"A".repeat(43)}?__proto__=1&..\nrest\0`,
  `${"A".repeat(600)}`,
  "../../etc/passwd\n",
  "\n",
  "\r\n\r\n",
];

test("bytes that are no request: both ports end the connection, change nothing, and answer the next", async () => {
  await settle();
  for (const raw of RAW) {
    for (const open of [
      () => connectTcp(world.api.port, "127.0.0.1"),
      () => connectTls({ host: "127.0.0.1", port: world.api.tlsPort, ca: world.ca, servername: "localhost" }),
    ]) {
      const bytes = Buffer.from(raw.replace("TOKEN", world.token), "latin1");
      const socket = open();
      const late = AbortSignal.timeout(ANSWER_MS);
      late.addEventListener("abort", () => socket.destroy(new Error("it hangs")));
      const answer = await exchange(socket, bytes);
      const what = `${shown(raw)}: ${answer.slice(0, 300)}`;
      assert.ok(!late.aborted, `${what} hangs`);
      assert.doesNotMatch(answer, /^HTTP\/1\.1 (?:5|2)/m, what);
      assert.doesNotMatch(answer, /"statusCode"/, `${what}: not in the API's words`);
      assert.deepEqual(await changes.since(), [], what);
    }
  }
  assert.equal((await world.call("GET", "/account")).status, 200);
});

test("the administrators' socket takes no more than the API does", async () => {
  using admin = new Wire(join(world.home, "run", "daemon", "admin.sock"));
  const bodies = VALUES.flatMap((value) => [{ description: value }, { description: "x", email: value }]);
  for (const body of [...bodies.map((each) => JSON.stringify(each)), ...BODIES]) {
    const type = { "Content-Type": "application/json" };
    await settle();
    const answer = await admin.send("POST", "/tokens", type, body, AbortSignal.timeout(ANSWER_MS));
    assert.ok(answer.status < 500, `${shown(body)}: ${answer.status} ${answer.text}`);
    if (answer.status >= 400) assert.deepEqual(await changes.since(), [], shown(body));
  }
  lookAtNames();
});

test("frames that no client of ours sends end their dyno's connection, and nothing else", async () => {
  const { app } = await here();
  const frames: readonly Uint8Array[] = [
    Buffer.alloc(5, 0xff),
    encodeFrame(1, Buffer.from("null")),
    encodeFrame(1, Buffer.from("{")),
    encodeFrame(1, Buffer.from('{"rows":"$(x)","columns":-1e308}')),
    encodeFrame(1, Buffer.from('{"__proto__":{"rows":1},"rows":[[]]}')),
    encodeFrame(255, Buffer.from("\0")),
    encodeFrame(0, Buffer.from("word")).subarray(0, 7),
    Buffer.alloc(4),
  ];
  for (const frame of frames) {
    const made = await world.call("POST", `/apps/${app.name}/dynos`, { body: { command: "cat", attach: true } });
    assert.equal(made.status, 201, made.text);
    const secret = (made.json as { attach_url: string }).attach_url.split("/").at(-1) ?? "";
    const headers = { Connection: "Upgrade", Upgrade: "stator-attach" };
    const asked = request({ host: "127.0.0.1", port: world.api.port, path: `/stator/attach/${secret}`, headers }).end();
    const [, socket] = (await once(asked, "upgrade")) as [unknown, Socket];
    const late = AbortSignal.timeout(ANSWER_MS);
    late.addEventListener("abort", () => socket.destroy());
    await exchange(socket, frame);
    assert.ok(!late.aborted, `${shown([...frame])} hangs`);
  }
  assert.equal((await world.call("GET", `/apps/${app.name}/dynos`)).status, 200);
  for (const asked of world.supervision.asked) if (asked.startsWith("resize")) assert.match(asked, /^resize \d+x\d+$/);
});

test("an address below .git/ is one of git's own, or is refused", () => {
  const services = ["git-upload-pack", "git-receive-pack"];
  for (const method of ["GET", "POST"]) {
    for (const word of [...WORDS, ...QUERIES, "info/refs", ...services]) {
      for (const rest of [
        word,
        `info/refs?service=${word}`,
        `git-upload-pack/${word}`,
        `/${encodeURIComponent(word.toWellFormed())}`,
      ]) {
        for (const protocol of HEADER_VALUES) {
          const headers = {
            "git-protocol": protocol,
            "content-type": `application/x-${word}-request`,
            "content-length": word,
          };
          const said = parseGitRequest({ method, url: `/a.git/${rest}`, headers }, rest);
          if (said.kind !== "git") continue;
          assert.ok(services.includes(said.job.service), shown(said));
          assert.match(said.job.protocol ?? "", /^[\w=:.-]*$/, shown(said));
          assert.match(said.contentType, /^application\/x-git-[a-z-]+$/, shown(said));
        }
      }
    }
  }
});
