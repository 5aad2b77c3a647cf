import type { UsageJson } from "../api.ts";
import { appOf } from "../app-name.ts";
import { Client } from "../client.ts";
import { type Input, UsageError } from "../command.ts";
import { json, marked, print, table } from "../output.ts";

export async function run(input: Input): Promise<number> {
  const client = new Client();
  const app = await appOf(input, client.platform);
  const all = await client.get<readonly UsageJson[]>(`/apps/${app}/usage`);
  const wanted = input.positionals;
  const isNamed = ({ name, type }: UsageJson, word: string) => name === word || type === word;
  const missing = wanted.filter((word) => !all.some((each) => isNamed(each, word)));
  if (missing.length > 0) throw new UsageError(`No running ${missing.join(", ")} dynos on ${marked(app)}`, 1);
  const chosen = all.filter((each) => wanted.length === 0 || wanted.some((word) => isNamed(each, word)));
  if (input.has("json")) json(chosen);
  else if (chosen.length === 0) print(`No running dynos on ${marked(app)}`);
  else for (const line of format(chosen)) print(line);
  return 0;
}

const HEADER = ["DYNO", "MEMORY", "CACHE", "SWAP", "CPU", "PROCESSES", "DISK", "READ", "WRITTEN", "IN", "OUT"];

/** A row for each dyno: what it uses of what its size gives; `-` for what this machine does not count. */
export function format(usages: readonly UsageJson[]): readonly string[] {
  return table([HEADER, ...usages.map((each) => rowOf(each))]);
}

function rowOf(usage: UsageJson): readonly string[] {
  const memory = usage.memory_rss_bytes + usage.memory_swap_bytes;
  return [
    usage.name,
    `${size(memory)}/${size(usage.memory_quota_bytes)} (${usage.memory_percent.toFixed(1)}%)`,
    size(usage.memory_cache_bytes),
    size(usage.memory_swap_bytes),
    `${usage.cpu_percent.toFixed(1)}%`,
    `${usage.processes}/${usage.processes_max}`,
    `${size(usage.disk_used_bytes)}/${size(usage.disk_quota_bytes)}`,
    size(usage.io_read_bytes),
    size(usage.io_write_bytes),
    size(usage.network_in_bytes),
    size(usage.network_out_bytes),
  ];
}

const UNITS = ["B", "K", "M", "G", "T"];

/** `512M`, `1.5G`; one digit behind the point below ten. */
function size(bytes: number | null): string {
  if (bytes === null) return "-";
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024;
  const text = value < 10 && unit > 0 ? value.toFixed(1).replace(/\.0$/, "") : String(Math.round(value));
  return `${text}${UNITS[unit]}`;
}
