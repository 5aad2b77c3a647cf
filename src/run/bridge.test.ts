import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { PassThrough, type Writable } from "node:stream";
import { test } from "node:test";
import { dynoRecord } from "../../test/support/dyno.ts";
import { eventually } from "../../test/support/eventually.ts";
import { EngineError } from "../engine/engine.ts";
import { addAbortListener } from "../lib/abort.ts";
import { silentLogger } from "../lib/logger.ts";
import { systemRandom } from "../lib/random.ts";
import { SimClock } from "../lib/sim-clock.ts";
import { openStore } from "../store/sqlite.ts";
import type { Supervision } from "../supervisor/supervision.ts";
import { type AttachedClient, bridge, type ClientEvent } from "./bridge.ts";

const HOUR = 3_600_000;
const MINUTE = 60_000;

interface Given {
  readonly terminal?: { readonly rows: number; readonly columns: number };
  /** Its standard input, each time that it is opened. */
  readonly inputs?: Writable[];
}

/** An attached dyno that runs and is silent, and its client, in simulated time. */
async function attached({ terminal, inputs = [] }: Given = {}) {
  const clock = new SimClock();
  const store = await openStore({ path: ":memory:", key: [randomBytes(32)], clock });
  const owner = await store.users.ensure("me@example.com");
  const app = await store.apps.create({ name: "hello", ownerId: owner.id, stack: "debian-12", domain: "localhost" });
  const { email: userEmail } = owner;
  const oneOff = { attach: true, awaiting: true, terminal: terminal ?? null, env: {}, timeToLive: null, userEmail };
  await store.dynos.create(
    dynoRecord({ id: "dyno", appId: app.id, kind: "run", name: "run.1", type: "run", oneOff, port: null }),
  );
  const disconnected: string[] = [];
  const said: string[] = [];
  const ended = Promise.withResolvers<number | null>();
  const output = new PassThrough();
  const events = new PassThrough({ objectMode: true });
  let isClosed = false;
  const gone = new AbortController();
  const client: AttachedClient = {
    events: () => events as AsyncIterable<ClientEvent>, // what is written to it below
    write: async (chunk) => void said.push(String(chunk)),
    finish: async (status) => void said.push(`status ${status}`),
    close() {
      isClosed = true;
      gone.abort();
      events.end();
    },
    gone: gone.signal,
  };
  const supervision: Pick<Supervision, "prepare" | "nudge" | "exited" | "disconnect"> = {
    prepare: async () => ({ newId: randomUUID, begin: () => {} }),
    nudge: () => {},
    exited: (_, signal) => {
      const given = new Promise<never>((_resolve, reject) => addAbortListener(signal, () => reject(signal.reason)));
      return Promise.race([ended.promise, given]);
    },
    disconnect: async (id) => void disconnected.push(id),
  };
  const done = bridge({
    store,
    supervision: supervision as Supervision, // all that is asked of it
    engine: {
      input: async () => inputs.shift() ?? new PassThrough().resume(),
      resize: async () => {},
    },
    async *output(_, signal) {
      using _aborted = addAbortListener(signal, () => output.end());
      for await (const chunk of output) yield chunk as Uint8Array; // a byte stream
    },
    clock,
    random: systemRandom,
    logger: silentLogger,
    recordings: { begin: async () => undefined },
    sink: { append: () => {} },
    dynoId: "dyno",
    client,
    until: new AbortController().signal,
  });
  return {
    clock,
    disconnected,
    write: (text: string) => output.write(text),
    type: (text: string) => events.write({ kind: "input", data: Buffer.from(text) } satisfies ClientEvent),
    isClosed: () => isClosed,
    /** The dyno ends; what its client was told. */
    async end(status: number) {
      ended.resolve(status);
      output.end();
      await done;
      return said;
    },
    async [Symbol.asyncDispose]() {
      client.close();
      output.end();
      await done;
      await store[Symbol.asyncDispose]();
    },
  };
}

test("spec 3.9: an attached one-off without a byte for an hour loses its connection; a byte either way begins a new hour", async () => {
  await using run = await attached();
  await run.clock.advance(50 * MINUTE);
  run.write("output");
  await run.clock.advance(50 * MINUTE);
  run.type("input");
  await run.clock.advance(HOUR - MINUTE);
  assert.equal(run.isClosed(), false);
  await run.clock.advance(2 * MINUTE);
  assert.equal(run.isClosed(), true);
  assert.deepEqual(run.disconnected, ["dyno"]);
});

const lost = () => new EngineError("unavailable", "lost");

test("input that was lost on its way to a pipe is told, and is no success; what the dyno itself closed is none of that", async () => {
  const [input, closed] = [new PassThrough(), new PassThrough()];
  await using run = await attached({ inputs: [input] });
  run.type("half of it");
  await eventually(() => input.readableLength > 0);
  input.destroy(lost());
  assert.match((await run.end(0)).join(), /^The command's standard input ended too early: .*\r\n,status 255$/);
  await using other = await attached({ inputs: [closed] });
  other.type("it");
  await eventually(() => closed.readableLength > 0);
  closed.destroy(new Error("EPIPE"));
  assert.deepEqual(await other.end(3), ["status 3"]);
});

test("a terminal's input that was lost is opened anew for what is typed next", async () => {
  const inputs = [new PassThrough(), new PassThrough()] as const;
  await using run = await attached({ terminal: { rows: 24, columns: 80 }, inputs: [...inputs] });
  run.type("one");
  await eventually(() => inputs[0].readableLength > 0);
  inputs[0].destroy(lost());
  await new Promise((resolve) => inputs[0].once("close", resolve));
  run.type("two");
  await eventually(() => inputs[1].readableLength > 0);
  assert.equal(String(inputs[1].read()), "two");
  assert.deepEqual(await run.end(0), ["status 0"]);
});
