import { parseArgs } from "node:util";
import { EngineError } from "../engine/engine.ts";
import { NO_FAULTS } from "../engine/sim/sim-engine.ts";
import { type Random, seededRandom } from "../lib/random.ts";
import type { App } from "../model/app.ts";
import { isLive } from "../model/dyno.ts";
import { RELEASE_TYPE, type Release } from "../model/release.ts";
import type { Runtime } from "../model/runtime.ts";
import { Invariants, notConverged } from "./simulation-invariants.ts";
import { World, type WorldOptions } from "./simulation-world.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const STORM_STEPS = 25;

/**
 * Plays one seed: a storm of crashes, lost hints, failing calls, deaths of daemon and host, jumps of the clock, scaling,
 * deploys, restarts and one-offs, with settings of its own; then calm weather. Gives every promise that was not kept; the same for the same seed.
 */
export async function simulate(seed: number, options: SimulateOptions = {}): Promise<readonly string[]> {
  const { settings = seededRandom(seed + 1_000_000_007), ...faults } = options;
  await using world = await World.make({ seed, ...faults });
  const commands = settings === "default" ? undefined : seededRandom(seed + 2_000_000_011);
  const naps = settings === "default" ? undefined : seededRandom(seed + 3_000_000_019);
  const storm = new Storm(world, await world.app(), { settings, commands, naps });
  await storm.blow();
  await storm.calmDown();
  return world.broken;
}

type Faults = Pick<WorldOptions, "plan" | "storeFault">;

export interface SimulateOptions extends Faults {
  /** Chooses the app's settings, and what happens because of them. "default": they stay as they are, as when the seed was found. */
  readonly settings?: Random | "default";
}

/**
 * A release with a command, after a scaling, rolled out by a daemon that dies at its `write`th call inside a transaction; then by
 * one that lives. Gives every promise that was not kept, and whether there was such a call.
 */
export async function diesAtWrite(write: number, faults: Faults = {}): Promise<Died> {
  await using world = await World.make(faults);
  const app = await world.app();
  const invariants = new Invariants(world, app);
  const { acknowledged } = invariants;
  const pass = (ms: number) => world.clock.advance(ms, () => invariants.check());
  const releases: Release[] = [];
  const deploy = async (types: Readonly<Record<string, string>>): Promise<void> => {
    const release = await world.deploy(app.id, types);
    releases.push(release);
    acknowledged.deployed(release, Object.keys(types));
  };
  await deploy({ web: "run", worker: "run", clock: "run" });
  await world.start();
  await pass(2 * SECOND);
  await world.scale(app.id, "web", 2, "Standard-2X");
  acknowledged.scaled("web", 2, "Standard-2X");
  await pass(2 * SECOND);
  world.kill();
  await deploy({ web: "run", worker: "run", release: "run exit=1000/0" });
  await world.start({ insideLeft: write });
  await pass(4 * SECOND);
  const isDead = world.life?.isDead === true;
  world.kill();
  await world.start();
  await pass(15 * SECOND);
  return { broken: [...world.broken, ...(await notConverged(world, app, releases))], isDead };
}

interface Died {
  readonly broken: readonly string[];
  readonly isDead: boolean;
}

interface Chances {
  readonly settings: Random | "default";
  readonly commands: Random | undefined;
  readonly naps: Random | undefined;
}

class Storm {
  readonly #world: World;
  readonly #app: App;
  readonly #invariants: Invariants;
  readonly #releases: Release[] = [];
  readonly #restarted: string[] = [];
  /** Some seeds have weather of only one kind, so that its invariants can be strict. */
  readonly #withFaults: boolean;
  readonly #withDeaths: boolean;
  readonly #withJumps: boolean;
  readonly #withoutRoom: boolean;
  readonly #withChecks: boolean;

  readonly #settings: Random | undefined;
  readonly #withNewSettings: boolean;
  readonly #withRot: boolean;
  readonly #withDays: boolean;

  /** Choose release commands, and when the app sleeps: rows of chances of their own, so that seeds of before mean what they meant. */
  readonly #commands: Random | undefined;
  readonly #naps: Random | undefined;

