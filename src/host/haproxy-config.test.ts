import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { pageUrl } from "../model/page-url.ts";
import { BALANCES, DEFAULT_ROUTING, DYNO_PROTOCOLS } from "../model/routing.ts";
import type { RouteOptions, RouteState } from "../router/routes.ts";
import { changesFor, commandsFor, deletionsFor, freshWorker, needsReload, noteTold } from "./haproxy-commands.ts";
import {
  backendOf,
  type HaproxyLayout,
  renderConfig,
  renderMaps,
  type Snapshot,
  serverWords,
  type Wanted,
} from "./haproxy-config.ts";
import { parseServers, splitAnswers, splitLines } from "./haproxy-socket.ts";
import { splitPrompts } from "./haproxy-talk.ts";

const layout: HaproxyLayout = {
  folder: "/run/stator-abc123/router",
  socketFolder: "/run/stator-abc123/router-sockets",
  requestSocket: "/run/stator-abc123/daemon/requests.sock",
  wakeSocket: "/run/stator-abc123/daemon/wake.sock",
  httpPort: 80,
  httpsPort: 443,
  ipv6: true,
  connectionsMax: 9900,
};

const uuid = fc.uuid({ version: 4 });
const address = fc.tuple(fc.nat(255), fc.nat(255)).map(([a, b]) => `10.7.${a}.${b}`);
const server = fc.record({ dynoId: uuid, address, port: fc.integer({ min: 1024, max: 65_535 }) });
const hostName = fc.stringMatching(/^(\*\.)?[a-z0-9_][a-z0-9_-]{0,10}(\.[a-z0-9][a-z0-9-]{0,10}){0,3}$/);
const state = fc.constantFrom<RouteState>("serve", "crashed", "no-web", "blank", "maintenance");
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
const sixteen = fc.uint8Array({ minLength: 16, maxLength: 16 });
const user = fc.record({
  name: fc.stringMatching(/^[A-Za-z0-9_.@+-]{1,64}$/),
  salt: sixteen.map(base64),
  digest: fc.stringMatching(/^[0-9A-F]{64}$/),
});
const page = fc.option(fc.webUrl({ withQueryParameters: true, withFragments: true }).map(pageUrl));
const options: fc.Arbitrary<RouteOptions> = fc.record({
  balance: fc.constantFrom(...BALANCES),
  dynoProtocol: fc.constantFrom(...DYNO_PROTOCOLS),
  httpsRedirect: fc.boolean(),
  firstByteSeconds: fc.integer({ min: 1, max: 3600 }),
  rollingSeconds: fc.integer({ min: 1, max: 3600 }),
  sessionAffinity: fc.boolean(),
  endToEndContinue: fc.boolean(),
  users: fc.uniqueArray(user, { maxLength: 3, selector: ({ name }) => name }),
  errorPage: page,
  maintenancePage: page,
});
const snapshot: fc.Arbitrary<Snapshot> = fc
  .array(
    fc.record({
      appId: uuid,
      hosts: fc.uniqueArray(hostName, { maxLength: 4 }),
      state,
      servers: fc.array(server, { maxLength: 4 }),
      options: fc.option(options, { nil: undefined }),
    }),
    {
      maxLength: 6,
    },
  )
  .map((apps) => ({
    apps: apps.map((app, backend): Wanted => ({ ...app, backend })),
    spare: [100, 101],
    leastSpare: [102],
  }));

/** What every line of a configuration of ours looks like where something of an app is in it. */
const APP_LINE =
  /^(backend [al]\d+ from app| {2}server [0-9a-f-]{36} 10\.7\.\d+\.\d+:\d+ id \d+ weight 8 pool-max-conn 512 pool-purge-delay 250ms check observe layer4 error-limit 1 on-error mark-down rise 1 fall 1 inter 20d downinter 5000 fastinter 5000( proto h2)?)$/;
/** And every line of a map: no text of a user's but host names; all else is numbers, words of ours, hex and base64. */
const MAP_LINE = /^([\w*][\w.*-]* ([\w.-]+|[\w+/]{22}==:[0-9A-F]{64}|[\w+/]+=*))?$/;

test("decision 13c: whatever the routes say, only ids, addresses and numbers are in the configuration", () => {
  const empty = new Set(renderConfig(layout, { apps: [], spare: [0], leastSpare: [1] }).split("\n"));
  fc.assert(
    fc.property(snapshot, (routes) => {
      for (const line of renderConfig(layout, routes).split("\n"))
        assert.ok(empty.has(line) || APP_LINE.test(line), JSON.stringify(line));
      for (const line of Object.values(renderMaps(routes)).join("").split("\n")) assert.match(line, MAP_LINE);
    }),
  );
});

