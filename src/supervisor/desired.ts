import type { Instant } from "../lib/clock.ts";
import type { App } from "../model/app.ts";
import { desiredQuantity, type Formation, type Metrics } from "../model/formation.ts";
import type { ProcessTypes } from "../model/procfile.ts";
import { RELEASE_TYPE, type Release } from "../model/release.ts";
import type { Runtime } from "../model/runtime.ts";
import { DEFAULT_SIZE } from "../model/size.ts";

/** What should run of one app. */
export interface Desired {
  readonly app: Pick<App, "id"> & Runtime;
  /** The release that serves. null before the first. */
  readonly current: DesiredRelease | null;
  /**
   * The pending release that has its turn: the newest, but for one whose command runs, for which newer ones wait. It is to be brought up
   * next to the current one, once it has no command to run (any more).
   */
  readonly candidate: DesiredRelease | null;
  /** Pending releases that a newer one has overtaken. */
  readonly overtaken: readonly Release[];
  /** It has no dynos until the next request. */
  readonly isAsleep: boolean;
}

export interface DesiredRelease {
  readonly id: string;
  readonly version: number;
  /** Since when its dynos may come up: it was made then, or its command was done. */
  readonly since: Instant;
  /** What has to run before any of its dynos (spec 5.3); null: nothing, or it has. */
  readonly command: ReleaseCommand | null;
  /** Every process type of its slug. */
  readonly types: readonly string[];
  readonly dynos: readonly DesiredDyno[];
}

export interface ReleaseCommand {
  readonly state: "waiting" | "running";
  readonly command: string;
  readonly size: string;
  /** Who made the release. */
  readonly userEmail: string;
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
  readonly releases: readonly {
    readonly release: Release;
    readonly processTypes: ProcessTypes;
    readonly userEmail: string;
  }[];
  readonly formation: readonly Formation[];
  readonly metrics: Metrics;
  readonly now: Instant;
}

export function desiredOf(rows: Rows): Desired {
  const { app, releases } = rows;
  const current = releases.find(({ release }) => release.id === app.currentReleaseId);
  const pending = releases
    .filter(({ release }) => release.status === "pending" && release.id !== app.currentReleaseId)
    .sort((a, b) => b.release.version - a.release.version);
  const ahead = pending.filter(({ release }) => release.version > (current?.release.version ?? 0));
  const first = ahead.find(({ release }) => release.phase === "running") ?? ahead[0];
  return {
    app,
    current: current === undefined ? null : desiredRelease(current, rows),
    candidate: first === undefined ? null : desiredRelease(first, rows),
    overtaken: pending
      .map(({ release }) => release)
      .filter(({ version }) => first === undefined || version < first.release.version),
    isAsleep: app.asleepSince !== null,
  };
}

/** Names are dense, `type.1` to `type.n` (spec 1.2). */
function desiredRelease(row: Rows["releases"][number], rows: Rows): DesiredRelease {
  const { release, processTypes } = row;
  const dynos = Object.entries(processTypes)
    .filter(([type]) => type !== RELEASE_TYPE)
    .flatMap(([type, command]) => {
      const { quantity, size } = wanted(type, rows);
      return Array.from({ length: quantity }, (_, index) => ({ name: `${type}.${index + 1}`, type, size, command }));
    });
  const { id, version } = release;
  const since = release.phase === "done" ? release.updatedAt : release.createdAt;
  return { id, version, since, command: commandOf(row, rows), types: Object.keys(processTypes), dynos };
}

function commandOf({ release, processTypes, userEmail }: Rows["releases"][number], rows: Rows): ReleaseCommand | null {
  const { phase } = release;
  if (phase === null || phase === "done") return null;
  return { state: phase, command: processTypes[RELEASE_TYPE] ?? "", size: wanted(RELEASE_TYPE, rows).size, userEmail };
}

/** A type without a row is new: 0, but web 1 if the app never had a formation (spec 5.1); the row comes when it is up. */
function wanted(
  type: string,
  { app, formation, metrics, now }: Rows,
): { readonly quantity: number; readonly size: string } {
  const row = formation.find((each) => each.type === type);
  if (row !== undefined)
    return { quantity: app.asleepSince === null ? desiredQuantity(row, metrics, now) : 0, size: row.size };
  const isFirst = formation.every((each) => each.type === RELEASE_TYPE);
  return { quantity: type === "web" && isFirst ? 1 : 0, size: DEFAULT_SIZE };
}
