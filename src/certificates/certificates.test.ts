import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { TestAuthority } from "../../test/support/acme-authority.ts";
import { EngineError } from "../engine/engine.ts";
import { makeAuthority, makeServerCertificate } from "../host/certificates.ts";
import { FakeTarget } from "../host/testing.ts";
import { silentLogger } from "../lib/logger.ts";
import { SimClock } from "../lib/sim-clock.ts";
import type { LogLine } from "../logs/line.ts";
import { checkPair, factsOf } from "../model/certificate.ts";
import { mortal } from "../schedule/testing.ts";
import { openStore } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";
import { AcmeProblem } from "./acme-http.ts";
import { startCertificates } from "./certificates.ts";
import { isAbout, sentence } from "./orders.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const acme = { directory: "https://acme.test/dir", email: null, caFile: null };

/** An app with ACM, an authority and a router, all in memory; hours pass in milliseconds. */
class World {
  readonly clock: SimClock;
  readonly store: Store;
  readonly target = new FakeTarget();
  readonly authority: TestAuthority;
  readonly lines: LogLine[] = [];
  appId = "";

  private constructor(clock: SimClock, store: Store) {
    this.clock = clock;
    this.store = store;
    this.authority = new TestAuthority(this.target, clock);
  }

  static async open(...hostnames: string[]): Promise<World> {
    const clock = new SimClock();
    const store = await openStore({ path: ":memory:", key: [randomBytes(32)], clock });
    const world = new World(clock, store);
    const user = await store.users.ensure("owner@example.com");
    const app = await store.apps.create({ name: "hello", ownerId: user.id, stack: "debian-12", domain: "localhost" });
    world.appId = app.id;
    await store.certificates.setAccount(acme.directory, { key: "k", url: "u", pausedUntil: null });
    for (const hostname of hostnames) await store.domains.add({ appId: app.id, hostname, kind: "custom" });
    return world;
  }

  start(store: Store = this.store) {
    return startCertificates({
      store,
      target: this.target,
      acme,
      logs: { append: (_appId, line) => void this.lines.push(line) },
      clock: this.clock,
      logger: silentLogger,
      openAuthority: async () => this.authority,
    });
  }

  /** Lets time pass, `stepMs` at once, until it is so. Keys are made by other threads, for which no clock of ours waits. */
  async until(probe: () => Promise<boolean>, stepMs = 200): Promise<void> {
    for (const limit = performance.now() + 10_000; !(await probe()); await this.clock.advance(stepMs))
      assert.ok(performance.now() < limit, "it did not become so");
  }

  /** The wall clock goes on by so much; the last two hours of it timer by timer, as long as no look at all is further off. */
  async pass(ms: number): Promise<void> {
    this.clock.jump(ms - 2 * HOUR_MS);
    await this.clock.advance(2 * HOUR_MS);
  }

  async status(hostname: string): Promise<string | undefined> {
    return (await this.store.certificates.states()).find((each) => each.hostname === hostname)?.status;
  }

  issued(hostname: string): () => Promise<boolean> {
    return async () => (await this.status(hostname)) === "cert issued";
  }

  /** The names of the certificates that the router shows. */
  shown(): readonly (readonly string[])[] {
    return (this.target.certificates.get(this.appId) ?? []).map(({ hosts }) => hosts);
  }
}

test("an app with ACM gets a certificate for each domain, and no answer is left behind", async () => {
  const world = await World.open("a.example", "b.example", "*.c.example");
  await using certificates = world.start();
  await world.clock.advance(1000);
  assert.deepEqual(world.authority.orders, [], "not before it is turned on");
  await world.store.certificates.setAutomatic(world.appId, true);
  await certificates.refresh(world.appId);
  await world.until(async () => world.shown().length === 2);
  assert.deepEqual(world.shown().flat().toSorted(), ["a.example", "b.example"]);
  await world.until(async () => world.target.challenges.size === 0);
  await world.store.certificates.setAutomatic(world.appId, false);
  await world.until(async () => world.shown().length === 0);
  await world.pass(90 * DAY_MS);
  assert.equal(world.authority.orders.length, 2, "none of the default domain, none after it was turned off");
});

