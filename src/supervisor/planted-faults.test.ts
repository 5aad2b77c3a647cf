import assert from "node:assert/strict";
import { test } from "node:test";
import type { Runtime } from "../model/runtime.ts";
import { plan } from "./plan.ts";
import { simulate } from "./simulation.ts";
import { COMMAND_SCENARIOS } from "./simulation-commands.ts";
import { HEALTH_SCENARIOS } from "./simulation-health.ts";
import { SCENARIOS } from "./simulation-scenarios.ts";
import { World } from "./simulation-world.ts";
import type { Action, Plan, Situation } from "./situation.ts";
import { stop } from "./transitions.ts";

type Planner = typeof plan;
const SEEDS = 20;

/** A plan that leaves out some actions. */
const without =
  (isLeftOut: (action: Action) => boolean): Planner =>
  (situation) => {
    const made = plan(situation);
    return { ...made, actions: made.actions.filter((action) => !isLeftOut(action)) };
  };

/** A plan that sees the situation wrongly. */
const seeing =
  (wrongly: (situation: Situation) => Situation): Planner =>
  (situation) =>
    plan(wrongly(situation));

const changing =
  (change: (made: Plan, situation: Situation) => Plan): Planner =>
  (situation) =>
    change(plan(situation), situation);

const withDesired = (situation: Situation, change: Partial<NonNullable<Situation["desired"]>>): Situation =>
  situation.desired === null ? situation : { ...situation, desired: { ...situation.desired, ...change } };

const withSettings = (settings: Partial<Runtime>): Planner =>
  seeing((situation) =>
    situation.desired === null ? situation : withDesired(situation, { app: { ...situation.desired.app, ...settings } }),
  );

const isChange = (action: Action) => (action.kind === "change" ? action.change : undefined);

/** A supervisor for whom dynos have no checks. */
const blind = seeing((situation) => ({
  ...situation,
  observed: situation.observed.map((dyno) => {
    if (dyno.state.kind !== "running") return dyno;
    const { health: _health, ...state } = dyno.state;
    return { ...dyno, state };
  }),
}));

