import { UsageError } from "../command.ts";

export async function run(): Promise<number> {
  throw new UsageError(
    "There is no GitHub connection to set up here: stator pipelines:create, pipelines:add and pipelines:promote make a pipeline.",
    1,
  );
}
