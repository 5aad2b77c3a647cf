import { UsageError } from "../command.ts";

export async function run(): Promise<number> {
  throw new UsageError("Pipelines cannot be given to somebody else yet: make one there.", 1);
}
