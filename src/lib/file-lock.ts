import { once } from "node:events";
import { CommandError, ended, start } from "./command.ts";

/**
 * Runs `body` while no other process of the machine is inside with the same lock file, which is made if it is not there. The
 * kernel takes the lock back from one that dies. Throws after `timeoutMs` of waiting.
 */
export async function withFileLock<T>(path: string, timeoutMs: number, body: () => Promise<T>): Promise<T> {
  // Node has no flock(2). util-linux's `flock` holds the lock as long as `cat` has something to wait for: us.
  const seconds = String(Math.max(1, Math.ceil(timeoutMs / 1000)));
  const holder = start("flock", ["--exclusive", "--timeout", seconds, path, "cat"], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  const end = ended(holder, "flock");
  end.catch(() => {}); // told below, to whoever waits for the lock
  const { stdin, stdout } = holder;
  if (!stdin || !stdout) throw new Error("flock has no pipes");
  stdin.on("error", () => {}); // it left without the lock; its end tells
  try {
    stdin.write("?");
    const given = once(stdout, "data");
    given.catch(() => {}); // the pipe broke; its end tells
    await Promise.race([given, end.then(({ code }) => refuse(path, code))]);
    return await body();
  } finally {
    stdin.end();
    await end.catch(() => {}); // it never ran, and that was told
  }
}

function refuse(path: string, code: number | null): never {
  throw new CommandError("flock", `${path} stayed locked by another process`, code, "");
}
