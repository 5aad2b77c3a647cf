import type { Input } from "../command.ts";
import { setRecording } from "./recordings-enable.ts";

export async function run(input: Input): Promise<number> {
  return setRecording(input, false);
}
