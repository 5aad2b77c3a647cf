import Type, { type Static } from "typebox";
import type { App } from "../../model/app.ts";
import { isFeatureOn } from "../../model/feature.ts";
import type { RoutingSettings } from "../../model/routing.ts";
import { sayAction } from "../actions.ts";
import type { ApiContext } from "../context.ts";
import type { Routes } from "../route.ts";
import { exactly, Named } from "../schema.ts";

const Balance = Type.Union([Type.Literal("random"), Type.Literal("least-connections")]);
const DynoProtocol = Type.Union([Type.Literal("http1"), Type.Literal("h2c")]);

const RoutingSchema = exactly({
  app: Named,
  balance: Balance,
  /** Names of the users of basic auth; empty: everybody may come in. */
  basic_auth_users: Type.Array(Type.String()),
  dyno_protocol: DynoProtocol,
  /** Seconds. */
  first_byte_timeout: Type.Integer(),
  https_redirect: Type.Boolean(),
  /** Seconds. */
  rolling_timeout: Type.Integer(),
  /** The feature `http-session-affinity`. */
  session_affinity: Type.Boolean(),
});

const ChangeBody = Type.Object(
  {
    balance: Type.Optional(Balance),
    dyno_protocol: Type.Optional(DynoProtocol),
    first_byte_timeout: Type.Optional(Type.Integer()),
    https_redirect: Type.Optional(Type.Boolean()),
    rolling_timeout: Type.Optional(Type.Integer()),
    session_affinity: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);

const UserBody = Type.Object(
  { name: Type.String(), password: Type.Optional(Type.String()) },
  { additionalProperties: false },
);
/** The password is told once, to whoever adds the user. */
const UserSchema = exactly({ app: Named, name: Type.String(), password: Type.String() });

const AFFINITY = "http-session-affinity";

/** Ours: how the router treats an app's requests. What changes holds for the next request; no dyno is restarted by it. */
export function routingRoutes(routes: Routes, context: ApiContext): void {
  const { store } = context;
  const path = "/apps/:app/routing" as const;
  routes.app({ path: `GET ${path}`, needs: "view", response: RoutingSchema }, ({ app }) => routingJson(app));
  routes.app(
    { path: `PATCH ${path}`, needs: "operate", body: ChangeBody, response: RoutingSchema },
    async ({ app, user, body, tell }) => {
      tell(body);
      await store.transaction(async (inner) => {
        await inner.routing.change(app.id, changeOf(body));
        if (body.session_affinity !== undefined) await inner.features.set(app.id, AFFINITY, body.session_affinity);
      });
      const said = Object.entries(body).map(([name, value]) => `${name.replaceAll("_", "-")}=${value}`);
      if (said.length > 0) sayAction(context, app, user, `Set routing ${said.join(" ")}`);
      return routingJson(app);
    },
  );
  routes.app(
    { path: `POST ${path}/users`, needs: "operate", power: "write", body: UserBody, response: UserSchema, status: 201 },
    async ({ app, user, body: { name, password: given }, tell }) => {
      tell({ name });
      const { password } = await store.routing.addUser(app.id, name, given);
      sayAction(context, app, user, `Add basic auth user ${name}`);
      return { app: { id: app.id, name: app.name }, name, password };
    },
  );
  routes.app(
    { path: `DELETE ${path}/users/:user`, needs: "operate", power: "write", response: RoutingSchema },
    async ({ app, user, params }) => {
      const { user: name = "" } = params;
      await store.routing.removeUser(app.id, name);
      sayAction(context, app, user, `Remove basic auth user ${name}`);
      return routingJson(app);
    },
  );

  async function routingJson(app: App): Promise<Static<typeof RoutingSchema>> {
    const { balance, dynoProtocol, firstByteSeconds, httpsRedirect, rollingSeconds } = await store.routing.get(app.id);
    return {
      app: { id: app.id, name: app.name },
      balance,
      basic_auth_users: (await store.routing.users(app.id)).map(({ name }) => name),
      dyno_protocol: dynoProtocol,
      first_byte_timeout: firstByteSeconds,
      https_redirect: httpsRedirect,
      rolling_timeout: rollingSeconds,
      session_affinity: isFeatureOn(AFFINITY, await store.features.list(app.id)),
    };
  }
}

function changeOf(body: Static<typeof ChangeBody>): Partial<RoutingSettings> {
  return {
    ...(body.balance !== undefined && { balance: body.balance }),
    ...(body.dyno_protocol !== undefined && { dynoProtocol: body.dyno_protocol }),
    ...(body.first_byte_timeout !== undefined && { firstByteSeconds: body.first_byte_timeout }),
    ...(body.https_redirect !== undefined && { httpsRedirect: body.https_redirect }),
    ...(body.rolling_timeout !== undefined && { rollingSeconds: body.rolling_timeout }),
  };
}
