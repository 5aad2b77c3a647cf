import Type from "typebox";
import type { App } from "../../model/app.ts";
import { shownDynos } from "../../model/dyno.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Health, HealthCheck } from "../../model/health.ts";
import { CheckError, checkJson, parseChecks } from "../../model/health-check.ts";
import { checksOfType } from "../../model/manifest-health.ts";
import { sayAction } from "../actions.ts";
import type { ApiContext } from "../context.ts";
import type { AppCall, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, nullable, Uuid } from "../schema.ts";

/** Ours: health checks of a process type. Heroku has none. */
const CheckSchema = exactly({
  attempts: nullable(Type.Integer()),
  command: nullable(Type.Union([Type.String(), Type.Array(Type.String())])),
  content: nullable(Type.String()),
  httpHeaders: Type.Array(exactly({ name: Type.String(), value: Type.String() })),
  initialDelay: Type.Integer(),
  name: nullable(Type.String()),
  path: nullable(Type.String()),
  status: nullable(Type.Integer()),
  successes: Type.Integer(),
  timeout: Type.Integer(),
  type: Type.String(),
  wait: Type.Integer(),
});

const ResultSchema = exactly({
  at: nullable(DateTime),
  check: Type.String(),
  failures: Type.Integer(),
  name: nullable(Type.String()),
  passed: nullable(Type.Boolean()),
  passes: Type.Integer(),
  result: nullable(Type.String()),
  type: Type.String(),
  verdict: Type.String(),
});

const ChecksSchema = exactly({
  checks: Type.Array(CheckSchema),
  /** What the dynos that run were started with, and what came of it. */
  dynos: Type.Array(
    exactly({
      id: Uuid,
      name: Type.String(),
      ready: Type.Boolean(),
      results: Type.Array(ResultSchema),
      started: Type.Boolean(),
    }),
  ),
  /** `app`: given here; `app.json`: by the current release; `none`. */
  source: Type.String(),
  type: Type.String(),
});

const PutBody = Type.Object({ checks: Type.Array(Type.Unknown()) });

export function healthCheckRoutes(routes: Routes, context: ApiContext): void {
  const { store, supervision } = context;
  const path = "/apps/:app/formation/:type/health-checks" as const;

  routes.app({ path: `GET ${path}`, needs: "view", response: ChecksSchema }, (call) => answer(call));
  // A command runs with the config vars: as much power as reading them.
  routes.app(
    { path: `PUT ${path}`, needs: "deploy", power: "write", body: PutBody, response: ChecksSchema },
    async (call) => {
      const type = await typeOf(call);
      const checks = parsed(type, call.body.checks);
      await store.checks.set(call.app.id, type, checks);
      sayAction(context, call.app, call.user, `Set ${checks.length} health checks of ${type}`);
      return answer(call);
    },
  );
  routes.app({ path: `DELETE ${path}`, needs: "deploy", power: "write", response: ChecksSchema }, async (call) => {
    const type = await typeOf(call);
    await store.checks.clear(call.app.id, type);
    sayAction(context, call.app, call.user, `Cleared health checks of ${type}`);
    return answer(call);
  });

  async function answer(call: AppCall) {
    const { app } = call;
    const type = await typeOf(call);
    const { source, checks } = await checksOf(app, type);
    const health = await supervision.health(app.id);
    const dynos = shownDynos(await store.dynos.list(app.id)).flatMap(({ id, name, type: own, kind }) => {
      const known = health[id];
      return own === type && kind === "formation" && known !== undefined ? [{ id, name, ...healthJson(known) }] : [];
    });
    return { type, source, checks: checks.map(fullJson), dynos };
  }

  async function checksOf(app: App, type: string) {
    const given = await store.checks.list(app.id);
    if (Object.hasOwn(given, type)) return { source: "app", checks: checksOfType(given, type) };
    const release = app.currentReleaseId === null ? undefined : await store.releases.byId(app.currentReleaseId);
    const slug = release?.slugId ? await store.slugs.byId(release.slugId) : undefined;
    const checks = checksOfType(slug?.manifest.checks ?? {}, type);
    return { source: checks.length > 0 ? "app.json" : "none", checks };
  }

  async function typeOf({ app, params }: AppCall): Promise<string> {
    const wanted = params["type"] ?? "";
    const row = (await store.formation.list(app.id)).find((each) => each.type === wanted || each.id === wanted);
    if (row !== undefined) return row.type;
    throw new PlatformError("not_found", `Couldn't find that process type (${wanted}).`, { resource: "formation" });
  }
}

function parsed(type: string, value: unknown): readonly HealthCheck[] {
  try {
    return parseChecks(type, value, "checks");
  } catch (error) {
    if (!(error instanceof CheckError)) throw error;
    throw new PlatformError("invalid_params", error.message, { cause: error });
  }
}

function fullJson(check: HealthCheck) {
  const { attempts, command, content, httpHeaders, name, path, status, ...rest } = checkJson(check);
  return {
    ...rest,
    attempts: attempts ?? null,
    command: typeof command === "object" ? [...command] : (command ?? null),
    content: content ?? null,
    httpHeaders: (httpHeaders ?? []).map((header) => ({ name: header.name, value: header.value })),
    name: name ?? null,
    path: path ?? null,
    status: status ?? null,
  };
}

function healthJson({ started, ready, checks }: Health) {
  const results = checks.map(({ kind, name, what, verdict, passes, failures, latest }) => ({
    at: latest === null ? null : dateTime(latest.at),
    check: what,
    failures,
    name,
    passed: latest?.passed ?? null,
    passes,
    result: latest?.text ?? null,
    type: kind,
    verdict,
  }));
  return { started, ready, results };
}
