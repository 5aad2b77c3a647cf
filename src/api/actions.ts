import type { Clock } from "../lib/clock.ts";
import type { LogSink } from "../logs/line.ts";
import type { App, User } from "../model/app.ts";
import { type Release, releaseLine } from "../model/release.ts";
import type { Store } from "../store/store.ts";
import type { Supervision } from "../supervisor/supervision.ts";

/** One line of the app's log about what somebody did (spec 8.2): `app[api]: <what> by user <e-mail>`. */
export function sayAction(
  context: { readonly logs: LogSink; readonly clock: Clock },
  app: App,
  user: User,
  what: string,
): void {
  const text = `${what} by user ${user.email}`;
  context.logs.append(app.id, { at: context.clock.now(), source: "app", process: "api", text });
}

interface Releasing {
  readonly store: Store;
  readonly logs: LogSink;
  readonly clock: Clock;
  readonly supervision: Supervision;
}

export interface NewRelease {
  readonly app: App;
  readonly user: User;
  readonly description: string;
  readonly slugId: string | null;
  /** Whether the code's release command is to run, if it has one: not for code that runs already (spec 5.3). */
  readonly withCommand: boolean;
}

/**
 * Makes the next release of the config vars as they are in `store` (which may be a transaction). With code it is pending: its
 * dynos come up next to those that run, and the supervisor decides. Without, there is nothing to bring up.
 */
export async function addRelease(store: Store, of: NewRelease): Promise<Release> {
  const { app, user, description, slugId, withCommand } = of;
  const status = slugId === null ? "succeeded" : "pending";
  const made = { appId: app.id, slugId, description, userId: user.id, status, withCommand } as const;
  const release = await store.releases.create(made);
  if (slugId === null) await store.apps.update(app.id, { currentReleaseId: release.id });
  return release;
}

/** Tells of a release in the log, and lets the supervisor look. Both lines carry one time. */
export function announce({ logs, clock, supervision }: Releasing, release: Release, app: App, user: User): void {
  const at = clock.now();
  for (const what of [release.description, releaseLine(release)]) {
    logs.append(app.id, { at, source: "app", process: "api", text: `${what} by user ${user.email}` });
  }
  supervision.nudge(app.id);
}
