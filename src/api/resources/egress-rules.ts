import Type from "typebox";
import { type Engine, EngineError } from "../../engine/engine.ts";
import type { App } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Store, StoredEgressRule } from "../../store/store.ts";
import type { ApiContext } from "../context.ts";
import type { Routes } from "../route.ts";
import { DateTime, dateTime, exactly, Named, nullable, Uuid } from "../schema.ts";

const Action = Type.Union([Type.Literal("allow"), Type.Literal("deny")]);
const Rule = exactly({
  action: Action,
  app: Named,
  cidr: Type.String(),
  created_at: DateTime,
  id: Uuid,
  port: nullable(Type.Integer()),
});
const CreateBody = Type.Object({
  action: Action,
  cidr: Type.String({ maxLength: 80 }),
  port: Type.Optional(nullable(Type.Integer())),
});

/**
 * Egress rules, an extension: an app's owner takes away what its dynos may reach. What the platform's walls refuse stays
 * refused; to open these is the operator's (`stator network:allow`).
 */
export function egressRuleRoutes(routes: Routes, context: ApiContext): void {
  const { store, engine } = context;
  routes.app(
    { path: "GET /apps/:app/egress-rules", needs: "view", response: Type.Array(Rule), orderBy: ["id", "created_at"] },
    async ({ app }) => (await store.egressRules.list(app.id)).map((rule) => ruleJson(rule, app)),
  );
  routes.app(
    {
      path: "POST /apps/:app/egress-rules",
      needs: "operate",
      power: "write",
      body: CreateBody,
      response: Rule,
      status: 201,
    },
    async ({ app, body, tell }) => {
      tell(body);
      const { action, cidr, port = null } = body;
      const rule = await store.egressRules.add(app.id, { action, cidr, port });
      await apply(app);
      return ruleJson(rule, app);
    },
  );
  routes.app(
    { path: "DELETE /apps/:app/egress-rules/:rule", needs: "operate", power: "write", response: Rule },
    async ({ app, params }) => {
      const rule = (await store.egressRules.list(app.id)).find(({ id }) => id === params["rule"]);
      if (!rule) throw new PlatformError("not_found", "Couldn't find that egress rule.", { resource: "egress rule" });
      await store.egressRules.remove(rule.id);
      await apply(app);
      return ruleJson(rule, app);
    },
  );

  /** Answered only once the kernel has it. */
  async function apply(app: App): Promise<void> {
    try {
      await tellEgress(app.id, store, engine);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      throw new PlatformError(
        "internal_server_error",
        "The change is noted, and holds once the platform's host process is back; ask for the list of rules to see it.",
      );
    }
  }
}

/** Makes the engine's rules of the app those of the store; who comes between two changes ends with the last one. */
export async function tellEgress(
  appId: string,
  store: Pick<Store, "egressRules">,
  engine: Pick<Engine, "setEgress">,
): Promise<void> {
  for (let told: string | undefined; ; ) {
    const rules = await store.egressRules.list(appId);
    const now = JSON.stringify(rules);
    if (now === told) return;
    await engine.setEgress(appId, rules);
    told = now;
  }
}

function ruleJson({ action, cidr, port, id, createdAt }: StoredEgressRule, app: App) {
  return { action, app: { id: app.id, name: app.name }, cidr, created_at: dateTime(createdAt), id, port };
}