test("decision 13c: text that is no host, id, address or state throws and never becomes configuration", () => {
  const good: Wanted = { appId: randomUUID(), hosts: ["a.b"], state: "serve", backend: 1, servers: [] };
  const goodUser = { name: "bob", salt: "A".repeat(22).concat("=="), digest: "0".repeat(64) };
  const goodOptions: RouteOptions = {
    ...DEFAULT_ROUTING,
    sessionAffinity: false,
    users: [goodUser],
    errorPage: null,
    maintenancePage: "https://x.example/",
  };
  const render = (app: unknown) => {
    const routes = { apps: [app as Wanted], spare: [] }; // deliberately not one
    return renderConfig(layout, routes) + Object.values(renderMaps(routes)).join("");
  };
  const hostPattern = /^(\*\.)?[a-z0-9_][a-z0-9_-]*(\.[a-z0-9_][a-z0-9_-]*)*$/;
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      fc.pre(!hostPattern.test(text));
      assert.throws(() => render({ ...good, hosts: [text] }));
      assert.throws(() => render({ ...good, appId: text }));
      assert.throws(() => render({ ...good, state: text }));
      fc.pre(!/^[\w.@+-]{1,64}$/.test(text) && pageUrl(text) === null);
      for (const change of [
        { balance: text },
        { dynoProtocol: text },
        { firstByteSeconds: text },
        { rollingSeconds: text },
        { errorPage: text },
        { maintenancePage: text },
        { users: [{ ...goodUser, name: text }] },
        { users: [{ ...goodUser, salt: text }] },
        { users: [{ ...goodUser, digest: text }] },
      ])
        assert.throws(() => render({ ...good, options: { ...goodOptions, ...change } }), JSON.stringify(change));
      assert.throws(() => serverWords({ dynoId: text, address: "10.0.0.1", port: 80 }, 5000));
      assert.throws(() => serverWords({ dynoId: randomUUID(), address: text, port: 80 }, 5000));
    }),
  );
  assert.match(render({ ...good, options: goodOptions }), /^[0-9a-f-]{36} 30000\.55000\.users$/m);
  const continuing = render({ ...good, options: { ...goodOptions, endToEndContinue: true } });
  assert.match(continuing, /^[0-9a-f-]{36} 30000\.55000\.users\.continue$/m);
  for (const bad of ['https://x.example/"onload=x', "https://x/\n", "https://x/ y", "javascript:x", "http://x/<"])
    assert.throws(() => render({ ...good, options: { ...goodOptions, errorPage: bad } }), bad);
  for (const name of ["a\nb", "a b", "a\r", "a\0", `${randomUUID()}\n`])
    assert.throws(() => render({ ...good, hosts: [name] }));
  assert.throws(() => render({ ...good, backend: "1 from x" }));
  for (const hold of ["1s\n  daemon", 0.5, -1, Number.NaN])
    assert.throws(() => renderConfig({ ...layout, timeouts: { hold: hold as number } }, { apps: [], spare: [] }));
  assert.throws(() => serverWords({ dynoId: randomUUID(), address: "10.0.0.1", port: 80.5 }, 5000));
  assert.throws(() => serverWords({ dynoId: randomUUID(), address: "::1", port: 80 }, 5000));
});

