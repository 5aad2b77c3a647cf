import Type from "typebox";
import { acmShown } from "../../model/acm.ts";
import type { App, Domain } from "../../model/app.ts";
import { covers, factsOf, type SniEndpoint } from "../../model/certificate.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Store } from "../../store/store.ts";
import type { ApiContext } from "../context.ts";
import type { AppCall, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, Named, nullable, Uuid } from "../schema.ts";
import { endpointNamed, refuseUncovered } from "./sni-endpoints.ts";

const DomainSchema = exactly({
  acm_status: nullable(Type.String()),
  acm_status_reason: nullable(Type.String()),
  app: Named,
  cname: nullable(Type.String()),
  created_at: DateTime,
  hostname: Type.String(),
  id: Uuid,
  kind: Type.Union([Type.Literal("heroku"), Type.Literal("custom")]),
  sni_endpoint: nullable(Named),
  status: Type.String(),
  updated_at: DateTime,
});

const CreateBody = Type.Object({
  hostname: Type.String(),
  sni_endpoint: Type.Optional(nullable(Type.String())),
});
const ChangeBody = Type.Object({ sni_endpoint: Type.Optional(nullable(Type.String())) });
const DOMAINS_MAX = 1000;

export function domainRoutes(routes: Routes, context: ApiContext): void {
  const { store, supervision, certificates } = context;
  routes.app(
    { path: "GET /apps/:app/domains", needs: "view", response: Type.Array(DomainSchema), orderBy: ["id", "hostname"] },
    async ({ app }) => jsonOf(await store.domains.list(app.id), app),
  );
  routes.app({ path: "GET /apps/:app/domains/:domain", needs: "view", response: DomainSchema }, async (call) =>
    one(await domainNamed(call), call.app),
  );
  routes.app(
    { path: "POST /apps/:app/domains", needs: "operate", body: CreateBody, response: DomainSchema, status: 201 },
    async ({ app, body, tell }) => {
      const hostname = body.hostname.toLowerCase().replace(/\.$/, "");
      tell({ hostname: hostname.slice(0, 300) });
      refuseOurs(hostname, context.config.domain);
      const domain = await store.transaction(async (inside) => {
        if ((await inside.domains.list(app.id)).length > DOMAINS_MAX) {
          throw new PlatformError(
            "invalid_params",
            `${app.name} has ${DOMAINS_MAX} custom domains, and cannot have more.`,
          );
        }
        const endpoint = await endpointFor(hostname, app, body.sni_endpoint ?? null, inside);
        const made = await inside.domains.add({ appId: app.id, hostname, kind: "custom" });
        if (endpoint !== undefined) await inside.certificates.bind(made.id, endpoint.id);
        return { ...made, sniEndpointId: endpoint?.id ?? null };
      });
      supervision.nudge(app.id);
      await certificates.settle(app.id);
      return one(domain, app);
    },
  );
  routes.app(
    { path: "PATCH /apps/:app/domains/:domain", needs: "operate", body: ChangeBody, response: DomainSchema },
    async (call) => {
      const { app, body } = call;
      const { id, hostname } = await domainNamed(call);
      const wanted = body.sni_endpoint;
      if (wanted !== undefined) {
        await store.transaction(async (inside) => {
          // Terraform's provider says "" for none.
          const endpoint = wanted === null || wanted === "" ? null : await endpointNamed(inside, app, wanted, "body");
          if (endpoint !== null) refuseUncovered(endpoint, hostname);
          await inside.certificates.bind(id, endpoint?.id ?? null);
        });
        await certificates.settle(app.id);
      }
      return one(await domainNamed(call), app);
    },
  );
  routes.app({ path: "DELETE /apps/:app/domains/:domain", needs: "operate", response: DomainSchema }, async (call) => {
    const domain = await domainNamed(call);
    if (domain.kind === "heroku") {
      throw new PlatformError("invalid_params", `${domain.hostname} is the app's own name, and cannot be removed.`);
    }
    const answer = await one(domain, call.app);
    await store.domains.remove(domain.id);
    supervision.nudge(call.app.id);
    await certificates.settle(call.app.id);
    return answer;
  });

  async function one(domain: Domain, app: App) {
    const [json] = await jsonOf([domain], app);
    if (json === undefined) throw new Error("one domain gives one answer");
    return json;
  }

  async function jsonOf(domains: readonly Domain[], app: App) {
    const endpoints = await store.certificates.list(app.id);
    const isAutomatic = await store.certificates.isAutomatic(app.id);
    const states = isAutomatic ? await store.certificates.states() : [];
    return domains.map((domain) => {
      const endpoint = endpoints.find(({ id }) => id === domain.sniEndpointId);
      const state = states.find(({ domainId }) => domainId === domain.id);
      const { hostname, kind } = domain;
      const isOurs = isAutomatic && endpoint?.isAutomatic !== false;
      return {
        ...domainJson(domain, app, context.config.domain),
        ...acmShown({ hostname, isOwn: kind === "heroku", isAutomatic: isOurs, state }),
        sni_endpoint: endpoint ? { id: endpoint.id, name: endpoint.name } : null,
      };
    });
  }

  async function domainNamed({ app, params }: AppCall): Promise<Domain> {
    const wanted = (params["domain"] ?? "").toLowerCase();
    const found = (await store.domains.list(app.id)).find((each) => each.id === wanted || each.hostname === wanted);
    if (found) return found;
    throw new PlatformError("not_found", `Couldn't find that domain name (${wanted}).`, { resource: "domain" });
  }
}

/** Names below the platform's own domain belong to the apps that are, or will be, called so. */
function refuseOurs(hostname: string, domain: string): void {
  if (hostname !== domain && !hostname.endsWith(`.${domain}`)) return;
  throw new PlatformError("invalid_params", `${hostname} cannot be added: names below ${domain} are the apps' own.`);
}

/** What was asked for; or, when nothing was, the only certificate that was uploaded, if it is for this name. */
async function endpointFor(
  hostname: string,
  app: App,
  wanted: string | null,
  store: Pick<Store, "certificates">,
): Promise<SniEndpoint | undefined> {
  if (wanted !== null) {
    const endpoint = await endpointNamed(store, app, wanted, "body");
    refuseUncovered(endpoint, hostname);
    return endpoint;
  }
  const [only, ...more] = (await store.certificates.list(app.id)).filter(({ isAutomatic }) => !isAutomatic);
  return only !== undefined && more.length === 0 && covers(factsOf(only.chain).names, hostname) ? only : undefined;
}

function domainJson(domain: Domain, app: App, ownDomain: string) {
  return {
    app: { id: app.id, name: app.name },
    cname: domain.kind === "heroku" ? null : `${app.name}.${ownDomain}`,
    created_at: dateTime(domain.createdAt),
    hostname: domain.hostname,
    id: domain.id,
    kind: domain.kind,
    status: "none",
    updated_at: dateTime(domain.updatedAt),
  };
}
