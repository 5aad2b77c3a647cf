import { type DynoSize, memoryOvercommit } from "../../model/size.ts";

export interface Admission {
  /** The dyno that asks. */
  readonly name: string;
  readonly size: DynoSize;
  /** Sum of the quotas of all dynos that live, MiB. */
  readonly takenMb: number;
  /** Memory of the machine, MiB. */
  readonly memoryMb: number;
}

/** Why a start does not fit, with what is free and what was asked; undefined: it fits. */
export function refusalOf({ name, size, takenMb, memoryMb }: Admission): string | undefined {
  const times = memoryOvercommit();
  const all = Math.floor(memoryMb * times);
  const free = Math.max(0, all - takenMb);
  if (size.memoryMb <= free) return undefined;
  const asked = `${name} asks for ${size.memoryMb} MB (${size.name})`;
  const there = `${free} MB of the ${all} MB for dynos are free (this machine's ${memoryMb} MB, promised ${times} times)`;
  return `No room: ${asked}, ${there}. Scale something down, choose a smaller size, or raise memory_overcommit in sizes.json.`;
}
