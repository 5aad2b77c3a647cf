import type { Instant } from "../lib/clock.ts";

/**
 * What a dyno is asked beyond its port, and what its answers say of it. The engine asks, the supervisor acts; what follows from
 * what is decided here, so that every engine decides alike.
 *
 *     startup     until it has passed once the dyno is not up
 *     readiness   while it fails no new request goes to the dyno (web only)
 *     liveness    once it has failed the dyno is restarted, as after a crash
 */
export type CheckKind = "startup" | "readiness" | "liveness";
export const CHECK_KINDS: readonly CheckKind[] = ["startup", "readiness", "liveness"];

export interface HealthCheck {
  readonly kind: CheckKind;
  /** What its owner calls it; null: nothing. */
  readonly name: string | null;
  readonly probe: HttpProbe | CommandProbe;
  /** From one probe's begin to the next one's. */
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** From the start of the dyno's command to the first probe. */
  readonly initialDelayMs: number;
  /** Failures in a row until it has failed; null (startup only): the boot timeout decides. */
  readonly attempts: number | null;
  /** Passes in a row until it has passed. */
  readonly successes: number;
}

/** A GET to the dyno's port. */
export interface HttpProbe {
  readonly kind: "http";
  readonly path: string;
  readonly headers: readonly HttpHeader[];
  /** null: any of 200 to 399. */
  readonly status: number | null;
  /** Must be in the answer's first 64 KiB; null: the body is not read. */
  readonly content: string | null;
}

export interface HttpHeader {
  readonly name: string;
  readonly value: string;
}

/** A command inside the dyno: text for bash, or a program and its arguments. Passes with status 0. */
export interface CommandProbe {
  readonly kind: "command";
  readonly command: string | readonly string[];
}

/** How one probe went; `text` continues "GET /healthz ...". */
export interface ProbeResult {
  readonly passed: boolean;
  readonly text: string;
}

/** Where one check stands. */
export interface CheckProgress {
  /** pending: it has neither passed nor failed often enough yet. */
  readonly verdict: "pending" | "passing" | "failing";
  /** In a row; one of them is 0. */
  readonly passes: number;
  readonly failures: number;
  readonly latest: (ProbeResult & { readonly at: Instant }) | null;
}

/** What is known of a dyno that has checks. */
export interface Health {
  /** Every startup check has passed. */
  readonly started: boolean;
  /** It may be sent requests: it has started, and every readiness check passes. */
  readonly ready: boolean;
  readonly checks: readonly CheckReport[];
}

export interface CheckReport extends CheckProgress {
  readonly kind: CheckKind;
  readonly name: string | null;
  /** `GET /healthz`, or the command. */
  readonly what: string;
}

export const NOT_PROBED: CheckProgress = { verdict: "pending", passes: 0, failures: 0, latest: null };

/** Where the check stands after one more probe. What has started has started: a startup check that passed stays so. */
export function afterProbe(check: HealthCheck, before: CheckProgress, result: ProbeResult, at: Instant): CheckProgress {
  if (check.kind === "startup" && before.verdict === "passing") return before;
  const latest = { ...result, at };
  if (result.passed) {
    const passes = before.passes + 1;
    return { verdict: passes >= check.successes ? "passing" : before.verdict, passes, failures: 0, latest };
  }
  const failures = before.failures + 1;
  const hasFailed = check.attempts !== null && failures >= check.attempts;
  return { verdict: hasFailed ? "failing" : before.verdict, passes: 0, failures, latest };
}

/** What the checks say of the dyno together. */
export function healthOf(checks: readonly HealthCheck[], progress: readonly CheckProgress[]): Health {
  const reports = checks.map((check, index): CheckReport => {
    const { kind, name } = check;
    return { kind, name, what: whatOf(check.probe), ...(progress[index] ?? NOT_PROBED) };
  });
  const pass = (kind: CheckKind) => reports.every((each) => each.kind !== kind || each.verdict === "passing");
  const started = pass("startup");
  return { started, ready: started && pass("readiness"), checks: reports };
}

/** Whether a probe that led from one to the other changed what anybody would do. */
export function isSameHealth(one: Health, other: Health): boolean {
  const same = (report: CheckReport, index: number) => report.verdict === other.checks[index]?.verdict;
  return one.started === other.started && one.ready === other.ready && one.checks.every(same);
}

/** The first check of a kind that is not passing, the failing ones before those that are on their way. */
export function notPassing(health: Health, kind: CheckKind): CheckReport | undefined {
  const those = health.checks.filter((each) => each.kind === kind && each.verdict !== "passing");
  return those.find(({ verdict }) => verdict === "failing") ?? those[0];
}

/** `GET /healthz answered 500`; `"database" (GET /db) has not been asked yet`. */
export function sentenceOf({ name, what, latest }: CheckReport): string {
  const subject = name === null ? what : `"${name}" (${what})`;
  return `${subject} ${latest?.text ?? "has not been asked yet"}`;
}

const WHAT_MAX = 120;

/** For a line of the log: one line, not too long, whatever the command holds. */
function whatOf(probe: HealthCheck["probe"]): string {
  const text = probe.kind === "http" ? `GET ${probe.path}` : `\`${commandText(probe)}\``;
  return text.length <= WHAT_MAX ? text : `${text.slice(0, WHAT_MAX - 1)}…`;
}

function commandText({ command }: CommandProbe): string {
  const text = typeof command === "string" ? command : command.join(" ");
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ").trim();
}
