import Type, { type Static } from "typebox";
import { EngineError } from "../../engine/engine.ts";
import type { App, Domain } from "../../model/app.ts";
import { checkPair, covers, factsOf, type SniEndpoint, shownCertificate } from "../../model/certificate.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Store } from "../../store/store.ts";
import type { ApiContext } from "../context.ts";
import type { AppCall, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, Named, nullable, Uuid } from "../schema.ts";

const Endpoint = exactly({
  app: Named,
  certificate_chain: Type.String(),
  created_at: DateTime,
  display_name: nullable(Type.String()),
  domains: Type.Array(Uuid),
  id: Uuid,
  name: Type.String(),
  ssl_cert: exactly({
    acm: Type.Boolean(),
    "ca_signed?": Type.Boolean(),
    cert_domains: Type.Array(Type.String()),
    expires_at: DateTime,
    id: Uuid,
    issuer: Type.String(),
    "self_signed?": Type.Boolean(),
    starts_at: DateTime,
    subject: Type.String(),
  }),
  updated_at: DateTime,
});
const Body = Type.Object({ certificate_chain: Type.String(), private_key: Type.String() });

/** Certificates that were uploaded, and those that the platform got (ACM). */
export function sniEndpointRoutes(routes: Routes, context: ApiContext): void {
  const { store, certificates, clock } = context;

  routes.app(
    { path: "GET /apps/:app/sni-endpoints", needs: "view", response: Type.Array(Endpoint), orderBy: ["id", "name"] },
    async ({ app }) => {
      const domains = await store.domains.list(app.id);
      return (await store.certificates.list(app.id)).map((endpoint) => endpointJson(endpoint, app, domains));
    },
  );
  routes.app({ path: "GET /apps/:app/sni-endpoints/:endpoint", needs: "view", response: Endpoint }, async (call) =>
    endpointJson(await endpointOf(call), call.app, await store.domains.list(call.app.id)),
  );
  routes.app(
    { path: "POST /apps/:app/sni-endpoints", needs: "operate", body: Body, response: Endpoint, status: 201 },
    async ({ app, body }) => {
      const pair = await checked(body);
      const endpoint = await store.certificates.create({ ...pair, appId: app.id, isAutomatic: false });
      return endpointJson(endpoint, app, []);
    },
  );
  routes.app(
    { path: "PATCH /apps/:app/sni-endpoints/:endpoint", needs: "operate", body: Body, response: Endpoint },
    async (call) => {
      const { app, body } = call;
      const pair = await checked(body);
      const endpoint = await store.transaction(async (inside) => {
        const { id } = await endpointNamed(inside, app, call.params["endpoint"] ?? "");
        const { names } = factsOf(pair.chain);
        const lost = (await inside.domains.list(app.id)).find(
          ({ sniEndpointId, hostname }) => sniEndpointId === id && !covers(names, hostname),
        );
        if (lost !== undefined) throw notCovered(names, lost.hostname);
        return inside.certificates.update(id, { ...pair, isAutomatic: false });
      });
      await certificates.settle(app.id);
      return endpointJson(endpoint, app, await store.domains.list(app.id));
    },
  );
  routes.app(
    { path: "DELETE /apps/:app/sni-endpoints/:endpoint", needs: "operate", response: Endpoint },
    async (call) => {
      const endpoint = await endpointOf(call);
      if (endpoint.isAutomatic) {
        throw new PlatformError(
          "invalid_params",
          `The platform got ${endpoint.name} by itself, and would get it again: turn that off with certs:auto:disable.`,
        );
      }
      const answer = endpointJson(endpoint, call.app, await store.domains.list(call.app.id));
      await store.certificates.remove(endpoint.id);
      await certificates.settle(call.app.id);
      return answer;
    },
  );

  function endpointOf({ app, params }: AppCall): Promise<SniEndpoint> {
    return endpointNamed(store, app, params["endpoint"] ?? "");
  }

  /** Looked at by us, for words that help; and by the router itself, which must never meet one that it cannot load. */
  async function checked(body: Static<typeof Body>): Promise<ReturnType<typeof checkPair>> {
    const pair = checkPair(body.certificate_chain, body.private_key, clock.now());
    try {
      const refusal = await certificates.refusal(pair.chain + pair.key);
      if (refusal === null) return pair;
      throw new PlatformError("invalid_params", `The router cannot use this certificate: ${refusal}.`);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      const what =
        "Whether the router can use it cannot be told now, since the platform's host process does not answer.";
      throw new PlatformError("service_unavailable", `${what} Please try again in a minute.`, { cause: error });
    }
  }
}

/** By name, or by id. Throws `not_found`, or `invalid_params` where the body of a call named it. */
export async function endpointNamed(
  store: Pick<Store, "certificates">,
  app: App,
  wanted: string,
  where: "path" | "body" = "path",
): Promise<SniEndpoint> {
  const found = (await store.certificates.list(app.id)).find(({ id, name }) => id === wanted || name === wanted);
  if (found) return found;
  const message = `Couldn't find that SNI endpoint (${wanted}).`;
  if (where === "body") throw new PlatformError("invalid_params", message);
  throw new PlatformError("not_found", message, { resource: "sni_endpoint" });
}

/** Throws where clients would be shown a certificate that they refuse. */
export function refuseUncovered(endpoint: SniEndpoint, hostname: string): void {
  const { names } = factsOf(endpoint.chain);
  if (!covers(names, hostname)) throw notCovered(names, hostname);
}

function notCovered(names: readonly string[], hostname: string): PlatformError {
  const shown = names.length > 5 ? `${names.slice(0, 5).join(", ")} and ${names.length - 5} more` : names.join(", ");
  return new PlatformError(
    "invalid_params",
    `This certificate is for ${shown}, not for ${hostname}: clients would refuse it.`,
  );
}

function endpointJson(endpoint: SniEndpoint, app: App, domains: readonly Domain[]): Static<typeof Endpoint> {
  return {
    app: { id: app.id, name: app.name },
    certificate_chain: endpoint.given ?? endpoint.chain,
    created_at: dateTime(endpoint.createdAt),
    display_name: null,
    domains: domains.filter(({ sniEndpointId }) => sniEndpointId === endpoint.id).map(({ id }) => id),
    id: endpoint.id,
    name: endpoint.name,
    ssl_cert: shownCertificate(endpoint),
    updated_at: dateTime(endpoint.updatedAt),
  };
}
