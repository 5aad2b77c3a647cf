import { UsageError } from "../command.ts";

export async function run(): Promise<number> {
  throw new UsageError("There is no dashboard here; stator pipelines:info PIPELINE shows a pipeline.", 1);
}
