import type { BasicAuthUser } from "../model/basic-auth.ts";
import { type FeatureSwitch, isFeatureOn } from "../model/feature.ts";
import { pageUrl } from "../model/page-url.ts";
import type { ConfigVars } from "../model/release.ts";
import { DEFAULT_ROUTING, type RoutingSettings } from "../model/routing.ts";
import type { RouteOptions } from "./routes.ts";

/** All that an app's options depend on. */
export interface OptionSources {
  readonly settings: RoutingSettings;
  readonly users: readonly BasicAuthUser[];
  readonly features: readonly FeatureSwitch[];
  readonly vars: ConfigVars;
}

/** What the router is told of an app's options; undefined: nothing is special about it. Pure. */
export function routeOptionsOf({ settings, users, features, vars }: OptionSources): RouteOptions | undefined {
  const options: RouteOptions = {
    ...settings,
    sessionAffinity: isFeatureOn("http-session-affinity", features),
    ...(isFeatureOn("http-end-to-end-continue", features) && { endToEndContinue: true }),
    users,
    errorPage: pageUrl(vars["ERROR_PAGE_URL"]),
    maintenancePage: pageUrl(vars["MAINTENANCE_PAGE_URL"]),
  };
  return isUsual(options) ? undefined : options;
}

function isUsual(options: RouteOptions): boolean {
  const { sessionAffinity, endToEndContinue = false, users, errorPage, maintenancePage, ...settings } = options;
  const names = Object.keys(DEFAULT_ROUTING) as (keyof RoutingSettings)[]; // its keys
  return (
    names.every((name) => settings[name] === DEFAULT_ROUTING[name]) &&
    !sessionAffinity &&
    !endToEndContinue &&
    users.length === 0 &&
    errorPage === null &&
    maintenancePage === null
  );
}
