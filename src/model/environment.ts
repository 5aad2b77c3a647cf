import { createHash } from "node:crypto";
import type { Instant } from "../lib/clock.ts";
import { BASE_ENVIRONMENT } from "./boot.ts";
import type { ConfigVars } from "./release.ts";

export interface EnvironmentInput {
  readonly dyno: { readonly id: string; readonly name: string };
  readonly app: { readonly id: string; readonly name: string; readonly defaultDomain: string };
  readonly release: { readonly version: number; readonly createdAt: Instant };
  readonly slugCommit: string | null;
  readonly config: ConfigVars;
  /** Where the dyno is expected to listen: `portOf`. */
  readonly port: number;
  /** Environment of the call that made a one-off dyno: `TERM`, `COLUMNS`, `LINES`, and what the user adds. */
  readonly call?: Readonly<Record<string, string>>;
}

/**
 * All variables of a dyno (spec 3.1 step 3, 4.4): the platform's defaults, then config vars, then what the platform knows of
 * the dyno (which config vars cannot override), then the call's.
 */
export function environmentOf({
  dyno,
  app,
  release,
  slugCommit,
  config,
  port,
  call,
}: EnvironmentInput): Record<string, string> {
  return {
    ...BASE_ENVIRONMENT,
    ...config,
    DYNO: dyno.name,
    PORT: String(port),
    HEROKU_APP_ID: app.id,
    HEROKU_APP_NAME: app.name,
    HEROKU_APP_DEFAULT_DOMAIN_NAME: app.defaultDomain,
    HEROKU_DYNO_ID: dyno.id,
    HEROKU_RELEASE_VERSION: `v${release.version}`,
    HEROKU_RELEASE_CREATED_AT: new Date(release.createdAt).toISOString().replace(/\.\d+Z$/, "Z"),
    ...slugMetadata(slugCommit),
    ...call,
  };
}

/** Of what was built; a slug is one build's, so both names say the same. */
function slugMetadata(slugCommit: string | null): Record<string, string> {
  const commit = slugCommit ?? "";
  const description = `Deploy ${commit.slice(0, SHORT_COMMIT)}`.trim();
  return {
    HEROKU_SLUG_COMMIT: commit,
    HEROKU_SLUG_DESCRIPTION: description,
    HEROKU_BUILD_COMMIT: commit,
    HEROKU_BUILD_DESCRIPTION: description,
  };
}

const SHORT_COMMIT = 8;
const FIRST_PORT = 10_000;
const PORTS = 50_000;

/**
 * The port of a dyno, 10000 to 59999: as random as its id, so another for each start (spec 3.2), and the same however often
 * one start is asked for. Never one of the router's: inside a dyno those lead to the router, by whatever address of its own
 * it is called (`docs/decisions/0016-network.md`).
 */
export function portOf(dynoId: string, routerPorts: readonly number[]): number {
  let port = FIRST_PORT + (createHash("sha256").update(dynoId).digest().readUInt32BE(0) % PORTS);
  while (routerPorts.includes(port)) port = port + 1 === FIRST_PORT + PORTS ? FIRST_PORT : port + 1;
  return port;
}