const FAULTS: Readonly<Record<string, Planner>> = {
  "does not wait for a release's command": seeing((situation) => {
    const candidate = situation.desired?.candidate ?? null;
    return candidate === null ? situation : withDesired(situation, { candidate: { ...candidate, command: null } });
  }),
  "never notices that a release's command is done": without((action) => action.kind === "end-command"),
  "takes any end of a release's command for a good one": changing((made) => ({
    ...made,
    actions: made.actions.map((action) =>
      action.kind === "fail" ? { kind: "end-command", releaseId: action.releaseId } : action,
    ),
  })),
  "lets a newer release overtake a command that runs": changing((made, { desired }) => {
    const running = desired?.candidate?.command?.state === "running" ? desired.candidate : undefined;
    if (running === undefined) return made;
    return { ...made, actions: [...made.actions, { kind: "expire", releaseId: running.id }] };
  }),
  "starts every dyno twice": changing((made) => ({
    ...made,
    actions: made.actions.flatMap((action): readonly Action[] =>
      action.kind === "create" ? [action, action] : [action],
    ),
  })),
  "scales the lowest numbers away": seeing((situation) => {
    const current = situation.desired?.current ?? null;
    if (current === null || current.dynos.length !== 2) return situation;
    const dynos = current.dynos.map((dyno, index) => ({ ...dyno, name: `${dyno.type}.${index + 3}` }));
    return withDesired(situation, { current: { ...current, dynos } });
  }),
  "knows no back-off": seeing((situation) => ({ ...situation, crashes: [] })),
  "never forgets crashes when a name is not wanted any more": without((action) => action.kind === "clear-crashes"),
  "counts a lost dyno as crashed": seeing((situation) => ({
    ...situation,
    observed: situation.observed.map((dyno) =>
      dyno.state.kind === "ended" && dyno.state.status === null
        ? { ...dyno, state: { ...dyno.state, status: 1 } }
        : dyno,
    ),
  })),
  "has no boot timeout": without((action) => isChange(action)?.stopping?.reason === "boot-timeout"),
  "never ends the grace": without((action) => isChange(action)?.stopping?.killed === true),
  "gives no grace": changing((made) => ({
    ...made,
    actions: made.actions.map((action) =>
      action.kind === "signal" && action.signal === "TERM" ? { ...action, signal: "KILL" } : action,
    ),
  })),
  "stops dynos before the router knows": changing((made) => ({
    ...made,
    actions: made.actions.map((action) => (action.kind === "signal" ? { ...action, settle: false } : action)),
  })),
  "makes a release current before it is up": changing((made, { desired }) =>
    desired?.candidate == null
      ? made
      : {
          ...made,
          actions: [
            ...made.actions,
            {
              kind: "promote",
              releaseId: desired.candidate.id,
              after: desired.current?.id ?? null,
              types: desired.candidate.types,
            },
          ],
        },
  ),
  "stops the old dynos before the new ones are up": changing((made, { desired, records, now }) => {
    const old = records.filter(
      ({ releaseId, stopping, exit }) =>
        desired?.candidate != null && releaseId === desired.current?.id && stopping === null && exit === null,
    );
    return { ...made, actions: [...made.actions, ...old.map((record) => stop(record, "replaced", now))] };
  }),
  "does not notice that a release has failed": without((action) => action.kind === "fail"),
  "leaves the dynos of other releases running": without((action) => {
    const reason = isChange(action)?.stopping?.reason;
    return reason === "failed-release" || reason === "replaced";
  }),
  "never expires a release": without((action) => action.kind === "expire"),
  "takes no notice of sizes": seeing((situation) => {
    const current = situation.desired?.current ?? null;
    if (current === null) return situation;
    const sizeOf = new Map(situation.records.map(({ name, size }) => [name, size]));
    const dynos = current.dynos.map((dyno) => ({ ...dyno, size: sizeOf.get(dyno.name) ?? dyno.size }));
    return withDesired(situation, { current: { ...current, dynos } });
  }),
  "never frees ended dynos": without((action) => action.kind === "forget"),
  "lets orphans live": seeing((situation) => ({
    ...situation,
    observed: situation.observed.filter(({ id }) => situation.records.some((record) => record.id === id)),
  })),
  "starts attached dynos before their client comes": seeing((situation) => ({
    ...situation,
    records: situation.records.map((record) =>
      record.oneOff === null ? record : { ...record, oneOff: { ...record.oneOff, awaiting: false } },
    ),
  })),
  "forgets its deadlines": changing((made) => ({ ...made, lookAgainAt: null })),
  "keeps ended one-off dynos for ever": without(
    (action) => action.kind === "drop" && action.record.kind !== "formation",
  ),
  "knows one boot timeout for all apps": withSettings({ bootTimeoutSeconds: 60 }),
  "knows one grace for all apps": withSettings({ stopGraceSeconds: 30 }),
  "rolls every release out in one way": withSettings({ rollout: "surge" }),
  "stops old web dynos of every release first": withSettings({ rollout: "stop-start" }),
  "switches as soon as the new web dynos are up": seeing((situation) => {
    const candidate = situation.desired?.candidate ?? null;
    return candidate === null ? situation : withDesired(situation, { candidate: { ...candidate, since: 0 } });
  }),
  "cycles unasked": withSettings({ dailyCycling: true }),
  "never cycles": without((action) => isChange(action)?.stopping?.reason === "cycling"),
  "cycles all dynos of a type at once": changing((made, { records, now }) => {
    const first = made.actions.find((action) => isChange(action)?.stopping?.reason === "cycling");
    if (first?.kind !== "change") return made;
    const others = records.filter(
      ({ id, type, stopping, exit }) =>
        id !== first.record.id && type === first.record.type && stopping === null && exit === null,
    );
    return { ...made, actions: [...made.actions, ...others.map((record) => stop(record, "cycling", now))] };
  }),
  "takes no notice of when a dyno was started": seeing((situation) => ({
    ...situation,
    records: situation.records.map((record) => ({ ...record, launchedAt: (record.launchedAt ?? 0) - 20 * 3_600_000 })),
  })),
  "tries a slug that is not what was built again and again": changing((made) => ({
    ...made,
    actions: made.actions.map((action) =>
      action.kind === "change" && action.crash !== null && action.lines.some(({ text }) => text.includes("R17"))
        ? { ...action, crash: { ...action.crash, count: 1 } }
        : action,
    ),
  })),
  "takes a wrong checksum for any failure": seeing((situation) => ({
    ...situation,
    attempts: new Map(
      [...situation.attempts].map(([key, attempt]) => [
        key,
        attempt.error === "checksum" ? { ...attempt, error: "failed" } : attempt,
      ]),
    ),
  })),
  "lets one-off dynos live past their time": without((action) => isChange(action)?.stopping?.reason === "time-to-live"),
  "calls a dyno up before its checks have passed": blind,
  "waits for ever for a startup check": without((action) => isChange(action)?.stopping?.reason === "not-started"),
  "lets requests go to a dyno that is not ready": without((action) => isChange(action)?.ready === false),
  "never takes back a dyno that is ready again": without((action) => isChange(action)?.ready === true),
  "restarts what is only not ready": changing((made, { records, observed, now }) => ({
    ...made,
    actions: made.actions.flatMap((action) => {
      if (isChange(action)?.ready !== false || action.kind !== "change") return [action];
      return observed.some(({ id }) => id === action.record.id) && records.includes(action.record)
        ? [stop(action.record, "restart", now)]
        : [action];
    }),
  })),
  "does not restart what is dead": without((action) => isChange(action)?.stopping?.reason === "unhealthy"),
  "counts no crash when a liveness check fails": changing((made) => ({
    ...made,
    actions: made.actions.map((action) =>
      action.kind === "change" && action.record.stopping?.reason === "unhealthy" ? { ...action, crash: null } : action,
    ),
  })),
  "replaces a dead dyno before it has ended": seeing((situation) => ({
    ...situation,
    records: situation.records.map((record) =>
      record.stopping?.reason === "unhealthy" && record.exit === null
        ? { ...record, stopping: { ...record.stopping, reason: "restart" } }
        : record,
    ),
  })),
};

