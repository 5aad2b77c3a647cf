import type { CheckKind } from "../../model/health.ts";

/** What a simulated dyno does. Milliseconds count from the instant its command runs, `makeMs` from its start. */
export interface Program {
  readonly makeMs: number;
  /** null: never listens. */
  readonly listenMs: number | null;
  /** null: runs until stopped. */
  readonly exit: { readonly ms: number; readonly status: number } | null;
  /** How long it takes to end after SIGTERM; null: it ignores that. */
  readonly termMs: number | null;
  /** Whether SIGHUP ends it. */
  readonly hangsUp: boolean;
  /** How long it fails the checks of each kind. */
  readonly fails: Readonly<Record<CheckKind, Span | null>>;
}

export interface Span {
  readonly fromMs: number;
  /** null: for ever. */
  readonly toMs: number | null;
}

/** How it answers a check of this kind at this time of its life. */
export function passes({ fails }: Program, kind: CheckKind, ms: number): boolean {
  const span = fails[kind];
  return span === null || ms < span.fromMs || (span.toMs !== null && ms >= span.toMs);
}

/**
 * Reads a command such as `run make=10 listen=500 exit=3000/1 term=never hup=no startup=0-800 readiness=5000-9000 liveness=7000`
 * (fails those checks from then, to then or for ever); what is not named has a default.
 */
export function programOf(command: string): Program {
  const words = new Map(
    command.split(" ").map((word): [string, string] => {
      const [name = "", value = ""] = word.split("=");
      return [name, value];
    }),
  );
  const ms = (name: string, byDefault: number) => {
    const text = words.get(name);
    return text === undefined ? byDefault : text === "never" ? null : Number(text);
  };
  const span = (name: CheckKind): Span | null => {
    const text = words.get(name);
    if (text === undefined) return null;
    const [from, to] = text.split("-");
    return { fromMs: Number(from), toMs: to === undefined ? null : Number(to) };
  };
  const [exitMs, status] = (words.get("exit") ?? "").split("/");
  return {
    makeMs: ms("make", 30) ?? 0,
    listenMs: ms("listen", 200),
    exit: exitMs === undefined || exitMs === "" ? null : { ms: Number(exitMs), status: Number(status ?? 0) },
    termMs: ms("term", 100),
    hangsUp: words.get("hup") !== "no",
    fails: { startup: span("startup"), readiness: span("readiness"), liveness: span("liveness") },
  };
}
