import Type, { type Static } from "typebox";
import type { App, User } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import { newAppSettings } from "../../model/feature.ts";
import type { AppFacts } from "../../store/store.ts";
import { announce } from "../actions.ts";
import { appNames } from "../app-names.ts";
import { demand } from "../auth.ts";
import type { ApiContext } from "../context.ts";
import { paginate, paginateText } from "../pagination.ts";
import type { AccountCall, Call, Routes } from "../route.ts";
import { constantRef, DateTime, dateTime, exactly, Named, nullable, Person, Uuid } from "../schema.ts";
import { self } from "./accounts.ts";
import { GENERATION, REGION, regionNamed } from "./platform.ts";
import { STACK, stackNamed } from "./stacks.ts";

export const AppSchema = exactly({
  acm: Type.Boolean(),
  archived_at: nullable(DateTime),
  build_stack: Named,
  buildpack_provided_description: nullable(Type.String()),
  create_status: Type.Literal("complete"),
  created_at: DateTime,
  generation: Type.Union([Named, Type.String()]),
  git_url: Type.String(),
  id: Uuid,
  internal_routing: nullable(Type.Boolean()),
  /** Ours: the isolation class. */
  isolation: Type.String(),
  maintenance: Type.Boolean(),
  name: Type.String(),
  organization: Type.Null(),
  owner: Person,
  process_tier: Type.String(),
  region: Named,
  released_at: nullable(DateTime),
  repo_migrated: Type.Boolean(),
  repo_size: nullable(Type.Integer()),
  slug_size: nullable(Type.Integer()),
  space: Type.Null(),
  stack: Named,
  team: Type.Null(),
  updated_at: DateTime,
  web_url: nullable(Type.String()),
});

const orderBy = ["name", "id"] as const;
const Reference = Type.Union([
  Type.String(),
  Type.Object({ id: Type.Optional(Type.String()), name: Type.Optional(Type.String()) }),
]);

/** As many as a page has. */
const FILTER_MAX = 1000;

const CreateBody = Type.Object({
  name: Type.Optional(nullable(Type.String())),
  region: Type.Optional(nullable(Reference)),
  stack: Type.Optional(nullable(Reference)),
  team: Type.Optional(nullable(Type.String())),
  space: Type.Optional(nullable(Type.String())),
  // What clients send besides means nothing here (platform-api 7).
  feature_flags: Type.Optional(Type.Unknown()),
  internal_routing: Type.Optional(Type.Unknown()),
  kernel: Type.Optional(Type.Unknown()),
  locked: Type.Optional(Type.Unknown()),
});

const TeamAppSchema = exactly({ ...AppSchema.properties, joined: Type.Boolean(), locked: Type.Boolean() });
const TeamAppBody = Type.Object({ locked: Type.Optional(Type.Boolean()), owner: Type.Optional(Type.String()) });

const ChangeBody = Type.Object({
  name: Type.Optional(Type.String()),
  maintenance: Type.Optional(Type.Boolean()),
  build_stack: Type.Optional(Reference),
});

