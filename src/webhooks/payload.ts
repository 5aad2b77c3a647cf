import { isDeepStrictEqual } from "node:util";
import { constantRef } from "../lib/constant-id.ts";
import { acmShown } from "../model/acm.ts";
import type { BuildpackRef } from "../model/buildpack.ts";
import { shownCertificate } from "../model/certificate.ts";
import { PERMISSION_DESCRIPTIONS, type Permission } from "../model/permission.ts";
import type { BuildSource } from "../model/release.ts";
import type { WebhookEntity } from "../model/webhook.ts";
import type { ChangedRow, NotedChange, Store, WebhookEvent } from "../store/store.ts";

/** How the platform is reached, for the URLs in payloads. */
export interface Addresses {
  readonly webUrl: (appName: string) => string;
  readonly gitUrl: (appName: string) => string;
  /** The app's own host name. */
  readonly hostname: (appName: string) => string;
  /** Where what a build or a release command said is read, without a token, as long as a delivery may take. */
  readonly outputUrl: (kind: "build" | "release", id: string) => string;
}

type News = Pick<WebhookEvent, "include" | "payload">;
type Data = Readonly<Record<string, unknown>>;

/** What an event's `resource` is called, which entities tell of it, and its `data`: as the API shows it. */
interface Kind {
  readonly resource: string;
  readonly entities: readonly WebhookEntity[];
  readonly data: (row: ChangedRow, facts: Facts) => Promise<Data> | Data;
}

interface Facts {
  readonly app: { readonly id: string; readonly name: string };
  readonly stack: string | null;
  readonly currentReleaseId: string | null;
  readonly addresses: Addresses;
  readonly store: Reading;
}

type Reading = Pick<Store, "apps" | "users" | "releases" | "slugs" | "domains" | "certificates">;

const GENERATION = constantRef("generation", "cedar");
const REGION = constantRef("region", "us");
/** Heroku's. */
const VERSION = "application/vnd.heroku+json; version=3";

/** The events of a change that was noted, one for each entity; `store` is that of the transaction which makes them. */
export async function eventsOf(change: NotedChange, store: Reading, addresses: Addresses): Promise<readonly News[]> {
  const kind = KINDS[change.kind];
  if (kind === undefined) return [];
  const app = await store.apps.byId(change.appId);
  const name = app?.name ?? textOf(change.kind === "apps" ? change.row["name"] : null);
  const facts: Facts = {
    app: { id: change.appId, name },
    stack: app?.stack ?? null,
    currentReleaseId: app?.currentReleaseId ?? null,
    addresses,
    store,
  };
  const data = await kind.data(change.row, facts);
  const previous = change.before === null ? {} : differing(await kind.data(change.before, facts), data);
  const maker = change.kind === "collaborators" ? undefined : change.row["user_id"];
  const actorId = change.actorId ?? textOf(maker ?? change.row["owner_id"] ?? app?.ownerId);
  const payload = {
    action: change.action,
    actor: await personOf(actorId, store),
    data,
    previous_data: previous,
    published_at: new Date(change.at).toISOString(),
    resource: kind.resource,
    sequence: null,
    version: VERSION,
  };
  return kind.entities.map((include) => ({ include, payload }));
}

const KINDS: Readonly<Record<string, Kind>> = {
  apps: { resource: "app", entities: ["api:app"], data: appData },
  builds: { resource: "build", entities: ["api:build"], data: buildData },
  releases: { resource: "release", entities: ["api:release"], data: releaseData },
  formation: { resource: "formation", entities: ["api:formation"], data: formationData },
  domains: { resource: "domain", entities: ["api:domain"], data: domainData },
  collaborators: { resource: "collaborator", entities: ["api:collaborator"], data: collaboratorData },
  sni_endpoints: { resource: "sni-endpoint", entities: ["api:sni-endpoint"], data: sniEndpointData },
  dynos: { resource: "dyno", entities: ["api:dyno", "dyno"], data: dynoData },
};

