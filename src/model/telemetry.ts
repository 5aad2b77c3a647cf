import { parseWebUrl } from "./drain-url.ts";
import { PlatformError } from "./errors.ts";

/** OpenTelemetry's; of an app here there are logs. */
export const SIGNALS = ["traces", "metrics", "logs"] as const;
export type Signal = (typeof SIGNALS)[number];

/** Telemetry drains of one app (spec 8.4). */
export const TELEMETRY_DRAINS_MAX = 5;
const HEADERS_MAX = 20;
/** Those that say how the request is made. */
const OURS =
  /^(host|content-length|content-type|content-encoding|transfer-encoding|connection|upgrade|te|trailer|expect)$/i;

/** Each once. Throws `invalid_params` where there would be nothing to send. */
export function checkedSignals(signals: readonly Signal[]): readonly Signal[] {
  if (!signals.includes("logs"))
    throw new PlatformError(
      "invalid_params",
      "Signals must have logs among them: nothing else can be sent from here yet.",
    );
  return SIGNALS.filter((each) => signals.includes(each));
}

/** Throws `invalid_params` for what cannot be sent as headers. */
export function checkHeaders(headers: Readonly<Record<string, string>>): void {
  const all = Object.entries(headers);
  if (all.length > HEADERS_MAX) throw new PlatformError("invalid_params", `At most ${HEADERS_MAX} headers.`);
  for (const [name, value] of all) {
    const isFine = /^[\w!#$%&'*+.^`|~-]{1,100}$/.test(name) && /^[\x20-\x7e]{0,2000}$/.test(value) && !OURS.test(name);
    if (isFine) continue;
    throw new PlatformError(
      "invalid_params",
      `Header ${JSON.stringify(name.slice(0, 80))} cannot be sent with telemetry.`,
    );
  }
}

/** Where logs are posted: OTLP's path below the endpoint, unless it is there. Throws `invalid_params`. */
export function logsEndpoint(endpoint: string): ReturnType<typeof parseWebUrl> {
  const target = parseWebUrl(endpoint);
  const url = new URL(target.url);
  if (!url.pathname.endsWith("/v1/logs")) url.pathname = `${url.pathname.replace(/\/$/, "")}/v1/logs`;
  return { ...target, url };
}
