import Type from "typebox";
import { PlatformError } from "../../model/errors.ts";
import { type DynoSize, SIZES } from "../../model/size.ts";
import type { Routes } from "../route.ts";
import { constantId, exactly, Named, Uuid } from "../schema.ts";
import { GENERATION } from "./platform.ts";

const DynoSizeSchema = exactly({
  architecture: Type.String(),
  can_autoscale: Type.Boolean(),
  compute: Type.Integer(),
  cost: Type.Null(),
  dedicated: Type.Boolean(),
  generation: Named,
  id: Uuid,
  infrastructure_tier: Type.String(),
  memory: Type.Number(),
  name: Type.String(),
  precise_dyno_units: Type.Number(),
  private_space_only: Type.Boolean(),
  product_dyno_tier: Type.String(),
});
const orderBy = ["name", "id"] as const;

export function dynoSizeRoutes(routes: Routes): void {
  const all = () => SIZES.map(sizeJson);
  routes.account({ path: "GET /dyno-sizes", response: Type.Array(DynoSizeSchema), orderBy }, all);
  routes.app({ path: "GET /apps/:app/available-dyno-sizes", response: Type.Array(DynoSizeSchema), orderBy }, all);
  routes.account({ path: "GET /dyno-sizes/:size", response: DynoSizeSchema }, ({ params }) => {
    const wanted = (params["size"] ?? "").toLowerCase();
    const found = all().find((each) => each.id === wanted || each.name.toLowerCase() === wanted);
    if (found) return found;
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
  return SIZES.find((each) => constantId("dyno-size", each.name) === wanted)?.name ?? wanted;
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
    memory: size.memoryMb / 1024,
    name: size.name,
    precise_dyno_units: size.compute,
    private_space_only: false,
    product_dyno_tier: tier,
  };
}
