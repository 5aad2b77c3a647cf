import type { ObservedDyno } from "../engine/engine.ts";
import { Nudge } from "../lib/nudge.ts";
import type { App } from "../model/app.ts";
import type { Release } from "../model/release.ts";
import { Actor } from "./act.ts";
import { type Desired, desiredOf } from "./desired.ts";
import type { Parts, SupervisorStore } from "./parts.ts";
import { type Action, Ahead, type Situation } from "./situation.ts";
import type { HeadStart } from "./supervision.ts";
import { mayBeShort, SHORT_MS } from "./tend.ts";

/**
 * Looks come at the latest after this long while something is on its way, and while all is quiet: then the supervisor's own
 * pass over all apps, which costs next to nothing, rings where the engine shows something else than was last seen.
 */
const UNSETTLED_MS = 2_000;
const SETTLED_MS = 900_000;
/** Looks in a row without a pause. More than any sequence of actions needs: a plan that is never content must not spin. */
const LOOKS_MAX = 40;

/** Keeps one app as it should be: look, plan, act, wait. */
export class AppLoop {
  readonly appId: string;
  readonly #parts: Parts;
  readonly #actor: Actor;
  readonly #nudge = new Nudge();
  readonly #ahead = new Ahead();
  /** What the latest look was made from; undefined: there was none. */
  #seen: string | undefined;
  /** What the engine showed when there was last nothing to do and nothing on its way, until it may show something else. */
  #calm: readonly ObservedDyno[] | undefined;
  /** Rings since the latest look that are not of the store alone. */
  #rings = 0;
  #isStoreRung = false;

  constructor(appId: string, parts: Parts) {
    this.appId = appId;
    this.#parts = parts;
    this.#actor = new Actor(appId, parts);
  }

  /** See `Supervision.prepare`. */
  prepare(releaseId: string): Promise<HeadStart> {
    return this.#actor.prepare(releaseId);
  }

  /** Anything may have changed. */
  nudge(): void {
    this.#calm = undefined;
    this.#rings++;
    this.#nudge.ring();
  }

  /**
   * Something in the store has: what the engine showed when all was calm need not be asked again, for whatever happens there rings by itself
   * (and a ring that is lost is made good by the pass over all apps). That saves a millisecond of a start.
   */
  nudgeOfStore(): void {
    this.#isStoreRung = true;
    this.#nudge.ring();
  }

  /** Whether the engine shows what the latest look was made from. */
  hasSeen(observed: readonly ObservedDyno[]): boolean {
    return this.#seen === signatureOf(observed);
  }

  /** Runs until stopped, or until the app is gone with all of its dynos. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#parts;
    for (let failures = 0; !signal.aborted; ) {
      try {
        const pause = await this.#rounds(signal);
        if (pause === undefined) return;
        failures = 0;
        await this.#nudge.wait(pause, signal, clock);
      } catch (error) {
        if (signal.aborted) return;
        failures++;
        logger.warn("app.look-failed", { appId: this.appId, failures, error });
        await clock.sleep(Math.min(5_000, 125 * 2 ** Math.min(failures, 10)), signal).catch(() => {}); // stopped
      }
    }
  }

  /** Acts until there is nothing to do. Gives how long to wait; undefined when the app is gone. */
  async #rounds(signal: AbortSignal): Promise<number | undefined> {
    const { plan, clock } = this.#parts;
    for (let looks = 0; looks < LOOKS_MAX; looks++) {
      signal.throwIfAborted();
      this.#nudge.clear();
      const rings = this.#rings;
      const calm = this.#isStoreRung ? this.#calm : undefined;
      this.#isStoreRung = false;
      this.#calm = undefined;
      const { situation, shown } = await this.#parts.looks.run(() => this.#look(calm, signal));
      const { actions, lookAgainAt, unsettled } = plan(situation);
      if (actions.length === 0) {
        if (rings === this.#rings && !unsettled) this.#calm = shown;
        const { desired, observed, records } = situation;
        if (desired === null && observed.length === 0 && records.length === 0) return undefined;
        const resync = unsettled || desired === null ? UNSETTLED_MS : SETTLED_MS;
        return Math.max(0, Math.min(resync, (lookAgainAt ?? Infinity) - clock.now()));
      }
      await this.#actor.act(actions, signal);
      if (actions.every(startsMaybeShort)) {
        this.#nudge.clear(); // that it runs; whatever else rang is seen a moment later
        return SHORT_MS;
      }
    }
    this.#parts.logger.error("app.never-content", { appId: this.appId });
    throw new Error("the plan asks for more after every action"); // pauses, whoever rings
  }

  async #look(calm: readonly ObservedDyno[] | undefined, signal: AbortSignal): Promise<Look> {
    const { observer, store, builds, clock } = this.#parts;
    const observed = calm ?? (await observer.freshOf(this.appId));
    this.#actor.carryLogsOf(observed, signal);
    this.#seen = signatureOf(observed);
    const isOurs = ({ kind, id }: ObservedDyno) => kind !== "build" || !builds.isLive(id);
    const app = await store.apps.byId(this.appId);
    const records = await store.dynos.list(this.appId);
    const crashes = app === undefined ? [] : await store.dynos.crashes(this.appId);
    this.#actor.follow(records, observed);
    this.#actor.tidy(new Set([...records, ...observed].map(({ id }) => id)));
    const situation = {
      desired: app === undefined ? null : await readDesired(app, store, clock.now()),
      records,
      observed: observed.filter(isOurs),
      crashes,
      attempts: this.#actor.attempts,
      ahead: this.#ahead,
      now: clock.now(),
    };
    return { situation, shown: observed };
  }
}

/** Nothing is to be done of such a dyno until it has run for a moment, and its end rings: a look would only be in its way. */
function startsMaybeShort(action: Action): boolean {
  return action.kind === "launch" && mayBeShort(action.record);
}

interface Look {
  readonly situation: Situation;
  /** All that the engine showed. */
  readonly shown: readonly ObservedDyno[];
}

/** The same for the same dynos in the same states, in whatever order they are told. */
function signatureOf(observed: readonly ObservedDyno[]): string {
  const texts = observed.map(({ id, state }) => id + JSON.stringify(state));
  return (texts.length > 1 ? texts.sort() : texts).join();
}

/** The rows of the store that say what should run. */
export async function readDesired(app: App, store: SupervisorStore, now: number): Promise<Desired> {
  const releases = await relevantReleases(app, store);
  return desiredOf({
    app,
    releases: await Promise.all(
      releases.map(async (release) => ({
        release,
        processTypes: await typesOf(release, store),
        userEmail: release.phase === "waiting" ? ((await store.users.byId(release.userId))?.email ?? "") : "",
      })),
    ),
    formation: await store.formation.list(app.id),
    metrics: {},
    now,
  });
}

/** The current release, and those that came after it. */
async function relevantReleases(app: App, store: SupervisorStore): Promise<readonly Release[]> {
  const current = app.currentReleaseId === null ? undefined : await store.releases.byId(app.currentReleaseId);
  const newest = await store.releases.newest(app.id);
  const releases = current === undefined ? [] : [current];
  for (let version = newest?.version ?? 0; version > (current?.version ?? 0); version--) {
    const release = version === newest?.version ? newest : await store.releases.byVersion(app.id, version);
    if (release !== undefined) releases.push(release);
  }
  return releases;
}

async function typesOf(release: Release, store: SupervisorStore): Promise<Readonly<Record<string, string>>> {
  if (release.slugId === null) return {};
  return (await store.slugs.byId(release.slugId))?.processTypes ?? {};
}
