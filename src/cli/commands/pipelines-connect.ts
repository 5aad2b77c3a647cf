import { UsageError } from "../command.ts";

export async function run(): Promise<number> {
  throw new UsageError(
    "Pipelines cannot be connected to GitHub here: push to the first app, then stator pipelines:promote.",
    1,
  );
}
