import assert from "node:assert/strict";
import { test } from "node:test";
import type { SupervisorStore } from "./parts.ts";
import { plan } from "./plan.ts";
import { diesAtWrite, simulate } from "./simulation.ts";
import { World } from "./simulation-world.ts";

/** Plans are faultless here (see `planted-faults.test.ts`): what goes wrong is how they are written down. */
const SEEDS = 5;
/** More than the daemon of `diesAtWrite` makes. */
const WRITES_MAX = 200;

/** Promoting resets what people have scaled, and the supervisor then makes true what it wrote. */
function startsTypesAnew(store: SupervisorStore): SupervisorStore {
  const { formation } = store;
  const sync = async (appId: string, types: readonly string[]): Promise<void> => {
    await formation.sync(appId, []);
    await formation.sync(appId, types);
  };
  return {
    ...store,
    formation: { ...formation, sync },
    transaction: (body) => store.transaction((inside) => body(startsTypesAnew(inside))),
  };
}

/** What belongs together is written one by one. */
function writesInPieces(store: SupervisorStore): SupervisorStore {
  const inPieces: SupervisorStore = { ...store, transaction: (body) => body(inPieces) };
  return inPieces;
}

/** Has a daemon die at one write after the other, until one dies at none or `isEnough`. Gives how many have died. */
async function dieAtEach(
  storeFault: ((store: SupervisorStore) => SupervisorStore) | undefined,
  isEnough: (broken: readonly string[], write: number) => boolean,
): Promise<number> {
  for (let write = 1; write < WRITES_MAX; write++) {
    const { broken, isDead } = await diesAtWrite(write, storeFault === undefined ? {} : { storeFault });
    if (isEnough(broken, write)) return write;
    if (!isDead) return write - 1;
  }
  return assert.fail("it makes more writes than thought");
}

test("whichever of its writes a daemon dies at, nothing that was acknowledged is lost and the next one finishes the release", async () => {
  const died = await dieAtEach(undefined, (broken, write) => {
    assert.deepEqual(broken, [], `dead at write ${write}`);
    return false;
  });
  assert.ok(died > 20, `only ${died} writes`);
});

test("planted fault: a store that loses a scaling with each release is caught by storms", async () => {
  let isCaught = false;
  for (let seed = 1; seed <= SEEDS && !isCaught; seed++) {
    const broken = await simulate(seed, { storeFault: startsTypesAnew });
    isCaught = broken.some((what) => / was scaled to .* and is /.test(what));
  }
  assert.ok(isCaught);
});

test("planted fault: a supervisor that writes in pieces what belongs together is caught when it dies between two", async () => {
  let seen: readonly string[] = [];
  await dieAtEach(writesInPieces, (broken) => {
    seen = broken;
    return broken.length > 0;
  });
  assert.match(seen[0] ?? "", /came up and is not current/);
});

test("what was planned on a record that has changed meanwhile is neither written nor started", async () => {
  await using world = await World.make({
    plan: (situation) => {
      const made = plan(situation);
      const actions = made.actions.map((action) =>
        action.kind === "change" ? { ...action, record: { ...action.record, command: "run another" } } : action,
      );
      return { ...made, actions };
    },
  });
  const { id } = await world.app({});
  await world.run(id, "run", { attach: true });
  await world.start();
  await world.clock.advance(5_000);
  assert.deepEqual(
    (await world.records(id)).map(({ type, launchedAt }) => `${type} ${launchedAt}`),
    ["run null"],
  );
  assert.deepEqual([world.engine.dynos, world.lines], [[], []]);
});
