import type { AcmState, AcmStatus } from "../../model/acm.ts";
import type { SniEndpoint } from "../../model/certificate.ts";
import { PlatformError } from "../../model/errors.ts";
import type { CertificateStore } from "../certificates.ts";
import type { AcmDomainRow, SniEndpointRow } from "../tables.ts";
import { newId, type Work } from "../work.ts";
import { domainOf } from "./domains.ts";
import { found } from "./missing.ts";

/** Of an app. */
const ENDPOINTS_MAX = 1100;

export function certificateQueries(work: Work): CertificateStore {
  const { secrets, clock } = work;
  return {
    list: (appId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("sni_endpoints").selectAll().where("app_id", "=", appId);
        return (await rows.orderBy("name").execute()).map(endpointOf);
      }),
    listAll: () =>
      work.read(async (db) =>
        (await db.selectFrom("sni_endpoints").selectAll().orderBy("app_id").orderBy("name").execute()).map(endpointOf),
      ),
    key: (id) =>
      work.read(async (db) => {
        const row = await db.selectFrom("sni_endpoints").select("sealed").where("id", "=", id).executeTakeFirst();
        return secrets.open(found(row, "SNI endpoint").sealed, keyPlace(id));
      }),
    create: ({ appId, isAutomatic, chain, key, given = null }) =>
      work.write(async (db, touch) => {
        const names = await db.selectFrom("sni_endpoints").select("name").where("app_id", "=", appId).execute();
        if (names.length >= ENDPOINTS_MAX)
          throw new PlatformError("invalid_params", `At most ${ENDPOINTS_MAX} certificates for an app.`);
        const id = newId(work);
        const now = clock.now();
        const row: SniEndpointRow = {
          id,
          app_id: appId,
          name: freeName(work, new Set(names.map(({ name }) => name))),
          automatic: Number(isAutomatic),
          chain,
          given,
          sealed: secrets.seal(key, keyPlace(id)),
          created_at: now,
          updated_at: now,
        };
        await db.insertInto("sni_endpoints").values(row).execute();
        touch(appId);
        return endpointOf(row);
      }),
    update: (id, { chain, key, isAutomatic, given = null }) =>
      work.write(async (db, touch) => {
        const sealed = secrets.seal(key, keyPlace(id));
        const change = { chain, given, sealed, automatic: Number(isAutomatic), updated_at: clock.now() };
        const changed = db.updateTable("sni_endpoints").set(change).where("id", "=", id).returningAll();
        const row = found(await changed.executeTakeFirst(), "SNI endpoint");
        touch(row.app_id);
        return endpointOf(row);
      }),
    remove: (id) =>
      work.write(async (db, touch) => {
        const row = await db.deleteFrom("sni_endpoints").where("id", "=", id).returning("app_id").executeTakeFirst();
        if (row) touch(row.app_id);
      }),
    bind: (domainId, endpointId) =>
      work.write(async (db, touch) => {
        const change = { sni_endpoint_id: endpointId, updated_at: clock.now() };
        const changed = db.updateTable("domains").set(change).where("id", "=", domainId).returning("app_id");
        touch(found(await changed.executeTakeFirst(), "domain").app_id);
      }),

    isAutomatic: (appId) =>
      work.read(
        async (db) =>
          (await db.selectFrom("acm_apps").select("app_id").where("app_id", "=", appId).executeTakeFirst()) !==
          undefined,
      ),
    automaticDomains: () =>
      work.read(async (db) => {
        const rows = db.selectFrom("domains").innerJoin("acm_apps", "acm_apps.app_id", "domains.app_id");
        return (await rows.selectAll("domains").orderBy("domains.hostname").execute()).map(domainOf);
      }),
    setAutomatic: (appId, isOn) =>
      work.write(async (db, touch) => {
        touch(appId);
        await db.deleteFrom("acm_apps").where("app_id", "=", appId).execute();
        if (isOn) {
          await db.insertInto("acm_apps").values({ app_id: appId, created_at: clock.now() }).execute();
          return;
        }
        await db.deleteFrom("sni_endpoints").where("app_id", "=", appId).where("automatic", "=", 1).execute();
        const domains = db.selectFrom("domains").select("id").where("app_id", "=", appId);
        await db.deleteFrom("acm_domains").where("domain_id", "in", domains).execute();
      }),

    states: () => work.read(async (db) => (await db.selectFrom("acm_domains").selectAll().execute()).map(stateOf)),
    setState: (state) =>
      work.write(async (db) => {
        const row = {
          hostname: state.hostname,
          status: state.status,
          reason: state.reason,
          failures: state.failures,
          next_at: state.nextAt,
          order_url: state.orderUrl,
          updated_at: clock.now(),
          ...(state.orderUrl === null && { sealed: null }), // it was for that order
        };
        await db
          .insertInto("acm_domains")
          .values({ sealed: null, ...row, domain_id: state.domainId })
          .onConflict((conflict) => conflict.column("domain_id").doUpdateSet(row))
          .execute();
      }),
    clearState: (domainId) =>
      work.write(async (db) => {
        await db.deleteFrom("acm_domains").where("domain_id", "=", domainId).execute();
      }),
    orderKey: (domainId) =>
      work.read(async (db) => {
        const rows = db.selectFrom("acm_domains").select("sealed").where("domain_id", "=", domainId);
        const sealed = (await rows.executeTakeFirst())?.sealed ?? null;
        return sealed === null ? undefined : secrets.open(sealed, orderPlace(domainId));
      }),
    setOrderKey: (domainId, key) =>
      work.write(async (db) => {
        const sealed = secrets.seal(key, orderPlace(domainId));
        await db.updateTable("acm_domains").set({ sealed }).where("domain_id", "=", domainId).execute();
      }),

    account: (directory) =>
      work.read(async (db) => {
        const rows = db.selectFrom("acme_accounts").selectAll().where("directory", "=", directory);
        const row = await rows.executeTakeFirst();
        if (row === undefined) return undefined;
        const key = secrets.open(row.sealed, accountPlace(directory));
        return { key, url: row.url, pausedUntil: row.paused_until };
      }),
    setAccount: (directory, { key, url, pausedUntil }) =>
      work.write(async (db) => {
        const row = { sealed: secrets.seal(key, accountPlace(directory)), url, paused_until: pausedUntil };
        await db
          .insertInto("acme_accounts")
          .values({ ...row, directory })
          .onConflict((conflict) => conflict.column("directory").doUpdateSet(row))
          .execute();
      }),
    pause: (directory, until) =>
      work.write(async (db) => {
        const change = { paused_until: until };
        await db.updateTable("acme_accounts").set(change).where("directory", "=", directory).execute();
      }),
  };
}

/** `cert-48213`: a number that the app has not. */
function freeName({ random }: Work, taken: ReadonlySet<string>): string {
  for (;;) {
    const name = `cert-${10_000 + (Buffer.from(random(4)).readUInt32BE() % 90_000)}`;
    if (!taken.has(name)) return name;
  }
}

const keyPlace = (id: string): string => `sni_endpoints/${id}`;
const orderPlace = (domainId: string): string => `acm_domains/${domainId}`;
const accountPlace = (directory: string): string => `acme_accounts/${directory}`;

function endpointOf(row: SniEndpointRow): SniEndpoint {
  return {
    id: row.id,
    appId: row.app_id,
    name: row.name,
    isAutomatic: row.automatic === 1,
    chain: row.chain,
    given: row.given,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function stateOf(row: AcmDomainRow): AcmState {
  return {
    domainId: row.domain_id,
    hostname: row.hostname,
    status: row.status as AcmStatus, // written above
    reason: row.reason,
    failures: row.failures,
    nextAt: row.next_at,
    orderUrl: row.order_url,
    updatedAt: row.updated_at,
  };
}
