import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { eventually } from "../../../test/support/eventually.ts";
import { jsonLogger } from "../../lib/logger.ts";
import { SimClock } from "../../lib/sim-clock.ts";
import { UUID } from "../../lib/uuid.ts";
import { specOf } from "../contract.ts";
import { ConfigFifos } from "./config-fifo.ts";
import { EXITS } from "./dyno-folder.ts";
import type { BeginOptions, Begun } from "./runtime.ts";
import { Standbys } from "./standbys.ts";
import type { Workshop } from "./workshop.ts";

test("two stand by, each id is given once, and what was used is replaced once nothing starts", async () => {
  await using host = await Host.open();
  const [first = "", second = "", third] = [host.standbys.give(), host.standbys.give(), host.standbys.give()];
  assert.match(first, UUID);
  assert.notEqual(first, second);
  assert.equal(third, undefined);
  const taken = host.standbys.take(specOf({ id: first })) ?? assert.fail("it stands by");
  assert.equal(host.standbys.take(specOf({ id: first })), undefined, "it is the dyno's");
  await taken.config.hand("{}", taken.begun.made, host.clock);
  assert.equal(await taken.begun.made, 7);
  await host.clock.advance(100);
  host.standbys.busy();
  await host.clock.advance(100);
  assert.equal(host.begun.length, 2, "something starts");
  await host.clock.advance(100);
  await eventually(() => host.begun.length === 3);
  assert.match(host.standbys.give() ?? "", UUID);
});

test("what is no plain container is not made of one, and nothing stays under its id", async () => {
  await using host = await Host.open();
  let made = 2;
  const others = [
    { isolation: "gvisor" },
    { terminal: { rows: 24, columns: 80 } },
    { stdin: true },
    { io: true },
  ] as const;
  for (const other of others) {
    await eventually(() => host.begun.length >= made);
    made = host.begun.length + 1;
    const id = host.standbys.give() ?? assert.fail("another stands by");
    assert.ok(host.left().includes(id));
    assert.equal(await host.standbys.claim(specOf({ id, ...other })), undefined);
    assert.ok(!host.left().includes(id));
    await host.clock.advance(200);
  }
  assert.equal(await host.standbys.claim(specOf()), undefined, "an id that nothing stands by under");
});

test("those who were offered ids lose what they did not use, and others stand by then", async () => {
  await using host = await Host.open();
  const offered: string[] = [];
  const offers = host.standbys.offer((id) => void offered.push(id));
  await eventually(() => offered.length === 2);
  assert.equal(host.standbys.give(), undefined, "they are somebody's");
  const [used = "", unused = ""] = offered;
  const taken = host.standbys.take(specOf({ id: used }));
  offers[Symbol.dispose]();
  await eventually(() => !host.left().includes(unused));
  assert.ok(host.left().includes(used));
  await taken?.config.end();
  const others: string[] = [];
  using _others = host.standbys.offer((id) => void others.push(id));
  await host.clock.advance(200);
  await eventually(() => others.length === 2);
  assert.equal(new Set([...offered, ...others]).size, 4);
});

test("an id that a dyno was given and that came to nothing is free again after a while; one that nobody was given stands on", async () => {
  await using host = await Host.open();
  const offered: string[] = [];
  using _offers = host.standbys.offer((id) => void offered.push(id));
  const [lost = "", other = ""] = offered;
  host.standbys.given(lost);
  await host.clock.advance(29_000);
  assert.ok(host.left().includes(lost), "it may be on its way");
  await host.clock.advance(2_000);
  await eventually(() => !host.left().includes(lost));
  await eventually(() => offered.length === 3);
  await host.clock.advance(600_000);
  assert.deepEqual(new Set(host.left()), new Set([other, offered[2]]));
  assert.equal(offered.length, 3);
});

test("of two who are offered ids the latest is told, and the other one once that has gone", async () => {
  await using host = await Host.open();
  const [first, second] = [[] as string[], [] as string[]];
  using _first = host.standbys.offer((id) => void first.push(id));
  const offers = host.standbys.offer((id) => void second.push(id));
  assert.deepEqual([first.length, second.length], [2, 0]);
  const taken = host.standbys.take(specOf({ id: first[0] ?? "" }));
  await host.clock.advance(200);
  await eventually(() => second.length === 1);
  offers[Symbol.dispose]();
  await eventually(() => first.length === 3);
  assert.ok(!first.includes(second[0] ?? ""), "that one is nobody's");
  await taken?.config.end();
});

test("one whose runtime ends is taken away, with a line in the log, and replaced after a while", async () => {
  await using host = await Host.open();
  host.begun[0]?.fail();
  await eventually(() => host.left().length === 1);
  assert.match(host.log, /engine\.standby_lost/);
  await host.clock.advance(10_000);
  assert.equal(host.begun.length, 2);
  await host.clock.advance(30_000);
  await eventually(() => host.begun.length === 3);
});

test("where runtimes do not wait any more none stands by", async () => {
  await using host = await Host.open();
  host.fifos.close();
  await host.clock.advance(60_000);
  await eventually(() => host.left().length === 0);
});

test("closed, nothing of them is left", async () => {
  const host = await Host.open();
  assert.equal(host.left().length, 2);
  await host.standbys[Symbol.asyncDispose]();
  assert.deepEqual(host.left(), []);
  await host[Symbol.asyncDispose]();
});

/** FIFOs of the machine's, and a runtime that waits at them and makes nothing. */
class Host implements AsyncDisposable {
  readonly clock = new SimClock();
  readonly fifos: ConfigFifos;
  readonly standbys: Standbys;
  readonly begun: (Begun & { fail(): void })[] = [];
  log = "";
  readonly #base = mkdtempSync(join(tmpdir(), "stator-standbys-"));
  readonly #bundles = join(this.#base, "bundles");

  static async open(): Promise<Host> {
    const host = new Host();
    await host.fifos.open(8);
    host.standbys.open();
    await eventually(() => host.begun.length === 2);
    return host;
  }

  private constructor() {
    mkdirSync(join(this.#bundles, EXITS), { recursive: true });
    this.fifos = new ConfigFifos(join(this.#bundles, ".fifos"));
    const logs = { create: () => {}, pathOf: (id: string) => join(this.#base, id), remove: async () => {} };
    const logger = jsonLogger("test", (line) => {
      this.log += line;
    });
    const runtime = { begin: (options: BeginOptions) => this.#begin(options) };
    // Only what these tests come to.
    const shop = { clock: this.clock, fifos: this.fifos, logs, logger, runtime } as unknown as Workshop;
    this.standbys = new Standbys(shop, this.#bundles);
  }

  /** Ids that something is there under. */
  left(): readonly string[] {
    return readdirSync(this.#bundles).filter((name) => UUID.test(name));
  }

  #begin({ bundle }: BeginOptions): Begun {
    const { promise: made, resolve, reject } = Promise.withResolvers<number>();
    made.catch(() => {}); // awaited by those whom it concerns
    const go = () =>
      void readFile(join(bundle, "config.json"), "utf8").then(
        (text) => (text === "" ? reject(new Error("no configuration")) : resolve(7)),
        reject,
      );
    const begun = { pid: 1, made, go, kill: () => {}, fail: () => reject(new Error("killed")) };
    this.begun.push(begun);
    return begun;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.standbys[Symbol.asyncDispose]();
    rmSync(this.#base, { recursive: true, force: true });
  }
}