test("a year: renewed at two thirds, each time with a key of its own, and shown", async () => {
  const world = await World.open("a.example");
  await world.store.certificates.setAutomatic(world.appId, true);
  await using _certificates = world.start();
  const keys = new Set<string>();
  for (let renewals = 0; renewals < 5; renewals++) {
    await world.until(async () => world.authority.orders.length === renewals + 1, 60_000);
    await world.until(world.issued("a.example"));
    const [endpoint] = await world.store.certificates.list(world.appId);
    assert.ok(endpoint);
    await world.until(
      async () => world.target.certificates.get(world.appId)?.[0]?.pem.startsWith(endpoint.chain) === true,
    );
    keys.add(await world.store.certificates.key(endpoint.id));
    const { startsAt, expiresAt } = factsOf(endpoint.chain);
    assert.ok(expiresAt - world.clock.now() > 85 * DAY_MS && startsAt <= world.clock.now());
    await world.pass(56 * DAY_MS);
    assert.equal(world.authority.orders.length, renewals + 1, "not yet");
    await world.pass(4 * DAY_MS);
  }
  assert.equal(keys.size, 5);
});

test("a failure is told in a sentence, tried again later and later, and at once when asked", async () => {
  const world = await World.open("lost.example");
  await world.store.certificates.setAutomatic(world.appId, true);
  await using certificates = world.start();
  const failures = async () => (await world.store.certificates.states())[0]?.failures ?? 0;
  await world.until(async () => (await failures()) === 1);
  const [state] = await world.store.certificates.states();
  assert.equal(state?.status, "failing");
  assert.match(
    state?.reason ?? "",
    /^The authority cannot reach http:\/\/lost\.example\/: .* connection refused\. Tried again after 2026-/,
  );
  assert.match(world.lines[0]?.text ?? "", /^No certificate for lost\.example: The authority cannot reach/);
  const started = world.clock.now();
  await world.until(async () => (await failures()) === 4, 60_000);
  assert.equal(await world.status("lost.example"), "failed");
  assert.ok(world.clock.now() - started > 35 * 60_000, "5 and 10 and 20 minutes at least");
  await world.clock.advance(60_000);
  await certificates.refresh(world.appId);
  await world.until(async () => (await failures()) === 5, 1000);
  assert.ok(world.clock.now() - started < 90 * 60_000, "not after the 40 minutes that were due");
  assert.deepEqual(world.shown(), []);
});

test("a limit of the authority's holds for all orders, as long as it says, and counts as nobody's failure", async () => {
  const world = await World.open("a.example", "b.example");
  await world.store.certificates.setAutomatic(world.appId, true);
  world.authority.problem = new AcmeProblem("rateLimited", "too many", { status: 429, retryAfterMs: 3 * 3_600_000 });
  await using _certificates = world.start();
  await world.until(async () => (await world.store.certificates.account(acme.directory))?.pausedUntil != null);
  const until = (await world.store.certificates.account(acme.directory))?.pausedUntil ?? 0;
  assert.ok(until >= world.clock.now() + 3 * 3_600_000 - 5000);
  await world.until(async () => world.target.challenges.size === 0);
  await world.store.domains.add({ appId: world.appId, hostname: "c.example", kind: "custom" });
  const before = world.authority.orders.length;
  await world.clock.advance(2 * 3_600_000);
  assert.equal(world.authority.orders.length, before, "nothing is asked for meanwhile, of no domain");
  await world.until(async () => world.shown().length === 3, 60_000);
  assert.ok(world.clock.now() >= until);
});

test("a limit that is about one name holds back that name alone", async () => {
  const world = await World.open("a.example", "b.example");
  await world.store.certificates.setAutomatic(world.appId, true);
  const words = 'too many failed authorizations (5) for "a.example" in the last 1h0m0s';
  const order = world.authority.order.bind(world.authority);
  world.authority.order = async (hostname) => {
    if (hostname !== "a.example") return order(hostname);
    throw new AcmeProblem("rateLimited", words, { status: 429, retryAfterMs: 3_600_000 });
  };
  await using _certificates = world.start();
  await world.until(world.issued("b.example"));
  assert.equal(await world.status("a.example"), "failing");
  assert.equal((await world.store.certificates.account(acme.directory))?.pausedUntil, null);
  for (const [message, isOwn] of [
    [words, true],
    ['too many certificates (50) already issued for "example.com" in the last 168h0m0s', true],
    ["too many certificates (5) already issued for this exact set of identifiers", true],
    ["too many new orders (300) from this account, see https://letsencrypt.org/docs/rate-limits/", false],
    ["Rate limit for '/directory' reached", false],
    ["too many certificates for other.example.com", false],
  ] as const)
    assert.equal(isAbout(message, message === words ? "a.example" : "www.example.com"), isOwn, message);
});

