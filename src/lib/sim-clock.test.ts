import assert from "node:assert/strict";
import { test } from "node:test";
import { Nudge } from "./nudge.ts";
import { SimClock } from "./sim-clock.ts";

const never = new AbortController().signal;

test("sleepers wake in the order of their times, and later ones sleep on", async () => {
  const clock = new SimClock(0);
  const woken: string[] = [];
  const sleeper = async (name: string, ms: number) => {
    await clock.sleep(ms, never);
    woken.push(`${name} ${clock.now()}`);
  };
  const sleepers = [sleeper("b", 20), sleeper("a", 10), sleeper("c", 20), sleeper("late", 99)];
  await clock.advance(50);
  assert.deepEqual(woken, ["a 10", "b 20", "c 20"]);
  assert.equal(clock.now(), 50);
  await clock.advance(50);
  await Promise.all(sleepers);
});

test("a jump of the wall clock moves no timer", async () => {
  const clock = new SimClock(0);
  let woken = false;
  void clock.sleep(100, never).then(() => (woken = true));
  clock.jump(1000);
  assert.equal(clock.now(), 1000);
  await clock.advance(99);
  assert.equal(woken, false);
  await clock.advance(1);
  assert.equal(woken, true);
});

test("a nudge waits by the clock it is given, ends at a ring, and remembers one", async () => {
  const clock = new SimClock(0);
  const nudge = new Nudge();
  const ended: number[] = [];
  const wait = () => nudge.wait(100, never, clock).then(() => ended.push(clock.now()));
  void wait();
  await clock.advance(150);
  void wait();
  await clock.advance(10);
  nudge.ring();
  await clock.advance(10);
  nudge.ring();
  void wait();
  await clock.advance(0);
  assert.deepEqual(ended, [100, 160, 170]);
});

test("a nudge ends when its signal is aborted", async () => {
  const stop = new AbortController();
  const waiting = new Nudge().wait(1_000_000, stop.signal);
  stop.abort();
  await waiting;
});
