import { basename } from "node:path";

/**
 * Which end-to-end tests run side by side. Each lane has an instance of its own and takes one file after the other, so what a
 * file kills, stops or counts there is no other's. Lanes share the machine: its processors, its network, its package manager. A
 * file for which that is too much stands in `ALONE`; every other one runs in a lane.
 */

/** By name, without `.test.ts`: run one after the other when all lanes have ended, and why. */
export const ALONE: Readonly<Record<string, string>> = {
  attacks: "compares how soon a dyno answers while another takes all it can get, and while none does",
  cli: "says within how many seconds a second `up` has looked at everything",
  "router-codes": "has the router's limits at a second instead of half a minute, which somebody else's work could fill",
  "router-hostile": "says how soon others are served beside thousands of hostile connections",
  "router-protocols": "has the router's limits at a second or two, which somebody else's work could fill",
  router: "says within how many milliseconds a killed HAProxy answers again",
  "router-scale":
    "says into how few reloads a storm of apps is gathered, which hangs on how soon they come one after the other",
};

/** Begun first, so that none of them is what everything waits for at the end: those that work and those that wait in turn. */
export const LONG = [
  "container",
  "metrics",
  "gvisor",
  "limits",
  "escape-gvisor",
  "health",
  "engine-gvisor",
  "egress",
  "engine",
  "schedule",
  "second-instance",
  "official-cli",
  "build",
  "api",
  "stack",
  "rollouts",
  "escape",
  "network",
  "platform",
  "life",
  "sleep",
  "network-allow",
] as const;

export interface Plan {
  /** In the order in which lanes take them. */
  readonly inLanes: readonly string[];
  readonly alone: readonly string[];
}

export const nameOf = (file: string): string => basename(file, ".test.ts");

/** Pure; every file is in one of the two. */
export function planOf(files: readonly string[]): Plan {
  const order = new Map<string, number>(LONG.map((name, index) => [name, index]));
  const place = (file: string): number => order.get(nameOf(file)) ?? LONG.length;
  const isAlone = (file: string): boolean => Object.hasOwn(ALONE, nameOf(file));
  return {
    inLanes: files.filter((file) => !isAlone(file)).toSorted((one, other) => place(one) - place(other)),
    alone: files.filter(isAlone),
  };
}

/** Hands out the files: each lane, once it is ready, works at the next one until none is left. Rejects with the first error of any. */
export async function inLanes<Lane>(
  files: readonly string[],
  lanes: readonly Promise<Lane | undefined>[],
  work: (file: string, lane: Lane) => Promise<void>,
): Promise<void> {
  const queue = [...files];
  await Promise.all(
    lanes.map(async (becoming) => {
      const lane = await becoming;
      if (lane === undefined) return; // it could not be made: the others do its part
      for (let file = queue.shift(); file !== undefined; file = queue.shift()) await work(file, lane);
    }),
  );
}
