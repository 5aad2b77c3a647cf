import type { Clock, Instant } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { Nudge } from "../lib/nudge.ts";
import type { Random } from "../lib/random.ts";
import type { LogSink } from "../logs/line.ts";
import type { DynoRecord } from "../model/dyno.ts";
import { PlatformError } from "../model/errors.ts";
import { nextRunAt, type Schedule, type ScheduleRun } from "../model/schedule.ts";
import type { Store } from "../store/store.ts";
import type { Supervision } from "../supervisor/supervision.ts";
import { type Code, codeOf, dynoFor, replaceDyno, runningOf } from "./dynos.ts";
import { type Decision, plan, SCHEDULER_DYNOS_MAX, wasSetBack } from "./plan.ts";
import type { RunNow, Schedules } from "./schedules.ts";
import { lineOf, missReason, PROCESS, skipReason } from "./words.ts";

export interface SchedulerOptions {
  readonly store: Store;
  readonly supervision: Pick<Supervision, "nudge">;
  readonly sink: LogSink;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Looks at the latest after this long, since the wall clock may be set while we sleep. */
const LOOK_MS = 5_000;
/** After something was due: what could not be noted is tried again. */
const AGAIN_MS = 1_000;
/** Who asks for a run that was due, as Heroku's logs have it. */
const SCHEDULER_EMAIL = "scheduler@addons.heroku.com";

/** Starts scheduled dynos when they are due, until disposed of. What was decided is in the store before anything of it is done. */
export function startScheduler(options: SchedulerOptions): Schedules & AsyncDisposable {
  return new Scheduler(options);
}

interface Line {
  readonly source: "app" | "heroku";
  readonly process: string;
  readonly text: string;
}

const aliveOf = (dynos: readonly DynoRecord[]): number =>
  dynos.filter(({ kind, exit }) => kind === "scheduler" && exit === null).length;

class Scheduler implements Schedules, AsyncDisposable {
  readonly #options: SchedulerOptions;
  readonly #stop = new AbortController();
  readonly #nudge = new Nudge();
  readonly #running: Promise<void>;
  readonly #nextTimes = new NextTimes();

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#running = this.#run(this.#stop.signal);
  }

  nudge(): void {
    this.#nudge.ring();
  }

  async runNow({ app, schedule, userEmail }: RunNow): Promise<ScheduleRun> {
    const { store, clock } = this.#options;
    const lines: Line[] = [];
    const run = await store.transaction(async (inside) => {
      const code = await codeOf(app.id, inside);
      if (code === undefined)
        throw new PlatformError("invalid_params", `${app.name} has no code to run yet: deploy it with git push first.`);
      const dynos = await inside.dynos.list(app.id);
      const running = runningOf(await inside.schedules.latestRuns(app.id), dynos);
      const own = running.filter(({ scheduleId }) => scheduleId === schedule.id);
      const [other] = own;
      if (other !== undefined && schedule.concurrency === "forbid") {
        throw new PlatformError(
          "conflict",
          `${schedule.name} runs already, as ${other.name}: wait for its end, or stop it with ps:stop ${other.name}.`,
        );
      }
      const now = clock.now();
      const replaces = schedule.concurrency === "replace" ? own : [];
      if (aliveOf(dynos) - replaces.length >= SCHEDULER_DYNOS_MAX)
        throw new PlatformError(
          "invalid_params",
          `${app.name} has ${SCHEDULER_DYNOS_MAX} scheduled dynos already: wait for one to end, or stop one with ps:stop.`,
        );
      const start: Start = { schedule, code, dynos, userEmail, replaces, dueAt: null, now };
      return this.#start(start, inside, lines);
    });
    this.#tell(app.id, lines);
    return run;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    while (!signal.aborted) {
      let pause = AGAIN_MS;
      try {
        pause = await this.#look();
      } catch (error) {
        logger.warn("schedules.look-failed", { error });
      }
      await this.#nudge.wait(pause, signal, clock);
    }
  }

  /** Gives how long to wait. */
  async #look(): Promise<number> {
    const { store, clock, logger } = this.#options;
    this.#nudge.clear();
    const schedules = await store.schedules.listRunnable();
    const now = clock.now();
    const { dueApps, nextAt } = this.#nextTimes.look(schedules, now);
    for (const appId of dueApps) {
      if (this.#stop.signal.aborted) break;
      await this.#decide(appId).catch((error: unknown) => logger.warn("schedules.decide-failed", { appId, error }));
    }
    const until = dueApps.size > 0 ? AGAIN_MS : LOOK_MS;
    return Math.max(0, Math.min(until, (nextAt ?? Infinity) - clock.now()));
  }

