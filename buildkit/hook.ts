import { connect } from "node:net";
import { exit, stdin, stdout } from "node:process";
import { readFrames } from "./frames.ts";
import { parseVerdict } from "./messages.ts";

/** What git's pre-receive hook tells the driver. */
export interface HookCall {
  /** How to see the objects that were pushed and are still in quarantine. */
  readonly env: Readonly<Record<string, string>>;
  /** `<old> <new> <ref>` lines. */
  readonly updates: string;
}

const QUARANTINE = ["GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH"];

async function main(): Promise<number> {
  let updates = "";
  for await (const chunk of stdin.setEncoding("utf8")) updates += chunk;
  const env = Object.fromEntries(QUARANTINE.map((name) => [name, process.env[name] ?? ""]));
  const driver = connect(process.env["STATOR_HOOK_SOCKET"] ?? "");
  const call: HookCall = { env, updates };
  driver.end(JSON.stringify(call));
  for await (const frame of readFrames(driver)) {
    if (frame.kind === "say") await new Promise<void>((resolve) => stdout.write(frame.payload, () => resolve()));
    if (frame.kind === "verdict") return parseVerdict(frame).accepted ? 0 : 1;
  }
  return 1; // the driver is gone: nobody accepted it
}

// oxlint-disable-next-line unicorn/no-process-exit -- a pipe that is still open must not keep git waiting
exit(await main().catch(() => 1));
