import Type from "typebox";
import type { AppRequests, RequestCounts } from "../../router/request-metrics.ts";
import type { ApiContext } from "../context.ts";
import type { Routes } from "../route.ts";
import { exactly, Named, nullable, Uuid } from "../schema.ts";

const counts = {
  /** How many of each code, as `H12`. */
  codes: Type.Record(Type.String(), Type.Integer()),
  /** Waited for a dyno to come up. */
  held: Type.Integer(),
  per_second: Type.Number(),
  requests: Type.Integer(),
  /** Connections to dynos that were tried again. */
  retries: Type.Integer(),
  /** Of requests that a dyno answered, without upgraded connections; null: there was none. */
  service_ms: nullable(exactly({ max: Type.Integer(), p50: Type.Integer(), p95: Type.Integer(), p99: Type.Integer() })),
  /** By what the client got; `other`: it had left before. */
  statuses: exactly({
    "1xx": Type.Integer(),
    "2xx": Type.Integer(),
    "3xx": Type.Integer(),
    "4xx": Type.Integer(),
    "5xx": Type.Integer(),
    other: Type.Integer(),
  }),
};
/** Ours: what the router saw of the app's requests in the last minute. */
const RouterMetricsSchema = exactly({
  app: Named,
  ...counts,
  /** Those that had requests, ended ones included. */
  dynos: Type.Array(exactly({ ...counts, id: Uuid, name: Type.String() })),
  /** Request lines of all apps that were lost since the platform's daemon started: they are in no count. */
  lines_lost: Type.Integer(),
  window_seconds: Type.Number(),
});

export function routerMetricsRoutes(routes: Routes, { requests }: ApiContext): void {
  routes.app(
    { path: "GET /apps/:app/router-metrics", needs: "view", response: RouterMetricsSchema },
    async ({ app }) => {
      const found = requests.requestsOf(app.id);
      return {
        app: { id: app.id, name: app.name },
        ...countsJson(found),
        dynos: dynosJson(found),
        lines_lost: requests.linesLost,
        window_seconds: rounded(found.windowSeconds),
      };
    },
  );
}

function dynosJson({ byDyno }: AppRequests) {
  return [...byDyno]
    .map(([id, counted]) => ({ ...countsJson(counted), id, name: counted.name }))
    .toSorted((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }) || (a.id < b.id ? -1 : 1));
}

function countsJson({ codes, held, perSecond, requests, retries, service, statuses }: RequestCounts) {
  return {
    codes: { ...codes },
    held,
    per_second: rounded(perSecond),
    requests,
    retries,
    service_ms: service && { ...service },
    statuses: { ...statuses },
  };
}

const rounded = (value: number): number => Math.round(value * 100) / 100;