  /** What is due of one app: decided and noted in one transaction, together with the dynos' records. */
  async #decide(appId: string): Promise<void> {
    const { store, clock } = this.#options;
    const lines: Line[] = [];
    await store.transaction(async (inside) => {
      const code = await codeOf(appId, inside);
      if (code === undefined) return;
      const schedules = (await inside.schedules.list(appId)).filter(({ enabled }) => enabled);
      const dynos = await inside.dynos.list(appId);
      const running = runningOf(await inside.schedules.latestRuns(appId), dynos);
      const now = clock.now();
      for (const decision of plan({ schedules, running, alive: aliveOf(dynos), now }))
        await this.#note({ decision, code, now, store: inside, lines });
    });
    this.#tell(appId, lines);
  }

  async #note({ decision, code, now, store, lines }: Noting): Promise<void> {
    const { schedule, decidedUntil } = decision;
    const line = lineOf(decision, now);
    if (line !== undefined) lines.push({ source: "heroku", process: PROCESS, text: line });
    const run = { scheduleId: schedule.id, decidedAt: now };
    switch (decision.kind) {
      case "start": {
        const dynos = await store.dynos.list(schedule.appId);
        const { dueAt, replaces } = decision;
        await this.#start({ schedule, code, dynos, userEmail: SCHEDULER_EMAIL, replaces, dueAt, now }, store, lines);
        break;
      }
      case "skip": {
        const reason = skipReason(decision.reason);
        await store.schedules.addRun({ ...run, dueAt: decision.dueAt, outcome: { kind: "skipped", reason } });
        break;
      }
      case "miss": {
        const reason = missReason(decision, schedule.name);
        const outcome = { kind: "missed", count: decision.count, reason } as const;
        await store.schedules.addRun({ ...run, dueAt: decision.lastAt, outcome });
        break;
      }
      case "begin-anew":
        break;
      default:
        return decision satisfies never;
    }
    await store.schedules.decided(schedule.id, decidedUntil);
  }

  async #start(start: Start, store: Store, lines: Line[]): Promise<ScheduleRun> {
    const { schedule, replaces, dueAt, userEmail, now } = start;
    for (const { dynoId, name } of replaces) {
      if (!(await replaceDyno(dynoId, store, now))) continue;
      lines.push({ source: "heroku", process: name, text: "Stopping all processes with SIGTERM" });
    }
    const dyno = dynoFor({ ...start, random: this.#options.random });
    await store.dynos.create(dyno);
    const text = `Starting process with command \`${dyno.command}\` by user ${userEmail}`;
    lines.push({ source: "app", process: "api", text });
    const outcome = { kind: "started", dynoId: dyno.id, dynoName: dyno.name, end: null } as const;
    return store.schedules.addRun({ scheduleId: schedule.id, dueAt, decidedAt: now, outcome });
  }

  /** After it is on disk; the dynos are the supervisor's from here on. */
  #tell(appId: string, lines: readonly Line[]): void {
    const { sink, clock, supervision } = this.#options;
    const at = clock.now();
    for (const line of lines) sink.append(appId, { at, ...line });
    supervision.nudge(appId);
  }
}

interface Noting {
  readonly decision: Decision;
  readonly code: Code;
  readonly now: Instant;
  readonly store: Store;
  readonly lines: Line[];
}

interface Start {
  readonly schedule: Schedule;
  readonly code: Code;
  readonly dynos: readonly DynoRecord[];
  readonly userEmail: string;
  readonly replaces: Extract<Decision, { readonly kind: "start" }>["replaces"];
  readonly dueAt: Instant | null;
  readonly now: Instant;
}

/** When each schedule is looked at next; computed once for each line and what is decided of it. */
class NextTimes {
  #known = new Map<string, Instant | null>();

  look(
    schedules: readonly Schedule[],
    now: Instant,
  ): { readonly dueApps: ReadonlySet<string>; readonly nextAt: Instant | null } {
    const times = new Map<string, Instant | null>();
    const dueApps = new Set<string>();
    let nextAt: Instant | null = null;
    for (const schedule of schedules) {
      const key = `${schedule.id} ${schedule.decidedUntil} ${schedule.cron} ${schedule.timeZone}`;
      const nextRun = this.#known.get(key) ?? nextRunAt(schedule, schedule.decidedUntil);
      times.set(key, nextRun);
      const at = wasSetBack(schedule, now) ? now : nextRun;
      if (at === null) continue;
      if (at <= now) dueApps.add(schedule.appId);
      else nextAt = Math.min(nextAt ?? at, at);
    }
    this.#known = times;
    return { dueApps, nextAt };
  }
}
