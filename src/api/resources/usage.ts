import Type from "typebox";
import type { Measured } from "../../metrics/measure.ts";
import type { App } from "../../model/app.ts";
import type { DynoRecord } from "../../model/dyno.ts";
import { PlatformError } from "../../model/errors.ts";
import { sizeNamed } from "../../model/size.ts";
import { chargedBytes, MEBIBYTE } from "../../model/usage.ts";
import type { ApiContext } from "../context.ts";
import type { Routes } from "../route.ts";
import { DateTime, dateTime, exactly, Named, nullable, Uuid } from "../schema.ts";

/** Ours: what a dyno uses against what its size gives. null: this machine does not count it, or there is no limit. */
const UsageSchema = exactly({
  app: Named,
  /** Of one processor, since the last sample (at most 20 s). */
  cpu_percent: Type.Number(),
  cpu_percent_max: nullable(Type.Integer()),
  /** Since it began. */
  cpu_time_ms: Type.Integer(),
  disk_quota_bytes: Type.Integer(),
  disk_used_bytes: nullable(Type.Integer()),
  id: Uuid,
  io_read_bytes: nullable(Type.Integer()),
  io_reads: nullable(Type.Integer()),
  io_write_bytes: nullable(Type.Integer()),
  io_writes: nullable(Type.Integer()),
  /** Of apps with `log-runtime-metrics`. */
  load_avg_1m: nullable(Type.Number()),
  load_avg_5m: nullable(Type.Number()),
  load_avg_15m: nullable(Type.Number()),
  memory_cache_bytes: Type.Integer(),
  /** Here the kernel kills. */
  memory_ceiling_bytes: nullable(Type.Integer()),
  /** Memory without cache, and swap, of the quota; above 100: R14. */
  memory_percent: Type.Number(),
  memory_quota_bytes: Type.Integer(),
  memory_rss_bytes: Type.Integer(),
  memory_swap_bytes: Type.Integer(),
  /** Of the dyno, as `id`. */
  name: Type.String(),
  network_in_bytes: nullable(Type.Integer()),
  network_out_bytes: nullable(Type.Integer()),
  processes: Type.Integer(),
  processes_max: Type.Integer(),
  sampled_at: DateTime,
  size: Type.String(),
  started_at: DateTime,
  type: Type.String(),
});

export function usageRoutes(routes: Routes, { store, usage }: ApiContext): void {
  routes.app(
    { path: "GET /apps/:app/usage", needs: "view", response: Type.Array(UsageSchema), orderBy: ["name", "id"] },
    ({ app }) => usagesOf(app),
  );
  routes.app(
    { path: "GET /apps/:app/dynos/:dyno/usage", needs: "view", response: UsageSchema },
    async ({ app, params }) => {
      const wanted = params["dyno"] ?? "";
      const found = (await usagesOf(app)).findLast(({ id, name }) => id === wanted || name === wanted);
      if (found) return found;
      throw new PlatformError("not_found", `No dyno ${wanted} of ${app.name} runs, so it uses nothing.`, {
        resource: "dyno",
      });
    },
  );

  async function usagesOf(app: App) {
    const [records, measured] = await Promise.all([store.dynos.list(app.id), usage.usagesOf(app.id)]);
    const byId = new Map(measured.map((each) => [each.usage.id, each]));
    return records.flatMap((record) => {
      const found = byId.get(record.id);
      return found === undefined ? [] : [usageJson(record, app, found)];
    });
  }
}

function usageJson(record: DynoRecord, app: App, { usage, cpuPercent, load }: Measured) {
  const size = sizeNamed(record.size);
  const { memory, io, network } = usage;
  const cpuMax = size?.cpuPercentMax ?? 0;
  const rounded = (value: number | undefined) => (value === undefined ? null : Math.round(value * 100) / 100);
  return {
    app: { id: app.id, name: app.name },
    cpu_percent: rounded(cpuPercent) ?? 0,
    cpu_percent_max: cpuMax === 0 ? null : cpuMax,
    cpu_time_ms: Math.round(usage.cpuMs),
    disk_quota_bytes: (size?.diskMb ?? 0) * MEBIBYTE,
    disk_used_bytes: usage.diskBytes,
    id: record.id,
    io_read_bytes: io?.readBytes ?? null,
    io_reads: io?.reads ?? null,
    io_write_bytes: io?.writeBytes ?? null,
    io_writes: io?.writes ?? null,
    load_avg_1m: rounded(load?.[0]),
    load_avg_5m: rounded(load?.[1]),
    load_avg_15m: rounded(load?.[2]),
    memory_cache_bytes: memory.cacheBytes,
    memory_ceiling_bytes: memory.ceilingBytes,
    memory_percent: rounded((100 * chargedBytes(memory)) / memory.quotaBytes) ?? 0,
    memory_quota_bytes: memory.quotaBytes,
    memory_rss_bytes: memory.rssBytes,
    memory_swap_bytes: memory.swapBytes,
    name: record.name,
    network_in_bytes: network?.inBytes ?? null,
    network_out_bytes: network?.outBytes ?? null,
    processes: usage.processes,
    processes_max: size?.pidsMax ?? 0,
    sampled_at: dateTime(usage.at),
    size: record.size,
    started_at: dateTime(usage.since),
    type: record.type,
  };
}
