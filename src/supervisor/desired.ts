import type { Instant } from "../lib/clock.ts";
import type { App } from "../model/app.ts";
import { desiredQuantity, type Formation, type Metrics } from "../model/formation.ts";
import type { ProcessTypes } from "../model/procfile.ts";
import type { Release } from "../model/release.ts";
import type { Runtime } from "../model/runtime.ts";
import { DEFAULT_SIZE } from "../model/size.ts";

/** What should run of one app. */
export interface Desired {
  readonly app: Pick<App, "id"> & Runtime;
  /** The release that serves. null before the first. */
  readonly current: DesiredRelease | null;
  /** The newest pending release, to be brought up next to the current one. */
  readonly candidate: DesiredRelease | null;
  /** Pending releases that a newer one has overtaken. */
  readonly overtaken: readonly Release[];
}

export interface DesiredRelease {
  readonly id: string;
  readonly version: number;
  readonly createdAt: Instant;
  /** Every process type of its slug. */
  readonly types: readonly string[];
  readonly dynos: readonly DesiredDyno[];
}

export interface DesiredDyno {
  readonly name: string;
  readonly type: string;
  readonly size: string;
  readonly command: string;
}

export interface Rows {
  readonly app: App;
  /** The current release and all pending ones, each with its slug's process types (none without a slug). */
  readonly releases: readonly { readonly release: Release; readonly processTypes: ProcessTypes }[];
  readonly formation: readonly Formation[];
  readonly metrics: Metrics;
  readonly now: Instant;
}

/** The command of a release phase: never part of the formation (spec 5.3). */
const NOT_FORMATION = "release";

export function desiredOf(rows: Rows): Desired {
  const { app, releases } = rows;
  const current = releases.find(({ release }) => release.id === app.currentReleaseId);
  const pending = releases
    .filter(({ release }) => release.status === "pending" && release.id !== app.currentReleaseId)
    .sort((a, b) => b.release.version - a.release.version);
  const newest = pending[0];
  const isAhead = newest !== undefined && newest.release.version > (current?.release.version ?? 0);
  return {
    app,
    current: current === undefined ? null : desiredRelease(current, rows),
    candidate: isAhead ? desiredRelease(newest, rows) : null,
    overtaken: (isAhead ? pending.slice(1) : pending).map(({ release }) => release),
  };
}

/** Names are dense, `type.1` to `type.n` (spec 1.2). */
function desiredRelease({ release, processTypes }: Rows["releases"][number], rows: Rows): DesiredRelease {
  const dynos = Object.entries(processTypes)
    .filter(([type]) => type !== NOT_FORMATION)
    .flatMap(([type, command]) => {
      const { quantity, size } = wanted(type, rows);
      return Array.from({ length: quantity }, (_, index) => ({ name: `${type}.${index + 1}`, type, size, command }));
    });
  const { id, version, createdAt } = release;
  return { id, version, createdAt, types: Object.keys(processTypes), dynos };
}

/** A type without a row is new: 0, but web 1 if the app never had a formation (spec 5.1); the row comes when it is up. */
function wanted(type: string, { formation, metrics, now }: Rows): { readonly quantity: number; readonly size: string } {
  const row = formation.find((each) => each.type === type);
  if (row !== undefined) return { quantity: desiredQuantity(row, metrics, now), size: row.size };
  return { quantity: type === "web" && formation.length === 0 ? 1 : 0, size: DEFAULT_SIZE };
}
