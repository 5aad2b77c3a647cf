import { randomBytes } from "node:crypto";
import Type, { type Static } from "typebox";
import type { App } from "../../model/app.ts";
import { parseWebUrl } from "../../model/drain-url.ts";
import { PlatformError } from "../../model/errors.ts";
import { checkAuthorization, checkedInclude, checkSecret } from "../../model/webhook.ts";
import type { Webhook, WebhookDelivery, WebhookEvent } from "../../store/store.ts";
import { sayAction } from "../actions.ts";
import type { ApiContext } from "../context.ts";
import { refuseUnreachable } from "../outbound.ts";
import { paginate } from "../pagination.ts";
import type { AppCall, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, Named, nullable, Uuid } from "../schema.ts";

const Level = Type.Union([Type.Literal("notify"), Type.Literal("sync")]);
const WebhookSchema = exactly({
  app: Named,
  created_at: DateTime,
  id: Uuid,
  include: Type.Array(Type.String()),
  level: Level,
  updated_at: DateTime,
  url: Type.String(),
});
const EventSchema = exactly({
  created_at: DateTime,
  id: Uuid,
  include: Type.String(),
  payload: Type.Object({
    action: Type.String(),
    actor: exactly({ email: Type.String(), id: Type.String() }),
    data: Type.Object({}),
    previous_data: Type.Object({}),
    published_at: Type.String(),
    resource: Type.String(),
    version: Type.String(),
  }),
  updated_at: DateTime,
});
const Status = Type.Union([
  Type.Literal("pending"),
  Type.Literal("scheduled"),
  Type.Literal("retrying"),
  Type.Literal("failed"),
  Type.Literal("succeeded"),
]);
const DeliverySchema = exactly({
  created_at: DateTime,
  event: exactly({ id: Uuid, include: Type.String() }),
  id: Uuid,
  last_attempt: nullable(
    exactly({
      code: nullable(Type.Integer()),
      created_at: DateTime,
      error_class: nullable(Type.String()),
      id: Uuid,
      status: Type.Union([Type.Literal("scheduled"), Type.Literal("succeeded"), Type.Literal("failed")]),
      updated_at: DateTime,
    }),
  ),
  next_attempt_at: nullable(DateTime),
  num_attempts: Type.Integer(),
  status: Status,
  updated_at: DateTime,
  webhook: exactly({ id: Uuid, level: Level }),
});

const optional = {
  authorization: Type.Optional(nullable(Type.String())),
  secret: Type.Optional(nullable(Type.String())),
};
const CreateBody = Type.Object({ include: Type.Array(Type.String()), level: Level, url: Type.String(), ...optional });
const ChangeBody = Type.Object({
  include: Type.Optional(Type.Array(Type.String())),
  level: Type.Optional(Level),
  url: Type.Optional(Type.String()),
  ...optional,
});
const SECRET_BYTES = 32;
/** What deliveries may be ordered by: `seq` is in no answer. */
const DELIVERY_ORDERS = ["seq", "id"] as const;

