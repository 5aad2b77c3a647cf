import Type from "typebox";
import { PlatformError } from "../../model/errors.ts";
import type { ApiContext } from "../context.ts";
import type { RouteEntry } from "../http.ts";
import { type HyperSchema, hyperSchema } from "../hyper-schema.ts";
import type { Routes } from "../route.ts";
import { constantId, constantRef, DateTime, exactly, Uuid } from "../schema.ts";

/** The one generation: Procfile dynos, log history, `logs --num` (platform-api 1.3). */
export const GENERATION = constantRef("generation", "cedar");
/**
 * The one region is this machine. It is called by the name that clients leave out of their lists and that scripts and
 * Terraform files hold already.
 */
export const REGION = constantRef("region", "us");
const SINCE = "2026-01-01T00:00:00Z";

const Generation = exactly({ created_at: DateTime, id: Uuid, name: Type.String(), updated_at: DateTime });
const Region = exactly({
  country: Type.String(),
  created_at: DateTime,
  description: Type.String(),
  id: Uuid,
  locale: Type.String(),
  name: Type.String(),
  private_capable: Type.Boolean(),
  provider: exactly({ name: Type.String(), region: Type.String() }),
  updated_at: DateTime,
});
const Status = exactly({
  status: Type.Array(exactly({ system: Type.String(), status: Type.String() })),
  incidents: Type.Array(Type.Never()),
  scheduled: Type.Array(Type.Never()),
});

/** What is constant: this machine as a region, its generation, its health, its versions. */
export function platformRoutes(routes: Routes, context: ApiContext, table: () => readonly RouteEntry[]): void {
  let made: HyperSchema | undefined; // once all routes are there
  const schema = () => (made ??= hyperSchema(table(), context.version));
  routes.account({ path: "GET /regions", response: Type.Array(Region), orderBy: ["name", "id"] }, () => [REGION_JSON]);
  routes.account({ path: "GET /regions/:region", response: Region }, ({ params }) => {
    regionNamed(params["region"] ?? "");
    return REGION_JSON;
  });
  const generation = { ...GENERATION, created_at: SINCE, updated_at: SINCE };
  routes.account({ path: "GET /generations", response: Type.Array(Generation), orderBy: ["name", "id"] }, () => [
    generation,
  ]);
  routes.account({ path: "GET /generations/:generation", response: Generation }, ({ params }) => {
    const wanted = params["generation"] ?? "";
    if (wanted === GENERATION.name || wanted === GENERATION.id) return generation;
    throw new PlatformError("not_found", `Couldn't find that generation (${wanted}).`, { resource: "generation" });
  });
  routes.open({ path: "GET /schema", response: Type.Unknown() }, () => schema());
  routes.open({ path: "GET /api/v4/current-status", response: Status }, () => ({
    status: ["Apps", "Data", "Tools"].map((system) => ({ system, status: "green" })),
    incidents: [],
    scheduled: [],
  }));
  routes.account(
    {
      path: "GET /stator/status",
      response: exactly({
        version: Type.String(),
        node: Type.String(),
        apps: Type.Integer(),
        dynos: exactly({ starting: Type.Integer(), up: Type.Integer(), crashed: Type.Integer() }),
      }),
    },
    () => statusOf(context),
  );
}

async function statusOf({ store, version }: ApiContext) {
  const dynos = { starting: 0, up: 0, crashed: 0 };
  const apps = await store.apps.list();
  for (const app of apps) {
    for (const { state } of await store.dynos.list(app.id)) {
      if (state === "starting" || state === "up" || state === "crashed") dynos[state]++;
    }
  }
  return { version, node: process.version, apps: apps.length, dynos };
}

const REGION_JSON = {
  country: "-",
  created_at: SINCE,
  description: "This machine",
  id: REGION.id,
  locale: "-",
  name: REGION.name,
  private_capable: false,
  provider: { name: "stator", region: "local" },
  updated_at: SINCE,
};

/** Throws for a region that is not there. */
export function regionNamed(name: string): void {
  if (name === REGION.name || name === constantId("region", REGION.name)) return;
  throw new PlatformError(
    "invalid_params",
    `Couldn't find that region (${name}). The only one is ${REGION.name}: this machine.`,
  );
}
