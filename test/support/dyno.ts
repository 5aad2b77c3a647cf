import type { DynoRecord } from "../../src/model/dyno.ts";

/** The record of a web dyno that is up since `at`, with what a test needs to be otherwise. */
export function dynoRecord(change: Partial<DynoRecord> = {}, at = 0): DynoRecord {
  return {
    id: "one",
    appId: "app",
    kind: "formation",
    name: "web.1",
    type: "web",
    releaseId: "v3",
    size: "Basic",
    command: "run",
    state: "up",
    stateSince: at,
    createdAt: at,
    launchedAt: at,
    stopping: null,
    exit: null,
    oneOff: null,
    port: 1,
    ...change,
  };
}
