import { readFileSync } from "node:fs";

const HERTZ = 100; // of proc(5)'s times, on every Linux

/** What a process and all its threads have used of the processors; 0 once it has gone. */
export function processorSecondsOf(pid: number): number {
  try {
    const [user, system] = fieldsOf(String(pid));
    return (user + system) / HERTZ;
  } catch {
    return 0;
  }
}

/** What the programs used that this one started and that have ended. */
export function processorSecondsOfEnded(): number {
  const [, , user, system] = fieldsOf("self");
  return (user + system) / HERTZ;
}

/** Of proc(5): utime, stime, cutime, cstime. */
function fieldsOf(process: string): [number, number, number, number] {
  const fields = readFileSync(`/proc/${process}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  const [one = 0, two = 0, three = 0, four = 0] = fields.slice(11, 15).map(Number);
  return [one, two, three, four];
}
