import Type, { type Static } from "typebox";
import type { AuditEvent } from "../../model/audit.ts";
import type { ApiContext } from "../context.ts";
import { type Page, paginateBy } from "../pagination.ts";
import type { Call, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, Named, nullable, Person, Uuid } from "../schema.ts";

/** As Heroku's audit trail events, as far as there is what they tell of. */
const EventSchema = exactly({
  action: Type.String(),
  actor: nullable(Person),
  app: nullable(Named),
  created_at: DateTime,
  data: Type.Record(Type.String(), Type.Unknown()),
  id: Uuid,
  outcome: Type.Union([Type.Literal("done"), Type.Literal("refused")]),
  request: exactly({
    id: Type.String(),
    ip_address: nullable(Type.String()),
    method: Type.String(),
    path: Type.String(),
    user_agent: nullable(Type.String()),
  }),
  sequence: Type.Integer(),
  token: nullable(exactly({ id: Uuid })),
  type: Type.String(),
});

/** Ours: who did what from where. */
export function auditEventRoutes(routes: Routes, { store, audit }: ApiContext): void {
  const response = Type.Array(EventSchema);
  routes.app({ path: "GET /apps/:app/audit-events", needs: "manage", power: "read", response }, (call) =>
    page(call, call.app.id),
  );
  routes.operator({ path: "GET /audit-events", response }, (call) => page(call));

  async function page({ request, reply }: Call, appId?: string): Promise<Static<typeof response>> {
    await audit.flush();
    const found: Page<AuditEvent> = await paginateBy(request.headers.range, "sequence", (query) =>
      store.audit.list({ ...query, ...(appId !== undefined && { appId }) }),
    );
    reply.code(found.status).headers(found.headers);
    return found.items.map(eventJson);
  }
}

function eventJson(event: AuditEvent): Static<typeof EventSchema> {
  return {
    action: event.action,
    actor: event.actor,
    app: event.app,
    created_at: dateTime(event.at),
    data: { ...event.data },
    id: event.id,
    outcome: event.outcome,
    request: {
      id: event.requestId,
      ip_address: event.address,
      method: event.method,
      path: event.path,
      user_agent: event.agent,
    },
    sequence: event.sequence,
    token: event.tokenId === null ? null : { id: event.tokenId },
    type: event.type,
  };
}
