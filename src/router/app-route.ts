import type { App, Domain } from "../model/app.ts";
import { type DynoRecord, routedDynos } from "../model/dyno.ts";
import type { Formation } from "../model/formation.ts";
import type { Release } from "../model/release.ts";
import type { AppRoute, RouteOptions, RouteState } from "./routes.ts";

/** All that a route depends on. */
export interface RouteSituation {
  readonly app: Pick<App, "id" | "maintenance" | "currentReleaseId" | "asleepSince">;
  readonly domains: readonly Pick<Domain, "hostname">[];
  readonly formation: readonly Pick<Formation, "type" | "quantity">[];
  readonly dynos: readonly DynoRecord[];
  /** The release that runs. */
  readonly current: Pick<Release, "slugId"> | undefined;
  readonly options?: RouteOptions | undefined;
}

/** What the router should do for the app. Pure; equal situations give equal routes, in whatever order rows came. */
export function routeOf(situation: RouteSituation): AppRoute {
  const { app, domains, dynos, options } = situation;
  const up = routedDynos(dynos, app.currentReleaseId);
  return {
    appId: app.id,
    hosts: [...new Set(domains.map(({ hostname }) => hostname.toLowerCase()))].sort(),
    state: stateOf(situation, up.length),
    dynoIds: up.map(({ id }) => id).sort(),
    ...(options && { options }),
  };
}

/** What a request meets (spec 1.3): an up dyno beats everything but maintenance, a starting one makes it wait, and so does sleep. */
function stateOf({ app, formation, dynos, current }: RouteSituation, up: number): RouteState {
  if (app.maintenance) return "maintenance";
  if (up > 0) return "serve";
  const web = formation.find(({ type }) => type === "web");
  if (current === undefined || current.slugId === null) return "blank";
  if (web === undefined || web.quantity === 0) return "no-web";
  if (app.asleepSince !== null) return "asleep";
  const wanted = dynos.filter((dyno) => dyno.kind === "formation" && dyno.type === "web" && dyno.stopping === null);
  const crashed = wanted.length > 0 && wanted.every((dyno) => dyno.state === "crashed");
  return crashed ? "crashed" : "serve";
}
