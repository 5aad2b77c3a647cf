import { join } from "node:path";
import type { Instance } from "../model/instance.ts";

/** Where HAProxy sends a line for each request, unless it is a version whose rings we can read. */
export function requestSocket({ paths }: { readonly paths: Pick<Instance["paths"], "daemonRun"> }): string {
  return join(paths.daemonRun, "requests.sock");
}

/** Where each of HAProxy's workers has the ring of its request lines; the file's name is the worker's pid. */
export function requestRings({ paths }: { readonly paths: Pick<Instance["paths"], "run"> }): string {
  return join(paths.run, "requests");
}
