import { readFile } from "node:fs/promises";
import { totalmem } from "node:os";

/** What a process may give to others, from what it was given. */
export interface OwnLimits {
  readonly openFilesMax: number;
  readonly processesMax: number;
  /** Processes and threads that the machine can have at once. */
  readonly threadsMax: number;
  readonly pendingSignalsMax: number;
  /** Bytes in POSIX message queues. */
  readonly messageQueueBytesMax: number;
  /** Of the machine, or of the container that we run in. */
  readonly memoryMb: number;
}

/** Of this process, or of another one by its id: systemd gives services other limits than a person's session. */
export async function ownLimits(of: number | "self" = "self"): Promise<OwnLimits> {
  const text = await readFile(`/proc/${of}/limits`, "utf8").catch((error: unknown) => {
    if (of === "self") throw error;
    return readFile("/proc/self/limits", "utf8"); // it has just ended
  });
  const constrained = process.constrainedMemory();
  const bytes = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return {
    openFilesMax: hardLimit(text, "Max open files"),
    processesMax: hardLimit(text, "Max processes"),
    threadsMax: await threadsMax(),
    pendingSignalsMax: hardLimit(text, "Max pending signals"),
    messageQueueBytesMax: hardLimit(text, "Max msgqueue size"),
    memoryMb: Math.floor(bytes / 1024 ** 2),
  };
}

/** `Max open files            20000                20000                files` */
function hardLimit(text: string, name: string): number {
  const line = text.split("\n").find((each) => each.startsWith(name));
  const hard = line?.slice(name.length).trim().split(/\s+/)[1];
  return hard === undefined || hard === "unlimited" ? Number.MAX_SAFE_INTEGER : Number(hard);
}

async function threadsMax(): Promise<number> {
  const files = ["/proc/sys/kernel/threads-max", "/proc/sys/kernel/pid_max"];
  return Math.min(...(await Promise.all(files.map((file) => readFile(file, "utf8")))).map(Number));
}
