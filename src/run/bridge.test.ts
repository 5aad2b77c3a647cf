import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { dynoRecord } from "../../test/support/dyno.ts";
import { addAbortListener } from "../lib/abort.ts";
import { silentLogger } from "../lib/logger.ts";
import { systemRandom } from "../lib/random.ts";
import { SimClock } from "../lib/sim-clock.ts";
import { openStore } from "../store/sqlite.ts";
import type { Supervision } from "../supervisor/supervision.ts";
import { type AttachedClient, bridge, type ClientEvent } from "./bridge.ts";

const HOUR = 3_600_000;
const MINUTE = 60_000;

/** An attached dyno that runs and is silent, and its client, in simulated time. */
async function attached() {
  const clock = new SimClock();
  const store = await openStore({ path: ":memory:", key: [randomBytes(32)], clock });
  const owner = await store.users.ensure("me@example.com");
  const app = await store.apps.create({ name: "hello", ownerId: owner.id, stack: "debian-12", domain: "localhost" });
  const oneOff = { attach: true, awaiting: true, terminal: null, env: {}, timeToLive: null, userEmail: owner.email };
  await store.dynos.create(
    dynoRecord({ id: "dyno", appId: app.id, kind: "run", name: "run.1", type: "run", oneOff, port: null }),
  );
  const disconnected: string[] = [];
  const output = new PassThrough();
  const events = new PassThrough({ objectMode: true });
  let isClosed = false;
  const gone = new AbortController();
  const client: AttachedClient = {
    events: () => events as AsyncIterable<ClientEvent>, // what is written to it below
    write: async () => {},
    finish: async () => {},
    close() {
      isClosed = true;
      gone.abort();
      events.end();
    },
    gone: gone.signal,
  };
  const supervision: Pick<Supervision, "nudge" | "exited" | "disconnect"> = {
    nudge: () => {},
    exited: (_, signal) => new Promise((_resolve, reject) => addAbortListener(signal, () => reject(signal.reason))),
    disconnect: async (id) => void disconnected.push(id),
  };
  const done = bridge({
    store,
    supervision: supervision as Supervision, // all that is asked of it
    engine: { input: async () => new PassThrough().resume(), resize: async () => {} },
    async *output(_, signal) {
      using _aborted = addAbortListener(signal, () => output.end());
      for await (const chunk of output) yield chunk as Uint8Array; // a byte stream
    },
    clock,
    random: systemRandom,
    logger: silentLogger,
    recordings: { begin: async () => undefined },
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
