import { isMet, type RowResult, shown, summary, type Verdict } from "./statistics.ts";

/** What was run where and when; printed above the table, since only ratios travel. */
export interface Machine {
  readonly date: string;
  readonly processors: number;
  readonly model: string;
  readonly memoryMb: number;
  readonly kernel: string;
  readonly versions: Readonly<Record<string, string>>;
}

export interface MeasuredRow extends RowResult {
  readonly id: string;
  readonly what: string;
  /** Why it could not be measured at all. */
  readonly failure?: string;
}

/** The whole as text. */
export function render(machine: Machine, rows: readonly MeasuredRow[]): string {
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  const head = [
    `${machine.date}  ${machine.processors} x ${machine.model}, ${machine.memoryMb} MB, Linux ${machine.kernel}`,
    versions.join(", "),
  ];
  return [...head, "", ...rows.flatMap(rowLines)].join("\n");
}

function rowLines({ id, what, samples, verdicts, notes, failure }: MeasuredRow): readonly string[] {
  const width = Math.max(0, ...samples.map(({ who }) => who.length), ...verdicts.map(({ claim }) => claim.length));
  return [
    `${id}: ${what}`,
    ...(failure === undefined ? [] : [`  not measured: ${failure}`]),
    ...samples.map((sample) => `          ${sample.who.padEnd(width)}  ${summary(sample)}`),
    ...verdicts.map((verdict) => `  ${word(verdict).padEnd(6)}  ${verdict.claim.padEnd(width)}  ${judged(verdict)}`),
    ...notes.map((note) => `          ${note}`),
    "",
  ];
}

function word(verdict: Verdict): string {
  const met = isMet(verdict);
  return met === null ? "-" : met ? "met" : "MISSED";
}

function judged({ value, unit, bound, note }: Verdict): string {
  const asked = "atMost" in bound ? `at most ${shown(bound.atMost)}` : `at least ${shown(bound.atLeast)}`;
  const found = value === null ? `not measured: ${note ?? "no value"}` : `${shown(value)} ${unit}`;
  return `${found}  (${asked})`;
}
