import assert from "node:assert/strict";
import { test } from "node:test";
import { SimClock } from "../../lib/sim-clock.ts";
import { FairGate } from "./fair-gate.ts";

const never = new AbortController().signal;

test("never more at once than allowed, of one key and of all, and all come to their turn", async () => {
  const clock = new SimClock();
  const gate = new FairGate({ atOnce: 4, eachAtOnce: 2, gapMs: 0, clock });
  const running = new Map<string, number>();
  const most = new Map<string, number>();
  let done = 0;
  const all = ["a", "b", "c"].flatMap((key) =>
    Array.from({ length: 5 }, () =>
      gate.run(
        key,
        async () => {
          for (const each of [key, "all"]) {
            running.set(each, (running.get(each) ?? 0) + 1);
            most.set(each, Math.max(most.get(each) ?? 0, running.get(each) ?? 0));
          }
          await clock.sleep(100, never);
          for (const each of [key, "all"]) running.set(each, (running.get(each) ?? 0) - 1);
          done++;
        },
        never,
      ),
    ),
  );
  await clock.advance(1000);
  await Promise.all(all);
  assert.equal(done, 15);
  assert.deepEqual(Object.fromEntries(most), { a: 2, b: 2, c: 2, all: 4 });
});

test("keys take turns: one that asks for much does not hold up another", async () => {
  const clock = new SimClock();
  const gate = new FairGate({ atOnce: 1, eachAtOnce: 1, gapMs: 0, clock });
  const order: string[] = [];
  const ask = (key: string) =>
    gate.run(
      key,
      async () => {
        order.push(key);
        await clock.sleep(10, never);
      },
      never,
    );
  const all = [...Array.from({ length: 6 }, () => ask("greedy")), ask("modest"), ask("modest")];
  await clock.advance(1000);
  await Promise.all(all);
  assert.deepEqual(order.slice(0, 5), ["greedy", "greedy", "modest", "greedy", "modest"]);
});

test("begins keep their distance, whoever asks", async () => {
  const clock = new SimClock();
  const gate = new FairGate({ atOnce: 10, eachAtOnce: 10, gapMs: 100, clock });
  const began: number[] = [];
  const start = clock.elapsed;
  const all = ["a", "b", "a", "b"].map((key) =>
    gate.run(key, async () => void began.push(clock.elapsed - start), never),
  );
  await clock.advance(1000);
  await Promise.all(all);
  assert.deepEqual(began, [0, 100, 200, 300]);
});

test("whoever gives up waiting leaves the line, and a failure frees its place", async () => {
  const clock = new SimClock();
  const gate = new FairGate({ atOnce: 1, eachAtOnce: 1, gapMs: 0, clock });
  const failing = gate.run(
    "a",
    async () => {
      await clock.sleep(10, never);
      throw new Error("failed");
    },
    never,
  );
  const leaving = new AbortController();
  const left = gate.run("a", async () => assert.fail("it had left"), leaving.signal);
  const last = gate.run("a", async () => "its turn", never);
  const seen = Promise.all([
    assert.rejects(failing, /failed/),
    assert.rejects(left, /gave up/),
    last.then((value) => assert.equal(value, "its turn")),
  ]);
  leaving.abort(new Error("gave up"));
  await clock.advance(100);
  await seen;
  await assert.rejects(
    gate.run("a", async () => {}, leaving.signal),
    /gave up/,
  );
});
