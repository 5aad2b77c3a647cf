import { type Input, UsageError } from "./command.ts";

/** What the commands about webhooks read of the API's answers. */
export interface WebhookJson {
  readonly id: string;
  readonly created_at: string;
  readonly include: readonly string[];
  readonly level: string;
  readonly url: string;
}

export interface DeliveryJson {
  readonly id: string;
  readonly created_at: string;
  readonly event: { readonly id: string; readonly include: string };
  readonly webhook: { readonly id: string; readonly level: string };
  readonly status: string;
  readonly num_attempts: number;
  readonly last_attempt: { readonly code: number | null; readonly error_class: string | null } | null;
  readonly next_attempt_at: string | null;
}

export interface WebhookEventJson {
  readonly id: string;
  readonly created_at: string;
  readonly payload: { readonly resource: string; readonly action: string; readonly published_at: string };
}

/** The one id that is named, as part of a path. Throws `UsageError`. */
export function idOf(command: string, input: Input): string {
  const [id, ...more] = input.positionals;
  if (id === undefined || more.length > 0) throw new UsageError(`Usage: stator ${command} ID -a APP`);
  return encodeURIComponent(id);
}

/** Of the flags what is given. Throws `UsageError` without one of `needed`. */
export function bodyOf(command: string, input: Input, needed: readonly string[]): Readonly<Record<string, unknown>> {
  const missing = needed.filter((flag) => input.text(flag) === undefined);
  if (missing.length > 0)
    throw new UsageError(
      `Usage: stator ${command} -i ENTITIES -l LEVEL -u URL -a APP\nMissing: --${missing.join(", --")}`,
    );
  const given = ["level", "url", "secret", "authorization"].flatMap((flag): [string, string][] => {
    const value = input.text(flag);
    return value === undefined ? [] : [[flag, value]];
  });
  const include = input.text("include")?.split(",");
  return { ...Object.fromEntries(given), ...(include && { include: include.map((each) => each.trim()) }) };
}
