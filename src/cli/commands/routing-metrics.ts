import type { RequestCountsJson, RouterMetricsJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import type { Input } from "../command.ts";
import { json, marked, print, table, warn } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const found = await client.get<RouterMetricsJson>(`/apps/${app}/router-metrics`);
  if (input.has("json")) {
    json(found);
    return 0;
  }
  const seconds = Math.round(found.window_seconds);
  if (found.requests === 0) print(`No requests to ${marked(app)} in the last ${seconds} s`);
  else for (const line of format(found)) print(line);
  if (found.lines_lost > 0) warn(`${found.lines_lost} request lines of all apps were lost since the daemon started.`);
  return 0;
}

const HEADER = [
  "DYNO",
  "REQUESTS",
  "RATE",
  "2XX",
  "3XX",
  "4XX",
  "5XX",
  "OTHER",
  "P50",
  "P95",
  "P99",
  "HELD",
  "RETRIES",
];

/** A row for each dyno, one for all, and the codes of what failed. */
export function format(found: RouterMetricsJson): readonly string[] {
  const rows = found.dynos.map((dyno) => [dyno.name, ...cells(dyno)]);
  const codes = Object.entries(found.codes).map(([code, count]) => `${code} ${count}`);
  return [
    `In the last ${Math.round(found.window_seconds)} s:`,
    ...table([HEADER, ...rows, ["all", ...cells(found)]]),
    ...(codes.length === 0 ? [] : [`Codes: ${codes.join(", ")}`]),
  ];
}

function cells({ requests, per_second, statuses, service_ms, held, retries }: RequestCountsJson): readonly string[] {
  const ms = (value: number | undefined) => (value === undefined ? "-" : `${value}ms`);
  return [
    String(requests),
    `${per_second.toFixed(1)}/s`,
    ...[statuses["2xx"], statuses["3xx"], statuses["4xx"], statuses["5xx"], statuses["1xx"] + statuses.other].map(
      String,
    ),
    ...[service_ms?.p50, service_ms?.p95, service_ms?.p99].map(ms),
    String(held),
    String(retries),
  ];
}
