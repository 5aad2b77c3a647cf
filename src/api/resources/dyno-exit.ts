import Type from "typebox";
import { addAbortListener } from "../../lib/abort.ts";
import type { DynoRecord } from "../../model/dyno.ts";
import { PlatformError } from "../../model/errors.ts";
import type { ApiContext } from "../context.ts";
import type { AppCall } from "../route.ts";
import { DateTime, dateTime, exactly, nullable, Uuid } from "../schema.ts";

/** Ours: whether and how a dyno has ended. */
export const ExitSchema = exactly({
  /** null: it has not ended. */
  ended_at: nullable(DateTime),
  /** null: it has not ended, nobody saw it end, or it never ran. */
  exit_status: nullable(Type.Integer()),
  id: Uuid,
  name: Type.String(),
});

const WAIT_MAX_S = 60;
/** Calls of one user that wait at a time: each is looked at whenever something of its app changes. */
const WAITS_MAX = 50;

export class Waits {
  readonly #counts = new Map<string, number>();

  /** One more, until it is disposed of. Throws `rate_limit`. */
  begin(userId: string): Disposable {
    const count = this.#counts.get(userId) ?? 0;
    if (count >= WAITS_MAX)
      throw new PlatformError(
        "rate_limit",
        `${WAITS_MAX} of your calls wait for dynos to end. Please wait for one of them.`,
      );
    this.#counts.set(userId, count + 1);
    return {
      [Symbol.dispose]: () => {
        const left = (this.#counts.get(userId) ?? 1) - 1;
        if (left === 0) this.#counts.delete(userId);
        else this.#counts.set(userId, left);
      },
    };
  }
}

export function exitJson({ id, name, exit }: DynoRecord) {
  return { ended_at: exit === null ? null : dateTime(exit.at), exit_status: exit?.status ?? null, id, name };
}

/** Resolves when the dyno has ended, after `seconds`, or when nobody waits for the answer any more. */
export async function endedWithin(
  { supervision, clock, until }: Pick<ApiContext, "supervision" | "clock" | "until">,
  dynoId: string,
  seconds: number,
  { reply }: Pick<AppCall, "reply">,
): Promise<void> {
  const over = new AbortController();
  const stop = () => over.abort();
  if (reply.raw.destroyed) return;
  reply.raw.once("close", stop);
  using _stopping = addAbortListener(until, stop);
  clock.sleep(seconds * 1000, over.signal).then(stop, () => {}); // it has ended before
  try {
    await supervision.exited(dynoId, over.signal);
  } catch (error) {
    if (!over.signal.aborted) throw error;
  } finally {
    stop();
  }
}

/** None unless the client says so. Throws `bad_request`. */
export function secondsOf(wait: string | undefined): number {
  if (wait === undefined) return 0;
  if (/^\d{1,2}$/.test(wait) && Number(wait) <= WAIT_MAX_S) return Number(wait);
  throw new PlatformError("bad_request", `wait must be a number of seconds from 0 to ${WAIT_MAX_S}.`);
}
