import type { Instant } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";
import { type DynoRecord, freeName, isLive, unstarted } from "../model/dyno.ts";
import { resolveCommand } from "../model/procfile.ts";
import type { Slug } from "../model/release.ts";
import type { Schedule, ScheduleRun } from "../model/schedule.ts";
import { DEFAULT_SIZE } from "../model/size.ts";
import type { Store } from "../store/store.ts";
import type { RunningDyno } from "./plan.ts";

/** The code that scheduled dynos of an app run. */
export interface Code {
  readonly releaseId: string;
  readonly slug: Slug;
}

/** That of the current release; undefined: it has none. */
export async function codeOf(appId: string, store: Store): Promise<Code | undefined> {
  const app = await store.apps.byId(appId);
  const releaseId = app?.currentReleaseId ?? null;
  const release = releaseId === null ? undefined : await store.releases.byId(releaseId);
  if (release === undefined || release.slugId === null) return undefined;
  const slug = await store.slugs.byId(release.slugId);
  return slug && { releaseId: release.id, slug };
}

/** Which of the runs still go on. */
export function runningOf(runs: readonly ScheduleRun[], dynos: readonly DynoRecord[]): readonly RunningDyno[] {
  const alive = new Set(dynos.filter(({ exit }) => exit === null).map(({ id }) => id));
  return runs.flatMap(({ scheduleId, decidedAt, outcome }) =>
    outcome.kind === "started" && alive.has(outcome.dynoId)
      ? [{ scheduleId, dynoId: outcome.dynoId, name: outcome.dynoName, since: decidedAt }]
      : [],
  );
}

export interface NewDyno {
  readonly schedule: Schedule;
  readonly code: Code;
  /** Those of the app. */
  readonly dynos: readonly DynoRecord[];
  readonly userEmail: string;
  readonly now: Instant;
  readonly random: Random;
}

/** A one-off dyno `scheduler.1234`: detached, never restarted, at most 24 hours (spec 1.1, 3.9). */
export function dynoFor({ schedule, code, dynos, userEmail, now, random }: NewDyno): DynoRecord {
  const name = freeName("scheduler", dynos, random);
  if (name === undefined) throw new Error(`no free name for a dyno of schedule ${schedule.id}`);
  return {
    id: random.uuid(),
    appId: schedule.appId,
    kind: "scheduler",
    name,
    type: "scheduler",
    releaseId: code.releaseId,
    size: schedule.size ?? DEFAULT_SIZE,
    command: resolveCommand(schedule.command, code.slug.processTypes),
    ...unstarted(now),
    oneOff: { attach: false, awaiting: false, terminal: null, env: {}, timeToLive: null, userEmail },
    port: null,
  };
}

/** It makes room for its schedule's next run: SIGTERM, and 30 seconds. False if it is on its way out already. */
export async function replaceDyno(dynoId: string, store: Store, now: Instant): Promise<boolean> {
  const record = await store.dynos.byId(dynoId);
  if (record === undefined || !isLive(record)) return false;
  await store.dynos.update(record.id, { stopping: { since: now, reason: "replaced", killed: false } });
  return record.launchedAt !== null;
}
