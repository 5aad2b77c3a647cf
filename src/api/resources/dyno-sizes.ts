import Type from "typebox";
import { PlatformError } from "../../model/errors.ts";
import { type DynoSize, sizeOffered, sizes } from "../../model/size.ts";
import type { Routes } from "../route.ts";
import { constantId, exactly, Named, Uuid } from "../schema.ts";
import { GENERATION } from "./platform.ts";

const Limits = exactly({
  cpu_percent_max: Type.Integer(),
  cpu_shares: Type.Integer(),
  disk_mb: Type.Integer(),
  memory_ceiling_mb: Type.Integer(),
  memory_mb: Type.Integer(),
  network_in_mbit: Type.Integer(),
  network_out_mbit: Type.Integer(),
  processes: Type.Integer(),
  read_mb_per_second: Type.Integer(),
  read_ops_per_second: Type.Integer(),
  swap_mb: Type.Integer(),
  write_mb_per_second: Type.Integer(),
  write_ops_per_second: Type.Integer(),
});
const DynoSizeSchema = exactly({
  architecture: Type.String(),
  can_autoscale: Type.Boolean(),
  compute: Type.Integer(),
  cost: Type.Null(),
  dedicated: Type.Boolean(),
  generation: Named,
  id: Uuid,
  infrastructure_tier: Type.String(),
  /** An extension: what the kernel holds a dyno of this size to. */
  limits: Limits,
  memory: Type.Number(),
  name: Type.String(),
  precise_dyno_units: Type.Number(),
  private_space_only: Type.Boolean(),
  product_dyno_tier: Type.String(),
});
const orderBy = ["name", "id"] as const;

export function dynoSizeRoutes(routes: Routes): void {
  const all = () => sizes().map(sizeJson);
  routes.account({ path: "GET /dyno-sizes", response: Type.Array(DynoSizeSchema), orderBy }, all);
  routes.app(
    { path: "GET /apps/:app/available-dyno-sizes", needs: "view", response: Type.Array(DynoSizeSchema), orderBy },
    all,
  );
  routes.account({ path: "GET /dyno-sizes/:size", response: DynoSizeSchema }, ({ params }) => {
    const wanted = (params["size"] ?? "").toLowerCase();
    const found = sizes().find((each) => constantId("dyno-size", each.name) === wanted) ?? sizeOffered(wanted);
    if (found) return sizeJson(found);
    throw new PlatformError("not_found", `Couldn't find that dyno size (${params["size"]}).`, {
      resource: "dyno_size",
    });
  });
}

type Reference = string | { readonly id?: string; readonly name?: string } | null | undefined;

/** The name of the size that `dyno_size` means, by name or id; what is unknown passes, to be refused by its name. */
export function sizeNameOf(reference: Reference): string | undefined {
  if (reference === null || reference === undefined) return undefined;
  const wanted = typeof reference === "string" ? reference : (reference.name ?? reference.id ?? "");
  return sizes().find((each) => constantId("dyno-size", each.name) === wanted)?.name ?? wanted;
}

function sizeJson(size: DynoSize) {
  const [tier = ""] = size.name.toLowerCase().split("-");
  return {
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    can_autoscale: false,
    compute: size.compute,
    cost: null,
    dedicated: size.dedicated,
    generation: GENERATION,
    id: constantId("dyno-size", size.name),
    infrastructure_tier: tier,
    limits: limitsJson(size),
    memory: size.memoryMb / 1024,
    name: size.name,
    precise_dyno_units: size.compute,
    private_space_only: false,
    product_dyno_tier: tier,
  };
}

function limitsJson({ io, network, ...size }: DynoSize) {
  return {
    cpu_percent_max: size.cpuPercentMax,
    cpu_shares: size.cpuShares,
    disk_mb: size.diskMb,
    memory_ceiling_mb: size.memoryCeilingMb,
    memory_mb: size.memoryMb,
    network_in_mbit: network.inMbit,
    network_out_mbit: network.outMbit,
    processes: size.pidsMax,
    read_mb_per_second: io.readMbPerSecond,
    read_ops_per_second: io.readOpsPerSecond,
    swap_mb: size.swapMb,
    write_mb_per_second: io.writeMbPerSecond,
    write_ops_per_second: io.writeOpsPerSecond,
  };
}