async function appData(row: ChangedRow, { addresses, store }: Facts): Promise<Data> {
  const name = textOf(row["name"]);
  const stack = constantRef("stack", textOf(row["stack"]));
  const facts = await store.apps.facts(textOf(row["id"])); // none of what is gone
  return {
    acm: facts?.isAutomatic ?? false,
    archived_at: null,
    build_stack: stack,
    buildpack_provided_description: facts?.slug?.buildpackDescription ?? null,
    create_status: "complete",
    created_at: timeOf(row["created_at"]),
    generation: GENERATION,
    git_url: addresses.gitUrl(name),
    id: row["id"],
    internal_routing: null,
    isolation: row["isolation"],
    maintenance: row["maintenance"] === 1,
    name,
    organization: null,
    owner: await personOf(textOf(row["owner_id"]), store),
    process_tier: "basic",
    region: REGION,
    released_at: timeOf(row["released_at"]),
    repo_migrated: true,
    repo_size: facts?.repoBytes ?? null,
    slug_size: facts?.slug?.sizeBytes ?? null,
    space: null,
    stack,
    team: null,
    updated_at: timeOf(row["updated_at"]),
    web_url: addresses.webUrl(name),
  };
}

async function buildData(row: ChangedRow, { app, stack, addresses, store }: Facts): Promise<Data> {
  const releaseId = row["release_id"];
  const release = typeof releaseId === "string" ? await store.releases.byId(releaseId) : undefined;
  const source = jsonOf<BuildSource>(row["source"]);
  return {
    app,
    buildpacks: jsonOf<readonly BuildpackRef[]>(row["buildpacks"])?.map(({ name, url }) => ({ name, url })) ?? null,
    created_at: timeOf(row["created_at"]),
    generation: GENERATION.name,
    id: row["id"],
    output_stream_url: addresses.outputUrl("build", textOf(row["id"])),
    release: release ? { id: release.id, version: release.version } : null,
    slug: await slugOf(row["slug_id"], store),
    source_blob: {
      checksum: source?.checksum ?? null,
      url: source?.url ?? addresses.gitUrl(app.name),
      version: row["commit_hash"],
      version_description: source?.versionDescription ?? null,
    },
    stack,
    status: row["status"],
    updated_at: timeOf(row["updated_at"]),
    user: await personOf(textOf(row["user_id"]), store),
  };
}

async function releaseData(row: ChangedRow, { app, currentReleaseId, addresses, store }: Facts): Promise<Data> {
  const hasCode = row["slug_id"] !== null;
  return {
    addon_plan_names: [],
    app,
    artifacts: hasCode ? [{ type: "slug", id: row["slug_id"] }] : [],
    created_at: timeOf(row["created_at"]),
    current: row["id"] === currentReleaseId,
    description: row["description"],
    eligible_for_rollback: hasCode && (row["status"] === "succeeded" || row["status"] === "pending"),
    failure: row["failure"],
    id: row["id"],
    oci_image: null,
    output_stream_url: row["phase"] === null ? null : addresses.outputUrl("release", textOf(row["id"])),
    slug: await slugOf(row["slug_id"], store),
    status: row["status"],
    updated_at: timeOf(row["updated_at"]),
    user: await personOf(textOf(row["user_id"]), store),
    version: row["version"],
  };
}

async function slugOf(id: ChangedRow[string] | undefined, { slugs }: Reading): Promise<Data | null> {
  const slug = typeof id === "string" ? await slugs.byId(id) : undefined;
  return slug ? { id: slug.id, commit: slug.commit, commit_description: slug.commitDescription } : null;
}

async function formationData(row: ChangedRow, { app, currentReleaseId, store }: Facts): Promise<Data> {
  const release = currentReleaseId === null ? undefined : await store.releases.byId(currentReleaseId);
  const slug = release?.slugId ? await store.slugs.byId(release.slugId) : undefined;
  const type = textOf(row["type"]);
  return {
    app,
    command: (slug && Object.hasOwn(slug.processTypes, type) ? slug.processTypes[type] : undefined) ?? "",
    created_at: timeOf(row["created_at"]),
    dyno_size: constantRef("dyno-size", textOf(row["size"])),
    id: row["id"],
    quantity: row["quantity"],
    size: row["size"],
    type,
    updated_at: timeOf(row["updated_at"]),
  };
}

