import Type from "typebox";
import { PlatformError } from "../../model/errors.ts";
import type { ConfigVars, Release } from "../../model/release.ts";
import { addRelease, announce, type NewRelease } from "../actions.ts";
import type { ApiContext } from "../context.ts";
import type { AppCall, Routes } from "../route.ts";
import { releaseNamed } from "./releases.ts";

const Vars = Type.Record(Type.String(), Type.String());
const Change = Type.Record(Type.String(), Type.Union([Type.String(), Type.Null()]));

/** Config vars. Reading them takes more than the protected powers. */
export function configVarRoutes(routes: Routes, context: ApiContext): void {
  const { store } = context;
  routes.app(
    { path: "GET /apps/:app/config-vars", needs: "deploy", audit: "read", power: "read", response: Vars },
    ({ app }) => store.config.get(app.id),
  );
  routes.app(
    { path: "PATCH /apps/:app/config-vars", needs: "deploy", power: "write", body: Change, response: Vars },
    (call) => change(call, context),
  );
  routes.app(
    {
      path: "GET /apps/:app/releases/:release/config-vars",
      needs: "deploy",
      audit: "read",
      power: "read",
      response: Vars,
    },
    async (call) => store.releases.config((await releaseNamed(call, context)).id),
  );
}

type Changes = Readonly<Record<string, string | null>>;

/** Several keys in one call are one release (spec 4.5); a call that changes nothing makes none. */
async function change({ app, user, body }: AppCall<Changes>, context: ApiContext): Promise<ConfigVars> {
  const { vars, release } = await context.store.transaction(async (store) => {
    const before = await store.config.get(app.id);
    const vars = await store.config.change(app.id, body);
    const description = describe(before, vars);
    const now = await store.apps.byId(app.id);
    if (now === undefined) throw new PlatformError("not_found", "Couldn't find that app.", { resource: "app" });
    if (description === undefined) return { vars, release: undefined };
    const current = now.currentReleaseId === null ? undefined : await store.releases.byId(now.currentReleaseId);
    const code = await codeOfNext(store.releases, app.id, current);
    return { vars, release: await addRelease(store, { app, user, description, ...code }) };
  });
  if (release) announce(context, release, app, user);
  return vars;
}

/**
 * A release that is coming up is not undone by a config var that is set meanwhile: its code is taken on, with its release command, unless
 * that has done its work.
 */
export async function codeOfNext(
  releases: ApiContext["store"]["releases"],
  appId: string,
  current: Release | undefined,
): Promise<Pick<NewRelease, "slugId" | "withCommand">> {
  const newest = await releases.newest(appId);
  if (newest?.status !== "pending") return { slugId: current?.slugId ?? null, withCommand: false };
  return { slugId: newest.slugId, withCommand: newest.phase === "waiting" || newest.phase === "running" };
}

/** `Set A, B config vars`, `Remove A config vars`, or both; undefined: all is as it was. */
function describe(before: ConfigVars, after: ConfigVars): string | undefined {
  const set = Object.keys(after).filter((key) => !Object.hasOwn(before, key) || before[key] !== after[key]);
  const removed = Object.keys(before).filter((key) => !Object.hasOwn(after, key));
  if (set.length === 0 && removed.length === 0) return undefined;
  if (removed.length === 0) return `Set ${set.join(", ")} config vars`;
  if (set.length === 0) return `Remove ${removed.join(", ")} config vars`;
  return `Set ${set.join(", ")} and remove ${removed.join(", ")} config vars`;
}