  constructor(world: World, app: App, { settings, commands, naps }: Chances) {
    this.#naps = naps !== undefined && naps.below(100) < 30 ? naps : undefined;
    this.#commands = commands !== undefined && commands.below(100) < 40 ? commands : undefined;
    this.#settings = settings === "default" ? undefined : settings;
    this.#world = world;
    this.#app = app;
    this.#invariants = new Invariants(world, app);
    this.#withFaults = this.#chance(60);
    this.#withDeaths = this.#chance(60);
    this.#withJumps = this.#chance(15);
    this.#withoutRoom = this.#chance(20);
    this.#withChecks = this.#may(50);
    this.#withNewSettings = this.#may(25);
    this.#withRot = this.#may(10);
    this.#withDays = this.#may(40);
    this.#invariants.cycles = this.#withDays && this.#may(60);
    this.#invariants.isCalm = !this.#withJumps && !this.#withoutRoom && !this.#withDays;
  }

  async blow(): Promise<void> {
    if (this.#settings !== undefined) await this.#set(this.#anySettings(this.#settings));
    if (this.#withChecks) {
      await this.#world.checks(this.#app.id, "web", "startup", "readiness", "liveness");
      await this.#world.checks(this.#app.id, "worker", "startup", "liveness");
    }
    await this.#deploy();
    if (this.#withFaults) this.#goWrong();
    await this.#startDaemon();
    await this.#pass(15 * SECOND);
    for (let step = 0; step < STORM_STEPS; step++) {
      await this.#happen();
      await this.#happenBySettings();
      await this.#pass(this.#below(this.#chance(20) ? 90 * SECOND : 8 * SECOND));
      if (this.#world.life?.isDead !== false && this.#chance(70)) await this.#startDaemon();
    }
  }

  async calmDown(): Promise<void> {
    const { engine } = this.#world;
    this.#invariants.bad.clear(); // they behave from now on
    engine.faults = NO_FAULTS;
    engine.isHealed = true;
    engine.capacity = Number.POSITIVE_INFINITY;
    this.#world.slugsRot = false;
    await this.#set({ dailyCycling: false, restartPolicy: "steady" }); // its longest wait is shorter than the calm
    this.#world.storeFails = () => undefined;
    this.#world.routerFails = () => false;
    this.#world.logsTakeMs = () => 0;
    this.#world.kill(); // a life that has calls left may yet end
    await this.#world.start();
    await this.#pass(20 * MINUTE);
    this.#world.broken.push(...(await notConverged(this.#world, this.#app, this.#releases)));
    const live = new Set(engine.live.map(({ spec }) => spec.id));
    for (const id of this.#restarted.filter((each) => live.has(each))) {
      this.#world.broken.push(`a restart was acknowledged and ${id} still runs`);
    }
  }

  async #happen(): Promise<void> {
    if (this.#withChecks && this.#chance(25)) return this.#ail();
    switch (this.#below(12)) {
      case 0:
      case 1:
        return this.#scale();
      case 2:
      case 3:
        return this.#deploy();
      case 4:
        return this.#restart();
      case 5:
      case 6:
        return this.#crash();
      case 7:
        if (this.#withDeaths) this.#world.kill();
        return;
      case 8:
        if (this.#withDeaths && this.#chance(30)) this.#world.engine.killHost();
        return;
      case 9:
        if (this.#withJumps) this.#world.clock.jump((this.#chance(50) ? -1 : 1) * this.#below(10 * MINUTE));
        return;
      case 10:
        this.#invariants.acknowledged.ran(
          await this.#world.run(this.#app.id, this.#chance(50) ? "run" : "run exit=500/3"),
        );
        return;
      default:
        if (this.#withoutRoom) this.#world.engine.capacity = this.#below(8);
    }
  }

  async #happenBySettings(): Promise<void> {
    if (this.#settings === undefined) return;
    if (this.#withNewSettings && this.#may(15)) await this.#set(this.#anySettings(this.#settings));
    if (this.#withDays && this.#may(25)) this.#world.clock.jump(28 * HOUR);
    if (this.#withRot && this.#may(20)) this.#world.slugsRot = !this.#world.slugsRot;
    if (this.#may(4)) await this.#rush(this.#settings);
    await this.#napOrWake();
  }

  async #napOrWake(): Promise<void> {
    const { apps } = this.#world.store;
    const chance = this.#naps?.below(100) ?? 100;
    if (chance < 15) await apps.sleep(this.#app.id);
    else if (chance < 45) await apps.wake(this.#app.id);
  }

  /** Many scalings and releases, each before the one before it can have been done. */
  async #rush(random: Random): Promise<void> {
    for (let left = 3 + random.below(8); left > 0; left--) {
      await (random.below(100) < 60 ? this.#scale() : this.#deploy());
      await this.#pass(random.below(400));
    }
  }

  #anySettings(random: Random): Partial<Runtime> {
    const rollouts = ["surge", "surge", "stop-start", "preboot"] as const;
    return {
      rollout: rollouts[random.below(rollouts.length)] ?? "surge",
      restartPolicy: random.below(100) < 20 ? "heroku" : "steady",
      bootTimeoutSeconds: 5 + random.below(90),
      stopGraceSeconds: 1 + random.below(60),
      releaseTimeoutSeconds: 20 + (this.#commands?.below(600) ?? 0),
      dailyCycling: this.#invariants.cycles,
      cyclingHour: random.below(100) < 30 ? random.below(24) : null,
    };
  }

  async #set(settings: Partial<Runtime>): Promise<void> {
    if (settings.rollout !== undefined) this.#invariants.rollouts.add(settings.rollout);
    await this.#world.store.apps.update(this.#app.id, settings);
    this.#invariants.acknowledged.set(settings);
  }

  /** By its own row of chances, so that seeds of before mean what they meant. */
  #may(percent: number): boolean {
    return this.#settings !== undefined && this.#settings.below(100) < percent;
  }

  async #startDaemon(): Promise<void> {
    this.#world.kill();
    await this.#world.start(this.#withDeaths && this.#chance(50) ? { callsLeft: 1 + this.#below(400) } : {});
  }

  async #scale(): Promise<void> {
    const all = await this.#world.store.formation.list(this.#app.id);
    const formation = all.filter(({ type }) => type !== RELEASE_TYPE);
    const row = formation[this.#below(formation.length)];
    if (row === undefined) return;
    const size = this.#chance(15) ? ["Basic", "Standard-2X"][this.#below(2)] : undefined;
    if (size !== undefined) this.#invariants.resized.add(row.type);
    const quantity = this.#below(4);
    await this.#world.scale(this.#app.id, row.type, quantity, size);
    this.#invariants.acknowledged.scaled(row.type, quantity, size);
    await this.#invariants.noteFormation();
  }

  async #deploy(): Promise<void> {
    const isBad = this.#releases.length > 0 && this.#chance(30);
    const web = isBad
      ? this.#badProgram()
      : `run listen=${this.#below(3000)} term=${this.#below(40_000)}${this.#failings()}`;
    const worker = `run term=${this.#chance(20) ? "never" : this.#below(5000)}${this.#failings()}`;
    const others = this.#chance(60) ? { worker } : {};
    const command = this.#commands === undefined ? undefined : anyCommand(this.#commands);
    const types = { web, ...others, ...(command !== undefined && { release: command }) };
    const release = await this.#world.deploy(this.#app.id, types);
    this.#releases.push(release);
    this.#invariants.acknowledged.deployed(release, Object.keys(types));
    if (isBad || command?.includes("/1") === true) this.#invariants.bad.add(release.id);
  }

  #badProgram(): string {
    const never = ["run listen=never exit=700/1", "run startup=0", "run readiness=0"];
    return never[this.#withChecks ? this.#below(never.length) : 0] ?? "";
  }

  /** Checks that fail for some time of a dyno's life, or from then on. */
  #failings(): string {
    if (!this.#withChecks) return "";
    const words = ["", ""];
    if (this.#chance(40)) words.push(`startup=0-${this.#below(10_000)}`);
    if (this.#chance(40)) words.push(`readiness=${10_000 + this.#below(60_000)}-${this.#below(200_000)}`);
    if (this.#chance(20)) words.push(`liveness=${15_000 + this.#below(100_000)}`);
    return words.slice(1).join(" ");
  }

  async #restart(): Promise<void> {
    const kind = this.#chance(80) ? "restart" : "stop";
    this.#invariants.asked.push({ at: this.#world.clock.now(), kind });
    const standing = this.#world.engine.live.filter(({ spec }) => spec.kind === "formation").map(({ spec }) => spec.id);
    const { supervisor, life } = this.#world;
    const chosen = (await this.#world.records(this.#app.id)).filter(
      (record) => isLive(record) && (kind === "stop" || record.kind === "formation"),
    );
    const asking = supervisor?.[kind](this.#app.id, { kind: "all" });
    let isDone = false;
    void asking?.then(
      () => (isDone = true),
      () => {}, // the store failed: nothing was promised
    );
    await this.#pass(0);
    if (!isDone || life?.isDead !== false) return;
    this.#restarted.push(...standing);
    this.#invariants.acknowledged.ended(chosen.map(({ id }) => id));
  }

  async #crash(): Promise<void> {
    const { live } = this.#world.engine;
    const dyno = live[this.#below(live.length)];
    if (dyno === undefined) return;
    const status = this.#below(3);
    // A release whose command should fail would be a good one.
    this.#world.engine.exit(dyno.spec.id, dyno.spec.kind === "release" ? Math.max(1, status) : status);
  }

  /** A dyno that ran well becomes unready or dead, for a while. */
  #ail(): void {
    const { live } = this.#world.engine;
    const dyno = live[this.#below(live.length)];
    const kind = this.#chance(75) ? "readiness" : "liveness";
    if (dyno !== undefined) this.#world.engine.ail(dyno.spec.id, kind, this.#below(10 * MINUTE));
  }

  /** From now on calls fail, before or after their effect, and take their time. */
  #goWrong(): void {
    const percent = 5 + this.#below(25);
    const fault = (call: string) =>
      this.#chance(percent) ? new EngineError("unavailable", `${call} failed as planned`) : undefined;
    this.#world.engine.faults = {
      before: fault,
      after: fault,
      delayMs: () => (this.#chance(20) ? this.#below(2000) : 0),
      losesHint: () => this.#chance(30),
    };
    this.#world.storeFails = () => (this.#chance(10) ? (this.#chance(50) ? "before" : "after") : undefined);
    this.#world.routerFails = () => this.#chance(20);
    this.#world.logsTakeMs = () => (this.#chance(20) ? this.#below(8000) : 0);
  }

  #pass(ms: number): Promise<void> {
    return this.#world.clock.advance(ms, () => this.#invariants.check());
  }

  #chance(percent: number): boolean {
    return this.#world.random.below(100) < percent;
  }

  #below(limit: number): number {
    return this.#world.random.below(Math.max(1, limit));
  }
}

function anyCommand(random: Random): string | undefined {
  if (random.below(100) < 40) return undefined;
  if (random.below(100) < 10) return "run"; // until its time is up
  return `run exit=${random.below(40_000)}/${random.below(100) < 25 ? 1 : 0} term=${random.below(20_000)}`;
}

/** `npm run test:sim -- --seeds 10000`, `npm run test:sim -- --seed 17`. */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { seeds: { type: "string" }, seed: { type: "string" } } });
  const one = values.seed === undefined ? undefined : Number(values.seed);
  const [first, count] = one === undefined ? [1, Number(values.seeds ?? 1000)] : [one, 1];
  let bad = 0;
  for (let seed = first; seed < first + count; seed++) {
    const played = seed - first;
    if (played > 0 && played % 500 === 0) process.stderr.write(`${played} seeds, ${bad} with broken promises so far\n`);
    const broken = await simulate(seed);
    if (broken.length === 0) continue;
    bad++;
    process.stdout.write(
      `seed ${seed}:\n${broken
        .slice(0, 10)
        .map((each) => `  ${each}\n`)
        .join("")}`,
    );
  }
  process.stdout.write(`${count} seeds, ${bad} with broken promises\n`);
  process.exitCode = bad === 0 ? 0 : 1;
}

if (import.meta.main) await main();
