import assert from "node:assert/strict";
import { test } from "node:test";
import type { App } from "../model/app.ts";
import type { Formation } from "../model/formation.ts";
import type { Release, ReleaseStatus } from "../model/release.ts";
import { DEFAULT_RUNTIME } from "../model/runtime.ts";
import { desiredOf } from "./desired.ts";

const app: App = {
  ...DEFAULT_RUNTIME,
  id: "app",
  name: "hello",
  ownerId: "me",
  uidIndex: 0,
  maintenance: false,
  stack: "debian-12",
  isolation: "container",
  currentReleaseId: "v3",
  createdAt: 0,
  updatedAt: 0,
  releasedAt: null,
  asleepSince: null,
};
const release = (version: number, status: ReleaseStatus, processTypes: Record<string, string> = { web: "run" }) => ({
  release: { id: `v${version}`, appId: "app", version, status } as Release, // all that is read of it
  processTypes,
  userEmail: "me@example.com",
});
const row = (type: string, quantity: number, scaling: Formation["scaling"] = null): Formation => ({
  id: type,
  appId: "app",
  type,
  quantity,
  size: "Standard-1X",
  scaling,
  createdAt: 0,
  updatedAt: 0,
});
const desired = (releases: ReturnType<typeof release>[], formation: Formation[], change: Partial<App> = {}) =>
  desiredOf({ app: { ...app, ...change }, releases, formation, metrics: {}, now: 0 });
const names = (of: ReturnType<typeof desiredOf>["current"]) => of?.dynos.map(({ name }) => name);

test("spec 1.2: names are dense, by type, with the type's size and command", () => {
  const { current } = desired([release(3, "succeeded", { web: "a", worker: "b" })], [row("web", 2), row("worker", 1)]);
  assert.deepEqual(names(current), ["web.1", "web.2", "worker.1"]);
  assert.deepEqual(current?.dynos[2], { name: "worker.1", type: "worker", size: "Standard-1X", command: "b" });
});

test("spec 10.3: an app that sleeps wants none, whatever its formation says", () => {
  const rows = [row("web", 2), row("worker", 1)];
  const asleep = desired([release(3, "succeeded", { web: "a", worker: "b" })], rows, { asleepSince: 9 });
  assert.deepEqual([names(asleep.current), asleep.isAsleep], [[], true]);
});

test("spec 5.1: the first deploy wants one web dyno; a type without a row is new and wants none", () => {
  const first = desired([release(3, "pending", { web: "a", worker: "b" })], [], { currentReleaseId: null });
  assert.deepEqual(names(first.candidate), ["web.1"]);
  const later = desired([release(3, "succeeded"), release(4, "pending", { web: "a", clock: "b" })], [row("worker", 1)]);
  assert.deepEqual(names(later.candidate), []);
});

test("spec 5.3: the release command is no part of the formation", () => {
  const { current } = desired([release(3, "succeeded", { release: "migrate" })], [row("release", 1)]);
  assert.deepEqual(names(current), []);
});

test("spec 5.3: newer releases wait for one whose command runs; without its turn a release with a command is overtaken", () => {
  const withPhase = (version: number, phase: Release["phase"]) => {
    const row = release(version, "pending", { web: "run", release: "migrate" });
    return { ...row, release: { ...row.release, phase } };
  };
  const waiting = desired([release(3, "succeeded"), withPhase(4, "waiting"), withPhase(5, "waiting")], [row("web", 1)]);
  assert.deepEqual([waiting.candidate?.id, waiting.overtaken.map(({ id }) => id)], ["v5", ["v4"]]);
  assert.deepEqual(waiting.candidate?.command, {
    state: "waiting",
    command: "migrate",
    size: "Basic",
    userEmail: "me@example.com",
  });
  const running = desired(
    [release(3, "succeeded"), withPhase(4, "waiting"), withPhase(5, "running"), withPhase(6, "waiting")],
    [row("web", 1), row("release", 0)],
  );
  assert.deepEqual([running.candidate?.id, running.overtaken.map(({ id }) => id)], ["v5", ["v4"]]);
  assert.equal(running.candidate?.command?.size, "Standard-1X", "what ps:type said");
  const done = desired([release(3, "succeeded"), withPhase(4, "done"), withPhase(5, "waiting")], [row("web", 1)]);
  assert.deepEqual([done.candidate?.id, done.overtaken.map(({ id }) => id)], ["v5", ["v4"]]);
});

test("spec 5.1, 5.3: a command that ran before the first deploy came up leaves web its first dyno", () => {
  const first = desired([release(3, "pending", { web: "a", release: "b" })], [row("release", 0)], {
    currentReleaseId: null,
  });
  assert.deepEqual(names(first.candidate), ["web.1"]);
});

test("the newest pending release is the candidate, older ones are overtaken", () => {
  const { current, candidate, overtaken } = desired(
    [release(4, "pending"), release(3, "succeeded"), release(6, "pending"), release(5, "failed")],
    [],
  );
  assert.deepEqual([current?.id, candidate?.id, overtaken.map(({ id }) => id)], ["v3", "v6", ["v4"]]);
});

test("a pending release older than the current one is overtaken", () => {
  const { candidate, overtaken } = desired([release(2, "pending"), release(3, "succeeded")], []);
  assert.deepEqual([candidate, overtaken.map(({ id }) => id)], [null, ["v2"]]);
});

test("bounds of autoscaling hold the quantity", () => {
  const scaling = { min: 2, max: 3, metric: "p95", target: 100 };
  const { current } = desired([release(3, "succeeded")], [row("web", 1, scaling)]);
  assert.deepEqual(names(current), ["web.1", "web.2"]);
});