/** The scenario that must not put up with each. */
const CAUGHT_BY: Readonly<Record<string, string>> = {
  "does not wait for a release's command": "spec 5.3: a release's command runs once",
  "never notices that a release's command is done": "spec 5.3: a release's command runs once",
  "takes any end of a release's command for a good one": "spec 5.3: a command that fails",
  "lets a newer release overtake a command that runs": "spec 5.3: a newer release waits",
  "starts every dyno twice": "spec 1.3: the lines of a start",
  "scales the lowest numbers away": "spec 1.2, 2.3",
  "knows no back-off": "spec 3.4: any exit",
  "never forgets crashes when a name is not wanted any more": "spec 3.4: scaling to 0",
  "counts a lost dyno as crashed": "spec 3.4: a lost dyno",
  "has no boot timeout": "spec 3.2: R10",
  "never ends the grace": "spec 3.3: SIGTERM, 30 s",
  "gives no grace": "spec 3.3: on restart",
  "stops dynos before the router knows": "spec 3.3: no dyno gets SIGTERM",
  "makes a release current before it is up": "rollout: the old release serves",
  "stops the old dynos before the new ones are up": "rollout: the old release serves",
  "does not notice that a release has failed": "rollout: a release whose dyno ends",
  "leaves the dynos of other releases running": "rollout: the old release serves",
  "never expires a release": "spec 5.3: a newer",
  "takes no notice of sizes": "spec 2.3: a changed size",
  "never frees ended dynos": "spec 3.9: a one-off dyno runs once",
  "lets orphans live": "what the engine runs",
  "starts attached dynos before their client comes": "spec 3.9: an attached one-off waits",
  "forgets its deadlines": "spec 3.4: any exit",
  "keeps ended one-off dynos for ever": "spec 3.9: one-offs are not started twice",
  "knows one boot timeout for all apps": "spec 3.2, 3.3: boot timeout and grace",
  "knows one grace for all apps": "spec 3.2, 3.3: boot timeout and grace",
  "rolls every release out in one way": "rollout: stop-start: all dynos",
  "stops old web dynos of every release first": "spec 3.7: preboot: requests move",
  "switches as soon as the new web dynos are up": "spec 3.7: preboot: requests move",
  "cycles unasked": "spec 3.5: cycling is off",
  "never cycles": "spec 3.5: a day",
  "cycles all dynos of a type at once": "spec 3.5: a day",
  "takes no notice of when a dyno was started": "spec 3.5: a restart and a release",
  "tries a slug that is not what was built again and again": "spec 6.2: R17: a slug",
  "takes a wrong checksum for any failure": "spec 6.2: R17: a slug",
  "lets one-off dynos live past their time": "spec 3.9: a one-off dyno lives for its time",
  "calls a dyno up before its checks have passed": "health: a web dyno is up once it listens",
  "waits for ever for a startup check": "health: checks that do not pass within the boot timeout",
  "lets requests go to a dyno that is not ready": "health: a dyno whose readiness fails",
  "never takes back a dyno that is ready again": "health: a dyno whose readiness fails",
  "restarts what is only not ready": "health: a dyno whose readiness fails",
  "does not restart what is dead": "health: a dyno whose liveness fails",
  "counts no crash when a liveness check fails": "health: a dyno whose liveness fails",
  "replaces a dead dyno before it has ended": "health: a dyno whose liveness fails",
};

for (const [fault, planner] of Object.entries(FAULTS)) {
  test(`planted fault: a supervisor that ${fault} is caught`, async () => {
    const name = CAUGHT_BY[fault] ?? assert.fail("which scenario catches it?");
    const scenario =
      [...SCENARIOS, ...HEALTH_SCENARIOS, ...COMMAND_SCENARIOS].find((each) => each.name.startsWith(name)) ??
      assert.fail(`no scenario ${name}`);
    await using world = await World.make({ plan: planner });
    const isCaught = await scenario.play(world).then(
      () => world.broken.length > 0,
      (error: unknown) => {
        if (!(error instanceof assert.AssertionError)) throw error;
        return true;
      },
    );
    assert.ok(isCaught);
  });
}

test("planted faults are caught by storms too, within a few seeds", async () => {
  for (const fault of [
    "starts every dyno twice",
    "makes a release current before it is up",
    "lets orphans live",
    "stops old web dynos of every release first",
    "cycles unasked",
  ]) {
    let isCaught = false;
    for (let seed = 1; seed <= SEEDS && !isCaught; seed++) {
      isCaught = (await simulate(seed, { plan: FAULTS[fault] ?? assert.fail(fault) })).length > 0;
    }
    assert.ok(isCaught, fault);
  }
});
