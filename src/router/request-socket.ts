import { join } from "node:path";
import type { Instance } from "../model/instance.ts";

/** Where HAProxy sends a line for each request. */
export function requestSocket({ paths }: { readonly paths: Pick<Instance["paths"], "daemonRun"> }): string {
  return join(paths.daemonRun, "requests.sock");
}