async function domainData(row: ChangedRow, { app, addresses, store }: Facts): Promise<Data> {
  const isOwn = row["kind"] === "heroku";
  const endpoint = (await store.certificates.list(app.id)).find(({ id }) => id === row["sni_endpoint_id"]);
  const isAutomatic = (await store.certificates.isAutomatic(app.id)) && endpoint?.isAutomatic !== false;
  const state = (isAutomatic ? await store.certificates.states() : []).find(({ domainId }) => domainId === row["id"]);
  return {
    ...acmShown({ hostname: textOf(row["hostname"]), isOwn, isAutomatic, state }),
    app,
    cname: isOwn ? null : addresses.hostname(app.name),
    created_at: timeOf(row["created_at"]),
    hostname: row["hostname"],
    id: row["id"],
    kind: row["kind"],
    sni_endpoint: endpoint ? { id: endpoint.id, name: endpoint.name } : null,
    status: "none",
    updated_at: timeOf(row["updated_at"]),
  };
}

async function collaboratorData(row: ChangedRow, { app, store }: Facts): Promise<Data> {
  const permissions = jsonOf<readonly Permission[]>(row["permissions"]) ?? [];
  const user = await personOf(textOf(row["user_id"]), store);
  return {
    app,
    created_at: timeOf(row["created_at"]),
    id: row["id"],
    permissions: permissions.map((name) => ({ name, description: PERMISSION_DESCRIPTIONS[name] })),
    role: null,
    updated_at: timeOf(row["updated_at"]),
    user: { ...user, federated: false },
  };
}

async function sniEndpointData(row: ChangedRow, { app, store }: Facts): Promise<Data> {
  const domains = await store.domains.list(app.id);
  const id = textOf(row["id"]);
  return {
    app,
    certificate_chain: row["given"] ?? row["chain"],
    created_at: timeOf(row["created_at"]),
    display_name: null,
    domains: domains.filter(({ sniEndpointId }) => sniEndpointId === id).map((domain) => domain.id),
    id,
    name: row["name"],
    ssl_cert: shownCertificate({ id, chain: textOf(row["chain"]), isAutomatic: row["automatic"] === 1 }),
    updated_at: timeOf(row["updated_at"]),
  };
}

async function dynoData(row: ChangedRow, { app, store }: Facts): Promise<Data> {
  const release = await store.releases.byId(textOf(row["release_id"]));
  return {
    app,
    attach_url: null,
    command: row["command"],
    created_at: timeOf(row["created_at"]),
    exit_status: exitStatusOf(row["exit"]),
    id: row["id"],
    name: row["name"],
    next_start_at: null, // decided after this was told
    ready: row["ready"] !== 0,
    release: { id: row["release_id"], version: release?.version ?? null },
    size: row["size"],
    state: row["state"],
    type: row["type"],
    updated_at: timeOf(row["state_since"]),
  };
}

function exitStatusOf(exit: ChangedRow[string] | undefined): number | null {
  return jsonOf<{ readonly status: number | null }>(exit)?.status ?? null;
}

/** As the store's queries write it; null: it is not there. */
function jsonOf<T>(value: ChangedRow[string] | undefined): T | null {
  return typeof value === "string" ? (JSON.parse(value) as T) : null;
}

/** What of `before` is not as it is now. */
function differing(before: Data, now: Data): Data {
  return Object.fromEntries(Object.entries(before).filter(([key, value]) => !isDeepStrictEqual(value, now[key])));
}

async function personOf(id: string, { users }: Reading): Promise<{ readonly email: string; readonly id: string }> {
  return { email: (await users.byId(id))?.email ?? "", id };
}

/** UTC, whole seconds, as the API has it. */
function timeOf(at: ChangedRow[string] | undefined): string | null {
  return typeof at === "number" ? `${new Date(at).toISOString().slice(0, 19)}Z` : null;
}

function textOf(value: ChangedRow[string] | undefined): string {
  return typeof value === "string" ? value : "";
}