test("commands bring a worker from any routes to any others, and then there are none left", () => {
  fc.assert(
    fc.property(snapshot, snapshot, (before, after) => {
      const worker = freshWorker(1, before);
      const wanted = { apps: after.apps.filter((app) => worker.backends.has(backendOf(app))), spare: [] };
      const commands = commandsFor(layout, worker, wanted);
      for (const { text } of commands) assert.match(text, /^(add|set|del|enable) (server|map|health) [\w ./*:+=-]+$/);
      for (const { apply } of commands) apply(worker);
      assert.deepEqual(commandsFor(layout, worker, wanted), []);
      for (const { apply } of deletionsFor(worker)) apply(worker);
      const fresh = freshWorker(1, wanted);
      assert.deepEqual(worker.servers, fresh.servers);
      assert.deepEqual(worker.maps, fresh.maps);
    }),
  );
});

test("told app by app, a worker comes to the same as one that starts now; names move between apps", () => {
  const pool = Array.from({ length: 4 }, () => randomUUID());
  const names = ["a.b", "c.d", "*.e.f", "g.h", "i.j"];
  const step = fc.record({
    app: fc.nat(3),
    hosts: fc.subarray(names),
    servers: fc.uniqueArray(server, { maxLength: 3, selector: ({ dynoId }) => dynoId }),
    isGone: fc.boolean(),
    together: fc.boolean(),
    state,
    options: fc.option(options, { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const worker = freshWorker(1, { apps: [], spare: [0, 1, 2, 3] });
      const apps = new Map<string, Wanted>();
      const tell = (...ids: readonly string[]) => {
        const changes = new Map(ids.map((each) => [each, apps.get(each)]));
        for (const { apply } of changesFor(layout, worker, changes)) apply(worker);
        noteTold(worker, changes);
        assert.deepEqual(changesFor(layout, worker, changes), []);
      };
      for (const { app, hosts, servers, isGone, together, ...rest } of steps) {
        const appId = pool[app] ?? "";
        const losers = [...apps.values()].filter(
          (each) => each.appId !== appId && each.hosts.some((name) => hosts.includes(name)),
        );
        for (const loser of losers)
          apps.set(loser.appId, { ...loser, hosts: loser.hosts.filter((name) => isGone || !hosts.includes(name)) });
        if (isGone) apps.delete(appId);
        else apps.set(appId, { ...rest, appId, hosts, servers, backend: app });
        const ids = losers.map((each) => each.appId);
        if (together) tell(appId, ...ids);
        else for (const each of [appId, ...ids]) tell(each);
      }
      const now: Snapshot = { apps: [...apps.values()], spare: [] };
      assert.deepEqual(commandsFor(layout, worker, now), []);
      for (const { apply } of deletionsFor(worker)) apply(worker);
      const fresh = freshWorker(1, now);
      assert.deepEqual([worker.servers, worker.maps, worker.told], [fresh.servers, fresh.maps, fresh.told]);
    }),
  );
});

test("a change of one app among thousands names that app alone", () => {
  const app = (backend: number, address: string): Wanted => ({
    appId: `11111111-2222-3333-4444-${String(backend).padStart(12, "0")}`,
    hosts: [`h${backend}.b`],
    state: "serve",
    backend,
    servers: [{ dynoId: `aaaaaaaa-2222-3333-4444-${String(backend).padStart(12, "0")}`, address, port: 5000 }],
  });
  const apps = Array.from({ length: 2_000 }, (_, index) => app(index, "10.7.0.2"));
  const worker = freshWorker(1, { apps, spare: [] });
  const changed = app(7, "10.7.0.3");
  const texts = changesFor(layout, worker, new Map([[changed.appId, changed]])).map(({ text }) => text);
  const name = `a7/${changed.servers[0]?.dynoId}`;
  assert.deepEqual(texts, [`set server ${name} addr 10.7.0.3 port 5000`, `enable server ${name}`]);
});

test("new dynos are up before names point to them, old ones go last", () => {
  const [appId, old, young] = [randomUUID(), randomUUID(), randomUUID()];
  const routes = (dynoId: string, hosts: readonly string[]): Snapshot => ({
    apps: [{ appId, hosts, state: "serve", backend: 0, servers: [{ dynoId, address: "10.7.0.2", port: 5000 }] }],
    spare: [],
  });
  const worker = freshWorker(1, routes(old, ["a.b"]));
  const texts = commandsFor(layout, worker, routes(young, ["a.b", "c.d"])).map(({ text }) =>
    text.split(" ").slice(0, 2).join(" "),
  );
  assert.deepEqual(texts, ["add server", "enable health", "enable server", "add map", "set server"]);
});

test("a backend that the worker does not know needs a reload; a spare one does not", () => {
  const app = (backend: number): Snapshot => ({
    apps: [{ appId: randomUUID(), hosts: [], state: "serve", backend, servers: [] }],
    spare: [],
  });
  const worker = freshWorker(1, { apps: [], spare: [0, 1] });
  assert.equal(needsReload(worker, app(1).apps), false);
  assert.equal(needsReload(worker, app(2).apps), true);
});

test("what HAProxy answers is told apart", () => {
  assert.deepEqual(splitAnswers("New server registered.\n\n\n"), ["New server registered.", ""]);
  assert.deepEqual(splitPrompts("New server registered.\n\n> \n> No such server.\n\n> half"), [
    "New server registered.",
    "",
    "No such server.",
  ]);
  const deleted = "Server deleted.\nServer still has connections attached to it, cannot remove it.\nNo such server.\n";
  assert.deepEqual(splitLines(deleted, 3), deleted.split("\n").slice(0, 3));
  assert.deepEqual(splitLines(deleted, 2), [], "nobody knows which is whose");
  const id = randomUUID();
  const line = `5 l17 1 ${id} 127.77.0.1 2 0 8 8 1 1 0 0 0 0 0 0 - 40677 - 0 0 - - 0`;
  assert.deepEqual(parseServers(`1\n# be_id be_name\n${line}\n${line.replace("l17", "next_http")}\n`), [
    [`l17/${id}`, { address: "127.77.0.1:40677", up: true }],
  ]);
});
