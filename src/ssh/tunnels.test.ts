import assert from "node:assert/strict";
import { test } from "node:test";
import { SimClock } from "../lib/sim-clock.ts";
import { Tunnels } from "./tunnels.ts";

const facts = {
  appId: "app",
  dynoId: "dyno",
  dynoName: "web.1",
  userId: "user",
  tokenId: "token",
  key: Buffer.from("k"),
};
const HOUR_MS = 3_600_000;

test("a key opens one session within a minute of its registration; the last one that is used up is told of", () => {
  let told = 0;
  const tunnels = new Tunnels(new SimClock(), () => told++);
  const [one, other] = [tunnels.register(facts), tunnels.register(facts)];
  assert.equal(tunnels.find(one.name, Buffer.from("k")), one);
  assert.equal(tunnels.find(one.name, Buffer.from("x")), undefined);
  assert.equal(tunnels.find(one.name, Buffer.from("kk")), undefined);
  assert.equal(tunnels.find(other.name.toUpperCase(), Buffer.from("k")), undefined);
  assert.equal(tunnels.takeSession(one), true);
  assert.deepEqual([tunnels.takeSession(one), tunnels.takeForward(one), told], [false, false, 0]);
  assert.equal(tunnels.takeSession(other), true);
  assert.deepEqual([told, tunnels.openForMs()], [1, 0]);
});

test("a key for ports lasts for an hour after each connection, a day at most, and opens no session", async () => {
  const clock = new SimClock();
  const tunnels = new Tunnels(clock);
  const tunnel = tunnels.register(facts);
  for (let minutes = 0; minutes < 24 * 60 - 30; minutes += 30) {
    assert.equal(tunnels.takeForward(tunnel), true, `${minutes}`);
    await clock.advance(HOUR_MS / 2);
  }
  assert.equal(tunnels.takeSession(tunnel), false);
  assert.ok(tunnels.openForMs() <= HOUR_MS / 2);
  await clock.advance(HOUR_MS / 2);
  assert.deepEqual([tunnels.takeForward(tunnel), tunnels.openForMs()], [false, 0]);
  const idle = tunnels.register(facts);
  await clock.advance(HOUR_MS);
  assert.equal(tunnels.find(idle.name, idle.key), undefined);
});

test("of one person's keys the oldest gives way; beyond what there is room for all are refused", () => {
  const tunnels = new Tunnels(new SimClock());
  const own = Array.from({ length: 21 }, () => tunnels.register(facts));
  const live = own.filter(({ name, key }) => tunnels.find(name, key) !== undefined);
  assert.deepEqual(live, own.slice(1));
  const register = (from: number, to: number) => {
    for (let n = from; n < to; n++) tunnels.register({ ...facts, userId: `user ${n}` });
  };
  register(0, 1_980);
  assert.throws(() => register(1_980, 1_981), /Too many/);
});
