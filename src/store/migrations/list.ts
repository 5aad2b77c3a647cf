import type { Migration } from "kysely/migration";
import { up as first } from "./0001-first.ts";
import { up as appRuntime } from "./0002-app-runtime.ts";
import { up as manifest } from "./0003-manifest.ts";
import { up as schedules } from "./0003-schedules.ts";
import { up as health } from "./0004-health.ts";
import { up as appFeatures } from "./0005-app-features.ts";
import { up as egressRules } from "./0006-egress-rules.ts";
import { up as isolation } from "./0007-isolation.ts";
import { up as prebootDelay } from "./0008-preboot-delay.ts";
import { up as routing } from "./0009-routing.ts";
import { up as certificates } from "./0010-certificates.ts";
import { up as logDrains } from "./0011-log-drains.ts";
import { up as webhooks } from "./0012-webhooks.ts";
import { up as collaborators } from "./0013-collaborators.ts";
import { up as audit } from "./0014-audit.ts";
import { up as credentials } from "./0015-credentials.ts";
import { up as sources } from "./0020-sources.ts";
import { up as buildpacks } from "./0021-buildpacks.ts";
import { up as pipelines } from "./0022-pipelines.ts";
import { up as recordedApps } from "./0023-recorded-apps.ts";
import { up as releasePhase } from "./0026-release-phase.ts";
import { up as accounts } from "./0027-accounts.ts";
import { up as appPages } from "./0028-app-pages.ts";
import { up as givenChains } from "./0029-given-chains.ts";
import { up as repoSize } from "./0030-repo-size.ts";
import { up as sleep } from "./0031-sleep.ts";

/** Every step of the schema, in order. Forward only; a step that was released never changes. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  "0001-first": { up: first },
  "0002-app-runtime": { up: appRuntime },
  "0005-app-features": { up: appFeatures },
  "0003-manifest": { up: manifest },
  "0003-schedules": { up: schedules },
  "0006-egress-rules": { up: egressRules },
  "0007-isolation": { up: isolation },
  "0004-health": { up: health },
  "0008-preboot-delay": { up: prebootDelay },
  "0009-routing": { up: routing },
  "0010-certificates": { up: certificates },
  "0011-log-drains": { up: logDrains },
  "0012-webhooks": { up: webhooks },
  "0013-collaborators": { up: collaborators },
  "0014-audit": { up: audit },
  "0015-credentials": { up: credentials },
  "0020-sources": { up: sources },
  "0021-buildpacks": { up: buildpacks },
  "0022-pipelines": { up: pipelines },
  "0026-release-phase": { up: releasePhase },
  "0027-accounts": { up: accounts },
  "0028-app-pages": { up: appPages },
  "0023-recorded-apps": { up: recordedApps },
  "0029-given-chains": { up: givenChains },
  "0030-repo-size": { up: repoSize },
  "0031-sleep": { up: sleep },
};
