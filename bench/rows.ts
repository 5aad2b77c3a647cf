import type { Bench } from "./bench.ts";
import type { RowResult } from "./statistics.ts";

interface Row {
  readonly id: string;
  readonly what: string;
}

/** The rows of the table, each loaded when it is measured. */
export type RowSpec =
  | (Row & {
      readonly needsRoot: true;
      readonly needsPeers: boolean;
      readonly load: () => Promise<(bench: Bench) => Promise<RowResult>>;
    })
  | (Row & { readonly needsRoot: false; readonly load: () => Promise<() => Promise<RowResult>> });

export const ROWS: readonly RowSpec[] = [
  {
    id: "start",
    what: "start a dyno: from the request's first byte to the program's first instruction",
    needsRoot: true,
    needsPeers: true,
    load: async () => (await import("./start.ts")).measureStart,
  },
  {
    id: "first200",
    what: "to the first 200: from the request that scales web to 1, to an answer through the router",
    needsRoot: true,
    needsPeers: false,
    load: async () => (await import("./start.ts")).measureFirst200,
  },
  {
    id: "oneoff",
    what: "one-off: from the call to its exit status seen through the API",
    needsRoot: true,
    needsPeers: false,
    load: async () => (await import("./start.ts")).measureOneOff,
  },
  {
    id: "scale",
    what: "scale 1 to 100: 100 web dynos of a trivial server, all answering through the router",
    needsRoot: true,
    needsPeers: true,
    load: async () => (await import("./scale.ts")).measureScale,
  },
  {
    id: "density",
    what: "density: 500 idle dynos standing",
    needsRoot: true,
    needsPeers: false,
    load: async () => (await import("./standing.ts")).measureDensity,
  },
  {
    id: "stop",
    what: "stop 100: from the request to nothing left in the kernel",
    needsRoot: true,
    needsPeers: false,
    load: async () => (await import("./scale.ts")).measureStop,
  },
  {
    id: "adopt",
    what: "adopt: both processes restarted with 500 dynos standing",
    needsRoot: true,
    needsPeers: false,
    load: async () => (await import("./standing.ts")).measureAdopt,
  },
  {
    id: "plan",
    what: "plan: a supervisor pass with 10,000 apps",
    needsRoot: false,
    load: async () => (await import("./plan.ts")).measurePlan,
  },
  {
    id: "api",
    what: "api: 10,000 apps, 100,000 releases, 50,000 dynos in the store; 100 requests a second, on one core",
    needsRoot: false,
    load: async () => (await import("./api.ts")).measureApi,
  },
  {
    id: "cli",
    what: "cli: a whole command of stator, beside Node doing nothing",
    needsRoot: false,
    load: async () => (await import("./cli.ts")).measureCli,
  },
];
