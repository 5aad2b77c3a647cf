import type { CheckJson } from "../model/health-check.ts";
import { type Input, UsageError } from "./command.ts";

/** What the API tells of the checks of a process type. */
export interface ChecksJson {
  readonly type: string;
  readonly source: string;
  readonly checks: readonly Shown[];
  readonly dynos: readonly {
    readonly name: string;
    readonly ready: boolean;
    readonly started: boolean;
    readonly results: readonly {
      readonly type: string;
      readonly check: string;
      readonly name: string | null;
      readonly verdict: string;
      readonly result: string | null;
      readonly passes: number;
      readonly failures: number;
    }[];
  }[];
}

/** As the API writes a check: what is not said is null. */
export type Shown = { readonly [K in keyof CheckJson]: CheckJson[K] | null };

const KINDS = ["startup", "readiness", "liveness"];

/** `web`, `readiness` of `checks:set web readiness`. Throws `UsageError`. */
export function whichCheck(input: Input, usage: string): { readonly type: string; readonly kind: string | undefined } {
  const [type, kind, ...rest] = input.positionals;
  if (type === undefined || rest.length > 0) throw new UsageError(`Say which: stator ${usage}`);
  if (kind !== undefined && !KINDS.includes(kind)) {
    throw new UsageError(`${kind} is no kind of check: ${KINDS.join(", ")}.`);
  }
  return { type, kind };
}

/** One check out of the flags of `checks:set`. The API says what is wrong with it. Throws `UsageError` for what is no number. */
export function checkOf(kind: string, input: Input): Readonly<Record<string, unknown>> {
  const texts = ["name", "path", "command", "content"].flatMap((flag) => {
    const text = input.text(flag);
    return text === undefined ? [] : [[flag, text] as const];
  });
  const numbers = Object.entries(NUMBERS).flatMap(([flag, field]) => {
    const text = input.text(flag);
    if (text === undefined) return [];
    if (!/^\d{1,6}$/.test(text)) throw new UsageError(`--${flag} ${text} is no whole number.`);
    return [[field, Number(text)] as const];
  });
  return { type: kind, ...Object.fromEntries(texts), ...Object.fromEntries(numbers) };
}

const NUMBERS: Readonly<Record<string, string>> = {
  status: "status",
  interval: "wait",
  timeout: "timeout",
  "initial-delay": "initialDelay",
  attempts: "attempts",
  successes: "successes",
};

/** What `checks` prints of one process type. */
export function formatChecks({ type, source, checks, dynos }: ChecksJson): readonly string[] {
  if (checks.length === 0 && dynos.length === 0) return [`=== ${type}: no health checks`, ""];
  const from = { app: "set here", "app.json": "from app.json" }[source] ?? "none any more";
  const results = dynos.flatMap((dyno) => [
    `${dyno.name}: ${dyno.started ? (dyno.ready ? "ready" : "not ready") : "not started"}`,
    ...dyno.results.map(({ type: kind, check, name, verdict, result }) => {
      const subject = name === null ? check : `"${name}" (${check})`;
      return `  ${kind}: ${verdict}: ${subject} ${result ?? "has not been asked yet"}`;
    }),
  ]);
  return [
    `=== ${type}: health checks, ${from}`,
    "",
    ...checks.map(sentence),
    "",
    ...results,
    ...(results.length > 0 ? [""] : []),
  ];
}

function sentence(check: Shown): string {
  const what = check.path === null ? `\`${commandText(check.command ?? "")}\`` : `GET ${check.path}`;
  const expected = [
    ...(check.status == null ? [] : [`answers ${check.status}`]),
    ...(check.content == null ? [] : [`holds ${JSON.stringify(check.content)}`]),
  ];
  const facts = [
    ...expected,
    `every ${check.wait} s`,
    `at most ${check.timeout} s`,
    check.attempts == null ? "until the boot timeout" : `fails after ${check.attempts}`,
    ...(check.successes === 1 ? [] : [`passes after ${check.successes}`]),
    ...(check.initialDelay === 0 ? [] : [`first after ${check.initialDelay} s`]),
  ];
  return `${check.type}: ${what}: ${facts.join(", ")}`;
}

function commandText(command: string | readonly string[]): string {
  return typeof command === "string" ? command : command.join(" ");
}
