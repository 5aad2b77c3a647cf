import Type from "typebox";
import { type BuildpackRef, OWN_BUILDPACKS, parseBuildpacks } from "../../model/buildpack.ts";
import { PlatformError } from "../../model/errors.ts";
import type { ApiContext } from "../context.ts";
import type { Routes } from "../route.ts";
import { constantId, exactly } from "../schema.ts";

const Installation = exactly({
  buildpack: exactly({ name: Type.String(), url: Type.String() }),
  ordinal: Type.Integer(),
});
const Body = Type.Object({
  // Without a buildpack: the official CLI was told that there is none of that name, and goes on.
  updates: Type.Array(Type.Object({ buildpack: Type.Optional(Type.String({ maxLength: 2000 })) }), { maxItems: 100 }),
});

/** The buildpacks that an app's next builds take, and what stands in for Heroku's registry of them. */
export function buildpackRoutes(routes: Routes, { store }: ApiContext): void {
  const path = "/apps/:app/buildpack-installations";
  routes.app(
    { path: `GET ${path}`, needs: "view", response: Type.Array(Installation), orderBy: ["ordinal"] },
    async ({ app }) => (await store.buildpacks.list(app.id)).map(installationJson),
  );
  routes.app(
    { path: `PUT ${path}`, needs: "deploy", power: "write", body: Body, response: Type.Array(Installation) },
    async ({ app, body }) => {
      const buildpacks = parseBuildpacks(body.updates.map(({ buildpack = "" }) => buildpack));
      await store.buildpacks.replace(app.id, buildpacks);
      return buildpacks.map(installationJson);
    },
  );
  registryRoutes(routes);
}

function installationJson({ url, name }: BuildpackRef, ordinal: number) {
  return { buildpack: { name, url }, ordinal };
}

const RegistryEntry = exactly({
  blob_url: Type.String(),
  category: Type.String(),
  created_at: Type.String(),
  description: Type.String(),
  id: Type.String(),
  logo: Type.Null(),
  name: Type.String(),
  namespace: Type.String(),
  source: exactly({ owner: Type.String(), repo: Type.String(), type: Type.String() }),
  support: exactly({ address: Type.Null(), method: Type.Literal("unsupported") }),
  two_factor_authentication: Type.Literal(false),
  updated_at: Type.String(),
});
const Revision = exactly({
  buildpack_id: Type.String(),
  checksum: Type.String(),
  created_at: Type.String(),
  id: Type.String(),
  license: Type.String(),
  release: Type.Integer(),
  status: Type.Literal("published"),
  updated_at: Type.String(),
});
const SINCE = "2026-01-01T00:00:00Z";

/** What `buildpacks:search`, `:info` and `:versions` ask Heroku's registry, and find here: the platform's own. No token is sent. */
function registryRoutes(routes: Routes): void {
  routes.open({ path: "GET /buildpacks", response: Type.Array(RegistryEntry) }, ({ query }) =>
    OWN_BUILDPACKS.filter((own) => isWanted(own, query)).map(entryJson),
  );
  routes.open({ path: "GET /buildpacks/:buildpack", response: RegistryEntry }, ({ params }) => entryJson(own(params)));
  routes.open({ path: "GET /buildpacks/:buildpack/revisions", response: Type.Array(Revision) }, ({ params }) => [
    revisionJson(own(params)),
  ]);
  routes.open(
    {
      path: "GET /buildpacks/:buildpack/readme",
      response: exactly({ content: Type.String(), encoding: Type.String() }),
    },
    ({ params }) => ({ content: Buffer.from(own(params).description).toString("base64"), encoding: "base64" }),
  );
}

type Own = (typeof OWN_BUILDPACKS)[number];

function own(params: Readonly<Record<string, string>>): Own {
  const found = OWN_BUILDPACKS.find(({ name }) => name === params["buildpack"]);
  if (found) return found;
  const names = OWN_BUILDPACKS.map(({ name }) => name).join(" and ");
  throw new PlatformError("not_found", `This platform's own buildpacks are ${names}; others are set by address.`, {
    resource: "buildpack",
  });
}

/** `in[namespace][]=heroku`, `in[name][]=nodejs`, `like[description]=node`: the last of each counts. */
function isWanted({ name, description }: Own, query: Readonly<Record<string, unknown>>): boolean {
  const [namespace, short] = name.split("/");
  const among = (key: string, value: string | undefined) => {
    const wanted = query[key];
    return wanted === undefined || (Array.isArray(wanted) ? wanted : [wanted]).includes(value);
  };
  const words = query["like[description]"];
  const isDescribed = typeof words !== "string" || description.toLowerCase().includes(words.toLowerCase());
  return among("in[namespace][]", namespace) && among("in[name][]", short) && isDescribed;
}

function entryJson({ name, description }: Own) {
  const [namespace = "", short = ""] = name.split("/");
  return {
    blob_url: `urn:buildpack:${name}`,
    category: "languages",
    created_at: SINCE,
    description,
    id: constantId("buildpack", name),
    logo: null,
    name: short,
    namespace,
    source: { owner: "stator", repo: "stator", type: "platform" },
    support: { address: null, method: "unsupported" as const },
    two_factor_authentication: false as const,
    updated_at: SINCE,
  };
}

function revisionJson({ name }: Own) {
  const id = constantId("buildpack", name);
  return {
    buildpack_id: id,
    checksum: "",
    created_at: SINCE,
    id: constantId("buildpack-revision", name),
    license: "Apache-2.0",
    release: 1,
    status: "published" as const,
    updated_at: SINCE,
  };
}
