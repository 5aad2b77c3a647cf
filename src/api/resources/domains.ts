import Type from "typebox";
import type { App, Domain } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { ApiContext } from "../context.ts";
import type { AppCall, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, Named, nullable, Uuid } from "../schema.ts";

const DomainSchema = exactly({
  acm_status: nullable(Type.String()),
  acm_status_reason: nullable(Type.String()),
  app: Named,
  cname: nullable(Type.String()),
  created_at: DateTime,
  hostname: Type.String(),
  id: Uuid,
  kind: Type.Union([Type.Literal("heroku"), Type.Literal("custom")]),
  sni_endpoint: Type.Null(),
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
  const { store, supervision, config } = context;
  routes.app(
    { path: "GET /apps/:app/domains", needs: "view", response: Type.Array(DomainSchema), orderBy: ["id", "hostname"] },
    async ({ app }) => (await store.domains.list(app.id)).map((domain) => domainJson(domain, app, config.domain)),
  );
  routes.app({ path: "GET /apps/:app/domains/:domain", needs: "view", response: DomainSchema }, async (call) =>
    domainJson(await domainNamed(call), call.app, config.domain),
  );
  routes.app(
    { path: "POST /apps/:app/domains", needs: "operate", body: CreateBody, response: DomainSchema, status: 201 },
    async ({ app, body, tell }) => {
      refuseCertificate(body.sni_endpoint);
      const hostname = body.hostname.toLowerCase().replace(/\.$/, "");
      tell({ hostname: hostname.slice(0, 300) });
      refuseOurs(hostname, config.domain);
      const domain = await store.transaction(async (inside) => {
        if ((await inside.domains.list(app.id)).length > DOMAINS_MAX) {
          throw new PlatformError(
            "invalid_params",
            `${app.name} has ${DOMAINS_MAX} custom domains, and cannot have more.`,
          );
        }
        return inside.domains.add({ appId: app.id, hostname, kind: "custom" });
      });
      supervision.nudge(app.id);
      return domainJson(domain, app, config.domain);
    },
  );
  routes.app(
    { path: "PATCH /apps/:app/domains/:domain", needs: "operate", body: ChangeBody, response: DomainSchema },
    async (call) => {
      refuseCertificate(call.body.sni_endpoint);
      return domainJson(await domainNamed(call), call.app, config.domain);
    },
  );
  routes.app({ path: "DELETE /apps/:app/domains/:domain", needs: "operate", response: DomainSchema }, async (call) => {
    const domain = await domainNamed(call);
    if (domain.kind === "heroku") {
      throw new PlatformError("invalid_params", `${domain.hostname} is the app's own name, and cannot be removed.`);
    }
    await store.domains.remove(domain.id);
    supervision.nudge(call.app.id);
    return domainJson(domain, call.app, config.domain);
  });

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

function refuseCertificate(endpoint: string | null | undefined): void {
  if (endpoint === null || endpoint === undefined) return;
  throw new PlatformError(
    "invalid_params",
    `Couldn't find that SNI endpoint (${endpoint}): there are no certificates of your own here yet.`,
  );
}

function domainJson(domain: Domain, app: App, ownDomain: string) {
  return {
    acm_status: null,
    acm_status_reason: null,
    app: { id: app.id, name: app.name },
    cname: domain.kind === "heroku" ? null : `${app.name}.${ownDomain}`,
    created_at: dateTime(domain.createdAt),
    hostname: domain.hostname,
    id: domain.id,
    kind: domain.kind,
    sni_endpoint: null,
    status: "none",
    updated_at: dateTime(domain.updatedAt),
  };
}