export function appRoutes(routes: Routes, context: ApiContext): void {
  const { store, supervision } = context;
  const json = (app: App, call: Call) => appJson(app, call, context);
  const own = async (user: User, call: Call) => {
    const { request, reply } = call;
    const { items, status, headers } = await paginateText(request.headers.range, orderBy, async (page) => {
      const found = await store.apps.visibleTo(user.id, page);
      return found.map((facts) => factsJson(facts, call, context));
    });
    reply.code(status).headers(headers);
    return [...items];
  };

  routes.account({ path: "GET /apps", response: Type.Array(AppSchema) }, (call) => own(call.user, call));
  routes.account({ path: "GET /users/:account/apps", response: Type.Array(AppSchema) }, (call) =>
    own(self(call), call),
  );
  routes.account(
    {
      path: "POST /filters/apps",
      audit: "none",
      power: "read-protected",
      body: Type.Object({ in: Type.Optional(Type.Object({ id: Type.Optional(Type.Array(Type.String())) })) }),
      response: Type.Array(AppSchema),
    },
    async (call) => {
      const wanted = call.body.in?.id;
      if (wanted === undefined) return own(call.user, call);
      if (wanted.length > FILTER_MAX)
        throw new PlatformError("invalid_params", `At most ${FILTER_MAX} ids can be asked for at once.`);
      const apps = [];
      for (const id of new Set(wanted)) {
        const found = await store.apps.findFor(call.user.id, id);
        if (found?.app.id === id) apps.push(await json(found.app, call)); // a name is no id
      }
      const page = paginate(apps, call.request.headers.range, orderBy);
      call.reply.code(page.status).headers(page.headers);
      return [...page.items];
    },
  );
  routes.account({ path: "POST /apps", body: CreateBody, response: AppSchema, status: 201 }, async (call) => {
    const app = await create(call, context);
    return json(app, call);
  });
  routes.app({ path: "GET /apps/:app", needs: "view", response: AppSchema }, (call) => json(call.app, call));
  // Heroku's `apps:lock`, `apps:unlock` and a transfer to a team come this way.
  routes.app({ path: "GET /teams/apps/:app", needs: "view", response: TeamAppSchema }, async (call) => ({
    ...(await json(call.app, call)),
    joined: true,
    locked: false,
  }));
  routes.app(
    { path: "PATCH /teams/apps/:app", needs: "manage", body: TeamAppBody, response: Type.Never() },
    ({ body }) => {
      throw new PlatformError(
        "invalid_params",
        body.owner === undefined
          ? "Apps cannot be locked here: nobody joins one without being asked. See who has access: stator access."
          : "There are no teams here. An app goes to another user: stator apps:transfer EMAIL.",
      );
    },
  );
  routes.app({ path: "PATCH /apps/:app", needs: "operate", body: ChangeBody, response: AppSchema }, async (call) => {
    const { name, maintenance, build_stack } = call.body;
    if (name !== undefined && name !== call.app.name) demand(call.access, "manage");
    if (build_stack !== undefined) stackNamed(nameIn(build_stack));
    if (name !== undefined) call.tell({ name });
    const app = await store.apps.update(call.app.id, {
      ...(name !== undefined && { name }),
      ...(maintenance !== undefined && { maintenance }),
    });
    supervision.nudge(app.id);
    return json(app, call);
  });
  routes.app({ path: "DELETE /apps/:app", needs: "manage", response: AppSchema }, async (call) => {
    const answer = await json(call.app, call);
    await store.apps.remove(call.app.id);
    context.builds.appDestroyed(call.app.id);
    supervision.nudge(call.app.id);
    context.background.add("api.app_not_freed", freeApp(call.app, context));
    return answer;
  });

  async function create(call: AccountCall<Static<typeof CreateBody>>, { config, random }: ApiContext): Promise<App> {
    const { body, user, tell, about } = call;
    for (const key of ["team", "space"] as const) {
      if (typeof body[key] === "string") throw new PlatformError("invalid_params", `There are no ${key}s here.`);
    }
    if (body.region) regionNamed(nameIn(body.region));
    const stack = body.stack ? stackNamed(nameIn(body.stack)) : STACK;
    const app = { ownerId: user.id, stack, domain: config.domain };
    for (const name of body.name ? [body.name] : appNames(random)) {
      if (!body.name && (await store.apps.find(name))) continue;
      tell({ name });
      const settings = newAppSettings(await store.accountFeatures.list(user.id));
      const made = await store.transaction(async (inside) => {
        const fresh = await inside.apps.create({ ...app, name });
        about(fresh);
        return Object.keys(settings).length === 0 ? fresh : inside.apps.update(fresh.id, settings);
      });
      for (const release of (await store.releases.list(made.id)).toReversed()) announce(context, release, made, user);
      return made;
    }
    throw new PlatformError("service_unavailable", "No free name was found; please name the app.");
  }
}

const FREE_TRIES = 120;
const FREE_EVERY_MS = 5000;

/** What is kept for a destroyed app goes once its dynos are gone; a host process that restarts meanwhile is waited for. */
async function freeApp(app: App, { engine, supervision, logs, recordings, clock, until }: ApiContext): Promise<void> {
  await supervision.vanished(app.id, until).catch((error: unknown) => {
    if (!until.aborted) throw error;
  });
  if (until.aborted) return;
  await logs.removeApp(app.id);
  await recordings.removeApp(app.id);
  for (let tries = 1; !until.aborted; tries++) {
    try {
      return await engine.removeApp(app.id, app.uidIndex);
    } catch (error) {
      if (tries === FREE_TRIES) throw error;
    }
    await clock.sleep(FREE_EVERY_MS, until).catch(() => {}); // the loop sees the signal
  }
}

function nameIn(reference: Static<typeof Reference>): string {
  return typeof reference === "string" ? reference : (reference.name ?? reference.id ?? "");
}

/** The app as clients see it. Throws `not_found` when it has gone meanwhile. */
export async function appJson(app: App, call: Call, context: ApiContext) {
  const facts = await context.store.apps.facts(app.id);
  if (facts === undefined) throw new PlatformError("not_found", "Couldn't find that app.", { resource: "app" });
  return factsJson(facts, call, context);
}

function factsJson({ app, ownerEmail, slug, isAutomatic, repoBytes }: AppFacts, call: Call, { config }: ApiContext) {
  const stack = constantRef("stack", app.stack);
  return {
    acm: isAutomatic,
    archived_at: null,
    build_stack: stack,
    buildpack_provided_description: slug?.buildpackDescription ?? null,
    create_status: "complete" as const,
    created_at: dateTime(app.createdAt),
    generation: call.isSdk ? GENERATION.name : GENERATION,
    git_url: new URL(`/${app.name}.git`, call.address.origin).href,
    id: app.id,
    internal_routing: null,
    isolation: app.isolation,
    maintenance: app.maintenance,
    name: app.name,
    organization: null,
    owner: { id: app.ownerId, email: ownerEmail },
    process_tier: "basic",
    region: REGION,
    released_at: app.releasedAt === null ? null : dateTime(app.releasedAt),
    repo_migrated: true,
    repo_size: repoBytes,
    slug_size: slug?.sizeBytes ?? null,
    space: null,
    stack,
    team: null,
    updated_at: dateTime(app.updatedAt),
    web_url: webUrl(app, config),
  };
}

function webUrl(app: App, { domain, httpPort }: ApiContext["config"]): string {
  return `http://${app.name}.${domain}${httpPort === 80 ? "" : `:${httpPort}`}/`;
}