test("an authority that is away: the order is kept and gone on with", async () => {
  const world = await World.open("a.example");
  await world.store.certificates.setAutomatic(world.appId, true);
  await using _certificates = world.start();
  await world.until(async () => world.authority.orders.length === 1, 1);
  world.authority.problem = new AcmeProblem("unreachable", "connect ECONNREFUSED");
  await world.until(async () => (await world.status("a.example")) === "failing", 50);
  await world.until(world.issued("a.example"), 10_000);
  assert.equal(world.authority.orders.length, 1);
});

test("a host process that is away keeps the order; another authority's order is begun anew", async () => {
  const world = await World.open("a.example");
  await world.store.certificates.setAutomatic(world.appId, true);
  const [domain] = (await world.store.domains.list(world.appId)).filter(({ kind }) => kind === "custom");
  const state = { domainId: domain?.id ?? "", hostname: "a.example", status: "in-progress", reason: null } as const;
  await world.store.certificates.setState({ ...state, failures: 0, nextAt: 0, orderUrl: "https://old.test/order/7" });
  const tell = world.target.setChallenge.bind(world.target);
  world.target.setChallenge = async () => {
    world.target.setChallenge = tell;
    throw new EngineError("unavailable", "the host process does not answer");
  };
  await using _certificates = world.start();
  await world.until(async () => (await world.status("a.example")) === "failing", 50);
  const [failed] = await world.store.certificates.states();
  assert.match(
    failed?.reason ?? "",
    /^The platform's router could not be told what to answer the authority\. the host/,
  );
  assert.equal(failed?.orderUrl, "https://acme.test/order/0");
  await world.until(world.issued("a.example"), 10_000);
  assert.equal(world.authority.orders.length, 1);
});

test("killed at any instant, it goes on: one certificate, no order lost or made in vain more than once", async () => {
  let isWhole = false;
  for (let calls = 3; !isWhole; calls++) {
    assert.ok(calls < 200);
    const world = await World.open("a.example");
    await world.store.certificates.setAutomatic(world.appId, true);
    const life = { callsLeft: calls };
    const first = world.start(mortal(world.store, life));
    await world.until(async () => life.callsLeft < 0 || (await world.issued("a.example")()));
    await world.clock.advance(300);
    await first[Symbol.asyncDispose]();
    isWhole = life.callsLeft >= 0;
    await using _second = world.start();
    await world.until(async () => world.shown().length === 1, 1000);
    await world.until(async () => world.target.challenges.size === 0, 60_000);
    assert.equal((await world.store.certificates.list(world.appId)).length, 1, `killed after ${calls} calls`);
    assert.ok(
      world.authority.orders.length <= 2,
      `killed after ${calls} calls: ${world.authority.orders.length} orders`,
    );
  }
});

test("a certificate of the user's own takes over, and the platform's goes; the router that forgot is told again", async () => {
  const world = await World.open("a.example");
  await world.store.certificates.setAutomatic(world.appId, true);
  await using certificates = world.start();
  await world.until(async () => world.shown().length === 1);
  const made = await makeServerCertificate(
    await makeAuthority("CA", world.clock.now()),
    ["a.example"],
    world.clock.now(),
  );
  const pair = checkPair(made.certificate, made.key, world.clock.now());
  const own = await world.store.certificates.create({ ...pair, appId: world.appId, isAutomatic: false });
  const [domain] = (await world.store.domains.list(world.appId)).filter(({ kind }) => kind === "custom");
  await world.store.certificates.bind(domain?.id ?? "", own.id);
  await world.until(async () => (await world.store.certificates.list(world.appId)).length === 1);
  await world.until(async () => world.target.certificates.get(world.appId)?.[0]?.pem === pair.chain + pair.key);
  world.target.certificates.clear();
  world.target.certificates.set("gone", [{ hosts: ["x.example"], pem: "x" }]);
  await world.until(async () => world.shown().length === 1, 10_000);
  assert.deepEqual([...world.target.certificates.keys()], [world.appId]);
  await world.pass(80 * DAY_MS);
  assert.equal(world.authority.orders.length, 1);
  await certificates.settle(world.appId);
});

test("what authorities say, in sentences", () => {
  for (const type of [
    "dns",
    "connection",
    "unauthorized",
    "caa",
    "rejectedIdentifier",
    "rateLimited",
    "unreachable",
    "router",
    "x",
  ]) {
    const text = sentence({ type, message: "because" }, "a.example");
    assert.match(text, /^[A-Zh].*[.:] because\.$/, type);
  }
});
