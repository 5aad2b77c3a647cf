import { isDeepStrictEqual } from "node:util";
import type { WebhookEntity } from "../model/webhook.ts";
import type { ChangedRow, NotedChange, Store, WebhookEvent } from "../store/store.ts";

/** How the platform is reached, for the URLs in payloads. */
export interface Addresses {
  readonly webUrl: (appName: string) => string;
  readonly gitUrl: (appName: string) => string;
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
  readonly currentReleaseId: string | null;
  readonly addresses: Addresses;
  readonly store: Reading;
}

type Reading = Pick<Store, "apps" | "users" | "releases" | "slugs">;

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
  const stack = { name: row["stack"] };
  return {
    archived_at: null,
    build_stack: stack,
    created_at: timeOf(row["created_at"]),
    git_url: addresses.gitUrl(name),
    id: row["id"],
    isolation: row["isolation"],
    maintenance: row["maintenance"] === 1,
    name,
    owner: await personOf(textOf(row["owner_id"]), store),
    region: { name: "us" },
    released_at: timeOf(row["released_at"]),
    space: null,
    stack,
    team: null,
    updated_at: timeOf(row["updated_at"]),
    web_url: addresses.webUrl(name),
  };
}

async function buildData(row: ChangedRow, { app, addresses, store }: Facts): Promise<Data> {
  const slugId = row["slug_id"];
  const slug = typeof slugId === "string" ? await store.slugs.byId(slugId) : undefined;
  const releaseId = row["release_id"];
  const release = typeof releaseId === "string" ? await store.releases.byId(releaseId) : undefined;
  const commit = row["commit_hash"];
  return {
    app,
    buildpacks: null,
    created_at: timeOf(row["created_at"]),
    id: row["id"],
    release: release ? { id: release.id, version: release.version } : null,
    slug: slug ? { id: slug.id, commit: slug.commit, commit_description: null } : null,
    source_blob: { checksum: null, url: addresses.gitUrl(app.name), version: commit, version_description: null },
    status: row["status"],
    updated_at: timeOf(row["updated_at"]),
    user: await personOf(textOf(row["user_id"]), store),
  };
}

async function releaseData(row: ChangedRow, { app, currentReleaseId, store }: Facts): Promise<Data> {
  const slugId = row["slug_id"];
  const slug = typeof slugId === "string" ? await store.slugs.byId(slugId) : undefined;
  return {
    app,
    created_at: timeOf(row["created_at"]),
    current: row["id"] === currentReleaseId,
    description: row["description"],
    failure: row["failure"],
    id: row["id"],
    output_stream_url: null,
    slug: slug ? { id: slug.id, commit: slug.commit, commit_description: null } : null,
    status: row["status"],
    updated_at: timeOf(row["updated_at"]),
    user: await personOf(textOf(row["user_id"]), store),
    version: row["version"],
  };
}

async function formationData(row: ChangedRow, { app, currentReleaseId, store }: Facts): Promise<Data> {
  const release = currentReleaseId === null ? undefined : await store.releases.byId(currentReleaseId);
  const slug = release?.slugId ? await store.slugs.byId(release.slugId) : undefined;
  const type = textOf(row["type"]);
  return {
    app,
    command: (slug && Object.hasOwn(slug.processTypes, type) ? slug.processTypes[type] : undefined) ?? "",
    created_at: timeOf(row["created_at"]),
    id: row["id"],
    quantity: row["quantity"],
    size: row["size"],
    type,
    updated_at: timeOf(row["updated_at"]),
  };
}

function domainData(row: ChangedRow, { app }: Facts): Data {
  return {
    acm_status: null,
    app,
    cname: row["kind"] === "heroku" ? null : row["hostname"],
    created_at: timeOf(row["created_at"]),
    hostname: row["hostname"],
    id: row["id"],
    kind: row["kind"],
    status: "none",
    updated_at: timeOf(row["updated_at"]),
  };
}

async function collaboratorData(row: ChangedRow, { app, store }: Facts): Promise<Data> {
  const permissions = JSON.parse(textOf(row["permissions"])) as readonly string[]; // as the store's queries write them
  return {
    app,
    created_at: timeOf(row["created_at"]),
    id: row["id"],
    permissions: permissions.map((name) => ({ name })),
    updated_at: timeOf(row["updated_at"]),
    user: await personOf(textOf(row["user_id"]), store),
  };
}

function sniEndpointData(row: ChangedRow, { app }: Facts): Data {
  return {
    app,
    certificate_chain: row["chain"],
    created_at: timeOf(row["created_at"]),
    display_name: null,
    id: row["id"],
    name: row["name"],
    ssl_cert: { acm: row["automatic"] === 1 },
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
    release: { id: row["release_id"], version: release?.version ?? null },
    size: row["size"],
    state: row["state"],
    type: row["type"],
    updated_at: timeOf(row["state_since"]),
  };
}

function exitStatusOf(exit: ChangedRow[string] | undefined): number | null {
  if (typeof exit !== "string") return null;
  return (JSON.parse(exit) as { readonly status: number | null }).status; // a `DynoRecord.exit`
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
