import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { eventually } from "../../test/support/eventually.ts";
import { httpReceiver, identity, messagesOf, syslogReceiver } from "../../test/support/receivers.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/logger.ts";
import { systemRandom } from "../lib/random.ts";
import type { App } from "../model/app.ts";
import { Outbound } from "../outbound/outbound.ts";
import { openStore } from "../store/sqlite.ts";
import type { LogDrain, Store } from "../store/store.ts";
import { startDrains } from "./drains.ts";
import { type LogHub, openLogs } from "./hub.ts";
import { temporaryFolder } from "./testing.ts";

/** Ten times as fast, so that retries come soon; connecting keeps its own time. */
const HURRIED: Clock = { now: () => Date.now(), sleep: (ms, signal) => systemClock.sleep(ms / 10, signal) };
const KEY = [Buffer.alloc(32, 7)];

interface World extends AsyncDisposable {
  readonly store: Store;
  readonly logs: LogHub;
  readonly app: App;
  readonly folder: string;
  say(...texts: readonly string[]): void;
  /** A drain from here on; `restart` starts them all anew. */
  add(url: string): Promise<LogDrain>;
  restart(): Promise<void>;
  log(): Promise<readonly string[]>;
}

interface Options {
  readonly authorities?: readonly string[];
  readonly names?: Readonly<Record<string, readonly string[]>>;
  readonly mayReach?: (appId: string, address: string, port: number) => Promise<boolean>;
}

