import type { DynoRecord } from "../model/dyno.ts";

/** Of all apps together: some megabytes. */
const RECORDS_MAX = 5000;

export interface Numbered {
  readonly seq: number;
  readonly record: DynoRecord;
}

/**
 * Records of dynos that have ended, as they stand in the table. An app keeps its last hundred one-offs, every look at the app
 * wants all of its dynos, and making records of a hundred rows takes 2 ms, twice or more in each start. A row whose dyno has ended
 * changes no more, unless somebody writes it again: then it is forgotten here.
 */
export class EndedDynos {
  /** By app, what was kept longest ago first. */
  readonly #apps = new Map<string, Map<string, Numbered>>();
  #count = 0;

  of(appId: string): ReadonlyMap<string, Numbered> {
    return this.#apps.get(appId) ?? NONE;
  }

  /** All of the app's that are in the table now. */
  keep(appId: string, all: readonly Numbered[]): void {
    this.#forgetApp(appId);
    if (all.length === 0) return;
    this.#apps.set(appId, new Map(all.map((each) => [each.record.id, each])));
    this.#count += all.length;
    for (const oldest of this.#apps.keys()) {
      if (this.#count <= RECORDS_MAX || oldest === appId) break;
      this.#forgetApp(oldest);
    }
  }

  /** This row is written, or goes. */
  forget(appId: string, id: string): void {
    const ofApp = this.#apps.get(appId);
    if (ofApp?.delete(id) !== true) return;
    this.#count--;
    if (ofApp.size === 0) this.#apps.delete(appId);
  }

  #forgetApp(appId: string): void {
    this.#count -= this.of(appId).size;
    this.#apps.delete(appId);
  }
}

const NONE: ReadonlyMap<string, Numbered> = new Map();
