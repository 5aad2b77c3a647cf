export interface WaterfallStep {
  readonly name: string;
  /** Milliseconds since the first. */
  readonly after: number;
}

const WIDTH = 48;

/** One line for each step: its name, when it was done, how long after the one before, and both as a bar. */
export function waterfall(steps: readonly WaterfallStep[]): readonly string[] {
  const total = steps.at(-1)?.after ?? 0;
  const column = (ms: number): number => (total === 0 ? 0 : Math.round((ms / total) * WIDTH));
  const name = Math.max(0, ...steps.map((step) => step.name.length));
  return steps.map((step, index) => {
    const before = steps[index - 1]?.after ?? 0;
    const bar = " ".repeat(column(before)) + "#".repeat(Math.max(1, column(step.after) - column(before)));
    const took = `+${(step.after - before).toFixed(1)}`;
    return `${step.name.padEnd(name)}  ${step.after.toFixed(1).padStart(8)} ms  ${took.padStart(8)}  ${bar}`.trimEnd();
  });
}
