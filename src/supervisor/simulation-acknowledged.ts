import type { App } from "../model/app.ts";
import type { DynoRecord } from "../model/dyno.ts";
import type { Formation } from "../model/formation.ts";
import { RELEASE_TYPE, type Release, type ReleaseStatus } from "../model/release.ts";
import type { Runtime } from "../model/runtime.ts";
import { DEFAULT_SIZE } from "../model/size.ts";
import type { World } from "./simulation-world.ts";

interface Scale {
  readonly quantity: number;
  readonly size: string;
}

/**
 * What people were told is done, noted when they were told: the store must say so from then on, whatever the supervisor writes
 * there. What the store says by itself proves nothing: a supervisor that overwrites it makes true what it wrote.
 */
export class Acknowledged {
  readonly #world: World;
  readonly #appId: string;
  /** Each process type as it was last scaled, or as it came with a release. */
  readonly #scales = new Map<string, Scale>();
  #hadFormation = false;
  #settings: Partial<Runtime> = {};
  readonly #ended = new Set<string>();
  readonly #oneOffs = new Set<string>();
  /** Releases as they were last seen, with the process types that they were made with. */
  readonly #releases = new Map<string, { status: ReleaseStatus; readonly types: readonly string[] }>();

  constructor(world: World, app: App) {
    this.#world = world;
    this.#appId = app.id;
  }

  scaled(type: string, quantity: number, size: string | undefined): void {
    this.#scales.set(type, { quantity, size: size ?? this.#scales.get(type)?.size ?? DEFAULT_SIZE });
  }

  set(settings: Partial<Runtime>): void {
    this.#settings = { ...this.#settings, ...settings };
  }

  /** A restart or a stop of these dynos. */
  ended(dynoIds: readonly string[]): void {
    for (const id of dynoIds) this.#ended.add(id);
  }

  ran(oneOff: DynoRecord): void {
    this.#oneOffs.add(oneOff.id);
  }

  deployed(release: Release, types: readonly string[]): void {
    this.#releases.set(release.id, { status: "pending", types: types.filter((type) => type !== RELEASE_TYPE) });
  }

  /** Gives what was lost, in words. To be asked after each step: how a type comes and goes hangs on the releases since the last time. */
  async lost(app: App, records: readonly DynoRecord[], formation: readonly Formation[]): Promise<readonly string[]> {
    const { releases, dynos } = this.#world.store;
    const current = await releases.list(this.#appId);
    const succeeded: (readonly string[])[] = [];
    const wrong = [...this.#lostReleases(app, current, succeeded)];
    wrong.push(
      ...this.#lostScales(
        formation.filter(({ type }) => type !== RELEASE_TYPE),
        succeeded,
      ),
    );
    for (const [name, value] of Object.entries(this.#settings)) {
      if (app[name as keyof Runtime] !== value)
        wrong.push(`${name} was set to ${value} and is ${app[name as keyof Runtime]}`);
    }
    for (const { id, name, stopping, exit } of records) {
      if (this.#ended.has(id) && stopping === null && exit === null) wrong.push(`${name} was to end and stays`);
    }
    for (const id of this.#oneOffs) {
      if ((await dynos.byId(id)) === undefined) wrong.push(`a one-off dyno was acknowledged and no record knows it`);
    }
    return wrong;
  }

  /** A status that is final stays, and the newest release that came up is the app's. Notes the types of those that came up since. */
  *#lostReleases(app: App, now: readonly Release[], succeeded: (readonly string[])[]): Generator<string> {
    const byId = new Map(now.map((release) => [release.id, release]));
    for (const [id, seen] of this.#releases) {
      const release = byId.get(id);
      if (release === undefined) yield "a release was acknowledged and is gone";
      else if (seen.status !== "pending" && release.status !== seen.status)
        yield `v${release.version} was ${seen.status} and is ${release.status}`;
      if (release?.status === "succeeded" && seen.status !== "succeeded") succeeded.push(seen.types);
      seen.status = release?.status ?? seen.status;
    }
    const newest = now.find(({ id, status }) => status === "succeeded" && this.#releases.has(id));
    if (newest !== undefined && newest.id !== app.currentReleaseId)
      yield `v${newest.version} came up and is not current`;
  }

  /** Spec 5.1: a type goes with a release that lacks it, and comes with one that has it, at 0; web at 1 the first time. */
  *#lostScales(formation: readonly Formation[], succeeded: readonly (readonly string[])[]): Generator<string> {
    const rows = new Map(formation.map((row) => [row.type, row]));
    for (const [type, asked] of this.#scales) {
      const row = rows.get(type);
      if (row !== undefined && isSame(row, asked)) continue;
      if (succeeded.some((types) => !types.includes(type))) this.#scales.delete(type);
      else yield `${type} was scaled to ${text(asked)} and is ${row === undefined ? "gone" : text(row)}`;
    }
    for (const row of formation.filter(({ type }) => !this.#scales.has(type))) {
      const comes = { quantity: row.type === "web" && !this.#hadFormation ? 1 : 0, size: DEFAULT_SIZE };
      if (!isSame(row, comes)) yield `${row.type} is ${text(row)} and nobody asked`;
      if (!succeeded.some((types) => types.includes(row.type))) yield `${row.type} came with no release`;
      this.#scales.set(row.type, row);
    }
    this.#hadFormation ||= formation.length > 0;
  }
}

const isSame = (one: Scale, other: Scale): boolean => one.quantity === other.quantity && one.size === other.size;

const text = ({ quantity, size }: Scale): string => `${quantity}:${size}`;