export function webhookRoutes(routes: Routes, context: ApiContext): void {
  const { store } = context;
  // A webhook's URL may hold a password, as a drain's may: who may see it is who may set it.
  routes.app(
    {
      path: "GET /apps/:app/webhooks",
      needs: "operate",
      response: Type.Array(WebhookSchema),
      orderBy: ["id", "created_at"],
    },
    async ({ app }) => (await store.webhooks.list(app.id)).map((webhook) => webhookJson(webhook, app)),
  );
  routes.app({ path: "GET /apps/:app/webhooks/:webhook", needs: "operate", response: WebhookSchema }, async (call) =>
    webhookJson(await webhookNamed(call), call.app),
  );
  routes.app(
    { path: "POST /apps/:app/webhooks", needs: "operate", body: CreateBody, response: WebhookSchema, status: 201 },
    async ({ app, user, body, reply }) => {
      const secret = body.secret ?? randomBytes(SECRET_BYTES).toString("hex");
      const settings = { ...(await checked(app, body)), level: body.level, secret };
      const include = checkedInclude(body.include);
      const made = await store.webhooks.create({
        authorization: null,
        ...settings,
        url: body.url,
        include,
        appId: app.id,
      });
      if (body.secret === undefined || body.secret === null) reply.header("Heroku-Webhook-Secret", secret);
      sayAction(context, app, user, `Add webhook ${made.id}`);
      return webhookJson(made, app);
    },
  );
  routes.app(
    { path: "PATCH /apps/:app/webhooks/:webhook", needs: "operate", body: ChangeBody, response: WebhookSchema },
    async (call) => {
      const { app, user, body } = call;
      const before = await webhookNamed(call);
      const change = await checked(app, body);
      const changed = await store.webhooks.update(before.id, {
        ...change,
        ...(body.level !== undefined && { level: body.level }),
        ...(body.include !== undefined && { include: checkedInclude(body.include) }),
      });
      sayAction(context, app, user, `Update webhook ${changed.id}`);
      return webhookJson(changed, app);
    },
  );
  routes.app(
    { path: "DELETE /apps/:app/webhooks/:webhook", needs: "operate", response: WebhookSchema },
    async (call) => {
      const webhook = await webhookNamed(call);
      await store.webhooks.remove(webhook.id);
      sayAction(context, call.app, call.user, `Remove webhook ${webhook.id}`);
      return webhookJson(webhook, call.app);
    },
  );
  routes.app(
    {
      path: "GET /apps/:app/webhook-events",
      needs: "view",
      response: Type.Array(EventSchema),
      orderBy: ["id", "created_at"],
    },
    async ({ app }) => (await store.webhooks.events(app.id)).map(eventJson),
  );
  routes.app(
    { path: "GET /apps/:app/webhook-events/:event", needs: "view", response: EventSchema },
    async ({ app, params }) => {
      const event = await store.webhooks.event(params["event"] ?? "");
      if (event?.appId !== app.id) throw notFound("webhook event", "webhook_event");
      return eventJson(event);
    },
  );
  routes.app(
    { path: "GET /apps/:app/webhook-deliveries", needs: "view", response: Type.Array(DeliverySchema) },
    async ({ app, query, request, reply }) => {
      const wanted = query["eq[status]"];
      const all = await store.webhooks.deliveries(app.id);
      const matching = wanted === undefined ? all : all.filter(({ status }) => status === wanted);
      const rows = matching.map((delivery) => ({ seq: delivery.seq, id: delivery.id, json: deliveryJson(delivery) }));
      const page = paginate(rows, request.headers.range, DELIVERY_ORDERS);
      reply.code(page.status).headers(page.headers);
      return page.items.map(({ json }) => json);
    },
  );
  routes.app(
    { path: "GET /apps/:app/webhook-deliveries/:delivery", needs: "view", response: DeliverySchema },
    async ({ app, params }) => {
      const found = (await store.webhooks.deliveries(app.id)).find(({ id }) => id === params["delivery"]);
      if (!found) throw notFound("webhook delivery", "webhook_delivery");
      return deliveryJson(found);
    },
  );

  async function webhookNamed({ app, params }: AppCall): Promise<Webhook> {
    const webhook = await store.webhooks.byId(params["webhook"] ?? "");
    if (webhook?.appId !== app.id) throw notFound("webhook", "webhook");
    return webhook;
  }

  /** What of the body is there and can be used. */
  async function checked(app: App, { url, secret, authorization }: Omit<Static<typeof ChangeBody>, "include">) {
    if (url !== undefined) await refuseUnreachable(context, app, parseWebUrl(url));
    if (typeof secret === "string") checkSecret(secret);
    if (typeof authorization === "string") checkAuthorization(authorization);
    return {
      ...(url !== undefined && { url }),
      ...(typeof secret === "string" && { secret }),
      ...(authorization !== undefined && { authorization }),
    };
  }
}

function notFound(what: string, resource: string): PlatformError {
  return new PlatformError("not_found", `Couldn't find that ${what}.`, { resource });
}

function webhookJson({ id, include, level, url, createdAt, updatedAt }: Webhook, app: App) {
  return {
    app: { id: app.id, name: app.name },
    created_at: dateTime(createdAt),
    id,
    include: [...include],
    level,
    updated_at: dateTime(updatedAt),
    url,
  };
}

function eventJson({ id, include, payload, createdAt }: WebhookEvent): Static<typeof EventSchema> {
  const json = payload as Static<typeof EventSchema>["payload"]; // as `webhooks/payload.ts` made it
  return { created_at: dateTime(createdAt), id, include, payload: json, updated_at: dateTime(createdAt) };
}

function deliveryJson(delivery: WebhookDelivery) {
  const { id, event, webhookId, level, status, attempts, nextAttemptAt, lastAttempt, createdAt, updatedAt } = delivery;
  return {
    created_at: dateTime(createdAt),
    event: { id: event.id, include: event.include },
    id,
    last_attempt: lastAttempt && {
      code: lastAttempt.code,
      created_at: dateTime(lastAttempt.at),
      error_class: lastAttempt.errorClass,
      id: lastAttempt.id,
      status: lastAttempt.status,
      updated_at: dateTime(lastAttempt.at),
    },
    next_attempt_at: nextAttemptAt === null ? null : dateTime(nextAttemptAt),
    num_attempts: attempts,
    status,
    updated_at: dateTime(updatedAt),
    webhook: { id: webhookId, level },
  };
}
