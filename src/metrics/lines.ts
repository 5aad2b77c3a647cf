import { chargedBytes, MEBIBYTE, memoryLine } from "../model/usage.ts";
import type { Measured } from "./measure.ts";

/** The lines that a sample of one dyno gives its app's log (spec 6.1, 8.5). `numericAppId`: the app has `log-runtime-metrics`. */
export function linesOf(measured: Measured, numericAppId: number | undefined): readonly string[] {
  return [...(numericAppId === undefined ? [] : metricsLines(measured, numericAppId)), ...quotaLines(measured)];
}

/** R14: all that the kernel cannot take back is more than the size gives. */
function quotaLines({ usage: { memory } }: Measured): readonly string[] {
  const bytes = chargedBytes(memory);
  if (bytes <= memory.quotaBytes) return [];
  return [memoryLine(bytes, memory.quotaBytes), "Error R14 (Memory quota exceeded)"];
}

function metricsLines({ usage, load }: Measured, numericAppId: number): readonly string[] {
  const { memory, name, id } = usage;
  const who = `source=${name} dyno=heroku.${numericAppId}.${id}`;
  const line = (samples: Readonly<Record<string, string | null>>) =>
    Object.entries(samples).reduce(
      (text, [key, value]) => (value === null ? text : `${text} sample#${key}=${value}`),
      who,
    );
  const megabytes = (bytes: number) => `${(bytes / MEBIBYTE).toFixed(2)}MB`;
  const pages = (count: number | null) => (count === null ? null : `${count}pages`);
  const memoryLineText = line({
    memory_total: megabytes(memory.rssBytes + memory.cacheBytes + memory.swapBytes),
    memory_rss: megabytes(memory.rssBytes),
    memory_cache: megabytes(memory.cacheBytes),
    memory_swap: megabytes(memory.swapBytes),
    memory_pgpgin: pages(memory.pagesIn),
    memory_pgpgout: pages(memory.pagesOut),
    memory_quota: megabytes(memory.quotaBytes),
  });
  if (load === null) return [memoryLineText];
  const [one, five, fifteen] = load.map((value) => value.toFixed(2));
  return [line({ load_avg_1m: one ?? null, load_avg_5m: five ?? null, load_avg_15m: fifteen ?? null }), memoryLineText];
}