async function world(options: Options = {}): Promise<World> {
  await using parts = new AsyncDisposableStack();
  const home = parts.use(await temporaryFolder());
  const [folder, rawFolder] = [join(home.path, "logs"), join(home.path, "raw")];
  await mkdir(rawFolder);
  const store = parts.use(await openStore({ path: ":memory:", key: KEY, clock: systemClock }));
  const logs = parts.use(
    await openLogs({
      folder,
      rawFolder,
      engine: { trimLog: async () => {} },
      clock: systemClock,
      logger: silentLogger,
    }),
  );
  const user = await store.users.ensure("owner@example.com");
  const app = await store.apps.create({ name: "drained", ownerId: user.id, stack: "debian-12", domain: "localhost" });
  const outbound = new Outbound({
    clock: systemClock,
    mayReach: options.mayReach ?? (async (_app, address) => address === "127.0.0.1"),
    ...(options.names && { resolve: async (name) => options.names?.[name] ?? [] }),
    authorities: options.authorities ?? [],
  });
  const random = systemRandom;
  const start = () =>
    startDrains({ store, logs, outbound, clock: HURRIED, random, logger: silentLogger, program: "stator" });
  let running = await start();
  parts.defer(() => running[Symbol.asyncDispose]());
  const all = parts.move();
  return {
    store,
    logs,
    app,
    folder,
    say: (...texts) => {
      for (const text of texts) logs.append(app.id, { at: Date.now(), source: "app", process: "web.1", text });
    },
    add: async (url) => {
      const [newest] = await logs.history(app.id, { lines: 1 });
      return store.logDrains.create({ appId: app.id, url, position: newest?.id ?? null });
    },
    restart: async () => {
      await running[Symbol.asyncDispose]();
      running = await start();
    },
    log: async () => (await logs.history(app.id, { lines: 1500 })).map(({ process, text }) => `${process}: ${text}`),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** The texts of messages, without what stands before them. */
const textsOf = (messages: readonly string[]) => messages.map((each) => each.replace(/^.*? - (- )?/s, "").trimEnd());
const bodiesOf = (receiver: { readonly got: readonly { readonly body: string }[] }) =>
  textsOf(receiver.got.flatMap(({ body }) => messagesOf(body)));

test("spec 8.4: an https drain gets what comes after it, as Logplex sends it, with the URL's user and password", async () => {
  const { authority, server } = await identity(["logs.test"]);
  await using receiver = await httpReceiver(server);
  await using here = await world({ authorities: [authority.certificate], names: { "logs.test": ["127.0.0.1"] } });
  here.say("before the drain");
  const drain = await here.add(`https://me:p%40ss@logs.test:${receiver.port}/in?key=1`);
  here.say("first", "sécond");
  await eventually(() => bodiesOf(receiver).includes("sécond"));
  assert.deepEqual(bodiesOf(receiver), ["first", "sécond"]);
  const [request] = receiver.got;
  assert.equal(request?.method, "POST");
  assert.equal(request?.path, "/in?key=1");
  const { headers } = request;
  assert.equal(headers["content-type"], "application/logplex-1");
  assert.equal(headers["logplex-msg-count"], String(messagesOf(request.body).length));
  assert.match(headers["logplex-frame-id"] as string, /^[0-9a-f]{32}$/);
  assert.equal(headers["logplex-drain-token"], drain.token);
  assert.match(drain.token, /^d\.[0-9a-f-]{36}$/);
  assert.equal(headers.authorization, `Basic ${Buffer.from("me:p@ss").toString("base64")}`);
  assert.equal(headers.host, `logs.test:${receiver.port}`);
  assert.equal(headers["content-length"], String(Buffer.byteLength(request.body)));
  assert.match(messagesOf(request.body)[0] ?? "", /^<190>1 \S+\.\d{6}\+00:00 host app web\.1 - first\n$/);
});

test("spec 8.4: 500, 429, a redirect and a broken connection are tried again under the same id; 400 is not, and is counted", async () => {
  await using receiver = await httpReceiver();
  await using here = await world();
  await here.add(`http://127.0.0.1:${receiver.port}/`);
  const having = (text: string) => receiver.got.filter((each) => bodiesOf({ got: [each] }).includes(text));
  for (const answer of [500, 429, 302, "break"] as const) {
    const text = `after ${answer}`;
    receiver.answerTo = (body) => (body.includes(text) && having(text).length === 1 ? answer : 200);
    here.say(text);
    await eventually(() => having(text).length === 2);
    const [one, other] = having(text);
    assert.equal(one?.headers["logplex-frame-id"], other?.headers["logplex-frame-id"]);
    assert.equal(one?.body, other?.body);
    assert.ok(
      receiver.got.every(({ path }) => path === "/"),
      "no redirect was followed",
    );
  }
  receiver.answerTo = (body) => (body.includes("unwanted") ? 400 : 200);
  here.say("unwanted");
  await eventually(() => having("unwanted").length === 1);
  const before = receiver.got.indexOf(having("unwanted")[0] ?? assert.fail());
  here.say("wanted");
  await eventually(() => having("wanted").length > 0);
  const [first, ...rest] = bodiesOf({ got: receiver.got.slice(before + 1) });
  assert.match(first ?? "", /^Error L10 \(output buffer overflow\): \d messages dropped since \S+\.$/);
  assert.ok(!rest.includes("unwanted"));
  assert.match(messagesOf(receiver.got.at(-1)?.body ?? "").at(-1) ?? "", /^<190>1 /);
});

test("spec 6.3: a receiver that answers nothing but errors loses a frame after three tries; the loss is told, and the rest comes", async () => {
  await using receiver = await httpReceiver();
  await using here = await world();
  await here.add(`http://127.0.0.1:${receiver.port}/`);
  receiver.answers = [503, 503, 503];
  here.say("lost");
  await eventually(() => receiver.got.length === 3);
  here.say("kept");
  await eventually(() => bodiesOf(receiver).includes("kept"));
  const told = bodiesOf({ got: receiver.got.slice(3) });
  assert.match(told[0] ?? "", /^Error L10 \(output buffer overflow\): 1 messages dropped since /);
  // Once, however often it failed; the URL's secrets are not in it.
  const troubles = (await here.log()).filter((each) => each.startsWith("logplex: Drain"));
  assert.equal(troubles.length, 1);
  assert.match(
    troubles[0] ?? "",
    /^logplex: Drain d\.\S+ \(http:\/\/127\.0\.0\.1:\d+\/\) cannot deliver: it answered 503\. /,
  );
});

test("spec 8.4: syslog over TCP and TLS, octet-counted, the token as host; after a hang-up it connects again", async () => {
  const { authority, server } = await identity(["logs.test"]);
  await using plain = await syslogReceiver();
  await using secure = await syslogReceiver(server);
  await using here = await world({ authorities: [authority.certificate], names: { "logs.test": ["127.0.0.1"] } });
  const one = await here.add(`syslog://127.0.0.1:${plain.port}`);
  const other = await here.add(`syslog+tls://logs.test:${secure.port}`);
  here.say("first");
  const texts = ({ messages }: { readonly messages: readonly string[] }) => textsOf(messages);
  await eventually(() => texts(plain).includes("first") && texts(secure).includes("first"));
  assert.match(plain.messages[0] ?? "", new RegExp(`^<190>1 \\S+ ${one.token} app web\\.1 - - first\\n$`));
  assert.match(secure.messages[0] ?? "", new RegExp(`^<190>1 \\S+ ${other.token} app web\\.1 - - first\\n$`));
  plain.hangUp();
  secure.hangUp();
  await eventually(() => {
    here.say("again");
    return texts(plain).includes("again") && texts(secure).includes("again");
  });
  assert.deepEqual([plain.connections, secure.connections], [2, 2]);
});

test("spec 6.3: a certificate that is not the receiver's is not accepted: L14, and nothing is sent", async () => {
  const { authority, server } = await identity(["other.test"]);
  await using secure = await syslogReceiver(server);
  await using web = await httpReceiver((await identity(["logs.test"])).server); // of an authority that nobody knows
  await using here = await world({ authorities: [authority.certificate], names: { "logs.test": ["127.0.0.1"] } });
  await here.add(`syslog+tls://logs.test:${secure.port}`);
  await here.add(`https://key:secret@logs.test:${web.port}/path`);
  here.say("secret words");
  const lines = async () => (await here.log()).filter((each) => each.includes("L14"));
  await eventually(async () => (await lines()).length === 2);
  for (const each of await lines())
    assert.match(
      each,
      /^logplex: Error L14 \(certificate validation\): error=".+" uri="(syslog\+tls|https):\/\/logs\.test:\d+\/"$/,
    );
  assert.deepEqual([secure.messages, web.got], [[], []]);
});

test("SSRF: what the rules refuse is not connected to, whatever its name said before; the log names the command that allows it", async () => {
  await using receiver = await httpReceiver();
  const names = { "rebinding.test": ["127.0.0.1"] as readonly string[] };
  let isOpen = false;
  const asked: string[] = [];
  await using here = await world({
    names,
    mayReach: async (appId, address, port) => {
      asked.push(`${appId} ${address} ${port}`);
      return isOpen;
    },
  });
  await here.add(`http://rebinding.test:${receiver.port}/`);
  here.say("inside");
  await eventually(async () => (await here.log()).some((each) => each.includes("refused by the network rules")));
  assert.equal(asked[0], `${here.app.id} 127.0.0.1 ${receiver.port}`, "the address itself was judged");
  assert.deepEqual(receiver.got, []);
  isOpen = true;
  await eventually(() => bodiesOf(receiver).includes("inside"));
});

test("a dead drain, and one that never answers, hold up neither another drain, nor the log, nor memory", async () => {
  await using silent = await httpReceiver();
  await using good = await httpReceiver();
  const gone = await httpReceiver();
  await gone[Symbol.asyncDispose]();
  silent.answers = Array.from({ length: 100 }, () => "hang" as const);
  await using here = await world();
  for (const { port } of [silent, gone, good]) await here.add(`http://127.0.0.1:${port}/`);
  const count = 3_000;
  for (let from = 0; from < count; from += 100) {
    here.say(...Array.from({ length: 100 }, (_, index) => `n${from + index}`));
    await eventually(() => bodiesOf(good).includes(`n${from + 99}`));
  }
  assert.deepEqual(bodiesOf(good).filter((text) => /^n\d+$/.test(text)).length, count);
  // Whoever comes back gets the newest, and how many are missing.
  await using back = await httpReceiver(undefined, gone.port);
  await eventually(() => bodiesOf(back).includes(`n${count - 1}`));
  const told = bodiesOf(back);
  const dropped = told.flatMap(
    (text) => /^Error L10 .*: (\d+) messages dropped/.exec(text)?.slice(1).map(Number) ?? [],
  );
  const lines = told.filter((text) => /^n\d+$/.test(text)).length;
  assert.ok(
    dropped.length > 0 && lines >= 1_000 && lines <= 1_800,
    `${lines} lines came, dropped: ${dropped.join(" ")}`,
  );
  const others = told.length - dropped.length - lines;
  const all = lines + others + dropped.reduce((sum, each) => sum + each, 0);
  assert.ok(
    all >= count && all <= count + 2,
    `${all}: each is there or counted, and so is what two drains' troubles are told`,
  );
});

test("at least once: what was not delivered when the daemon stopped is delivered by the next; a removed drain gets nothing", async () => {
  await using receiver = await httpReceiver();
  await using here = await world();
  const drain = await here.add(`http://127.0.0.1:${receiver.port}/`);
  here.say("one");
  await eventually(() => bodiesOf(receiver).includes("one"));
  receiver.answers = ["hang"];
  here.say("two");
  await eventually(() => bodiesOf(receiver).includes("two")); // and is not answered
  await here.restart();
  await eventually(() => bodiesOf(receiver).filter((text) => text === "two").length === 2);
  assert.equal(bodiesOf(receiver).filter((text) => text === "one").length, 1);
  here.say("three");
  await eventually(() => bodiesOf(receiver).includes("three"));
  await here.store.logDrains.remove(drain.id);
  await using witness = await httpReceiver();
  await here.add(`http://127.0.0.1:${witness.port}/`);
  await eventually(() => {
    here.say("it takes a moment");
    return witness.got.length > 0;
  });
  here.say("four");
  await eventually(() => bodiesOf(witness).includes("four"));
  assert.ok(!bodiesOf(receiver).includes("four"));
});

test("a telemetry drain gets the lines as OTLP's JSON; a change holds from the next batch on, and no line is missing", async () => {
  await using one = await httpReceiver();
  await using other = await httpReceiver();
  await using here = await world();
  here.say("before");
  const [newest] = await here.logs.history(here.app.id, { lines: 1 });
  const made = await here.store.telemetryDrains.create({
    appId: here.app.id,
    signals: ["logs"],
    endpoint: `http://127.0.0.1:${one.port}/otlp/`,
    headers: { "X-Key": "mine" },
    position: newest?.id ?? null,
  });
  here.say("first");
  await eventually(() => one.got.length > 0);
  const [got] = one.got;
  assert.equal(got?.path, "/otlp/v1/logs");
  assert.deepEqual([got.headers["content-type"], got.headers["x-key"]], ["application/json", "mine"]);
  const [resource] = JSON.parse(got.body).resourceLogs;
  const attributes = resource.resource.attributes.map((each: Attribute) => [each.key, each.value.stringValue]);
  assert.deepEqual(attributes, [
    ["service.name", "drained"],
    ["service.instance.id", "web.1"],
    ["log.source", "app"],
  ]);
  const [record] = resource.scopeLogs[0].logRecords;
  assert.deepEqual([record.body.stringValue, record.severityText], ["first", "INFO"]);
  assert.match(record.timeUnixNano, /^\d{19}$/);
  await here.store.telemetryDrains.update(made.id, { endpoint: `http://127.0.0.1:${other.port}/v1/logs` });
  await eventually(() => {
    here.say("again");
    return other.got.length > 0;
  });
  assert.equal(other.got[0]?.path, "/v1/logs");
  assert.ok(!other.got.some(({ body }) => body.includes("first")), "delivered once");
});

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue: string };
}
