import type { Domain } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { DomainStore } from "../store.ts";
import type { Database, DomainRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";

const LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?";
const HOSTNAME = new RegExp(`^(\\*\\.)?${LABEL}(\\.${LABEL})+$`);

export function domainQueries(work: Work): DomainStore {
  return {
    list: (appId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("domains").selectAll().where("app_id", "=", appId);
        return (await rows.orderBy("kind", "desc").orderBy("hostname").execute()).map(domainOf);
      }),
    add: (domain) =>
      work.write(async (db, touch) => {
        touch(domain.appId);
        return insertDomain(work, db, domain);
      }),
    remove: (id) =>
      work.write(async (db, touch) => {
        const row = await db.deleteFrom("domains").where("id", "=", id).returning("app_id").executeTakeFirst();
        if (row) touch(row.app_id);
      }),
  };
}

/** Throws `invalid_params` for what is no host name, or belongs to an app already. */
export async function insertDomain(
  work: Work,
  db: Database,
  domain: { readonly appId: string; readonly hostname: string; readonly kind: "heroku" | "custom" },
): Promise<Domain> {
  const hostname = domain.hostname.toLowerCase();
  if (hostname.length > 253 || !HOSTNAME.test(hostname)) {
    throw new PlatformError("invalid_params", `${domain.hostname} is not a host name.`);
  }
  await refuseTaken(db, hostname);
  const now = work.clock.now();
  const row: DomainRow = {
    id: newId(work),
    app_id: domain.appId,
    hostname,
    kind: domain.kind,
    created_at: now,
    updated_at: now,
    sni_endpoint_id: null,
  };
  await db.insertInto("domains").values(row).execute();
  return domainOf(row);
}

/** Throws `invalid_params` when an app has this host name. */
export async function refuseTaken(db: Database, hostname: string): Promise<void> {
  const taken = await db.selectFrom("domains").select("id").where("hostname", "=", hostname).executeTakeFirst();
  if (taken) throw new PlatformError("invalid_params", `${hostname} is currently in use by another app.`);
}

export function domainOf(row: DomainRow): Domain {
  return {
    id: row.id,
    appId: row.app_id,
    hostname: row.hostname,
    kind: row.kind,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    sniEndpointId: row.sni_endpoint_id,
  };
}
