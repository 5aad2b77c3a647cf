import { Readable } from "node:stream";
import Type from "typebox";
import type { App } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Release } from "../../model/release.ts";
import { addRelease, announce } from "../actions.ts";
import type { ApiContext } from "../context.ts";
import { openOutput, outputPath } from "../output-links.ts";
import type { AppCall, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, Named, nullable, Person, Uuid } from "../schema.ts";
import { sendStream } from "../stream.ts";
import { slugFor } from "./slugs.ts";

const ReleaseSchema = exactly({
  addon_plan_names: Type.Array(Type.String()),
  app: Named,
  artifacts: Type.Array(exactly({ type: Type.String(), id: Uuid })),
  created_at: DateTime,
  current: Type.Boolean(),
  description: Type.String(),
  eligible_for_rollback: Type.Boolean(),
  /** Ours: why it failed. */
  failure: nullable(Type.String()),
  id: Uuid,
  oci_image: Type.Null(),
  output_stream_url: nullable(Type.String()),
  slug: nullable(exactly({ id: Uuid })),
  status: Type.Union([
    Type.Literal("failed"),
    Type.Literal("pending"),
    Type.Literal("succeeded"),
    Type.Literal("expired"),
  ]),
  updated_at: DateTime,
  user: Person,
  version: Type.Integer(),
});

const CreateBody = Type.Object({
  release: Type.Optional(Type.String()),
  slug: Type.Optional(Type.String()),
  description: Type.Optional(nullable(Type.String({ maxLength: 500 }))),
});

export function releaseRoutes(routes: Routes, context: ApiContext): void {
  const { store, builds, until } = context;
  routes.app(
    { path: "GET /apps/:app/releases", needs: "view", response: Type.Array(ReleaseSchema), orderBy: ["version", "id"] },
    async (call) => {
      const emails = new Map<string, Promise<string>>();
      const releases = await store.releases.list(call.app.id);
      return Promise.all(releases.map((each) => releaseJson(each, call, context, emails)));
    },
  );
  routes.app({ path: "GET /apps/:app/releases/:release", needs: "view", response: ReleaseSchema }, async (call) =>
    releaseJson(await releaseNamed(call, context), call, context),
  );
  routes.app(
    {
      path: "POST /apps/:app/releases",
      needs: "deploy",
      power: "write",
      body: CreateBody,
      response: ReleaseSchema,
      status: 201,
    },
    async (call) => {
      const { release: to, slug } = call.body;
      call.tell({
        ...(to !== undefined && { release: to.slice(0, 100) }),
        ...(slug !== undefined && { slug: slug.slice(0, 100) }),
      });
      const release = await (call.body.release === undefined ? releaseSlug(call) : rollBack(call, call.body.release));
      announce(context, release, call.app, call.user);
      return releaseJson(release, call, context);
    },
  );
  /** For clients that follow `output_stream_url`, which they do without credentials. */
  routes.open({ path: "GET /stator/release-output/:release", response: Type.Unknown() }, async ({ params, reply }) => {
    const appIdOf = async (id: string) => (await store.releases.byId(id))?.appId;
    const id = await openOutput("release", params["release"] ?? "", appIdOf, context);
    const release = id === undefined ? undefined : await store.releases.byId(id);
    if (release === undefined)
      throw new PlatformError("not_found", "Couldn't find that release.", { resource: "release" });
    const isOver = release.status !== "pending" || release.phase === "done";
    const late = AbortSignal.any([until, AbortSignal.timeout(isOver ? 1 : BEGIN_MS)]);
    const output = await builds.commandOutput(release.id, late);
    if (output !== undefined) return sendStream(reply, { type: "text/plain; charset=utf-8", body: output });
    if (release.failure === null) {
      const message = "Its release command has not begun yet, or what it said is not kept any more.";
      throw new PlatformError("not_found", message, { resource: "release" });
    }
    return sendStream(reply, { type: "text/plain; charset=utf-8", body: Readable.from([`${release.failure}\n`]) });
  });
  routes.app(
    { path: "GET /apps/:app/releases/:release/stator/image", needs: "deploy", audit: "read", response: Type.Unknown() },
    async (call) => {
      const image = await builds.exportImage(call.app, await releaseNamed(call, context));
      return sendStream(call.reply, { type: "application/x-tar", body: image });
    },
  );
  async function releaseSlug({ app, user, body }: AppCall<{ slug?: string; description?: string | null }>) {
    if (body.slug === undefined) {
      throw new PlatformError("invalid_params", "Name a release to roll back to, or a slug to release.");
    }
    const slug = await slugFor(body.slug, app, user, context);
    const commit = slug.commit === null ? "" : ` ${slug.commit.slice(0, 8)}`;
    const description = body.description ?? `Deploy${commit}`;
    return addRelease(store, { app, user, description, slugId: slug.id, withCommand: true });
  }

  /** A new release with the old slug and the old config vars (spec 9.6). */
  function rollBack({ app, user }: AppCall, wanted: string): Promise<Release> {
    return store.transaction(async (inside) => {
      const target = await findRelease(inside.releases, app, wanted);
      if (!isEligible(target)) {
        throw new PlatformError(
          "invalid_params",
          `Cannot roll back to v${target.version}: it has no code, or it failed.`,
        );
      }
      await inside.config.replace(app.id, await inside.releases.config(target.id));
      const description = `Rollback to v${target.version}`;
      return addRelease(inside, { app, user, description, slugId: target.slugId, withCommand: true });
    });
  }
}

/** The release of the path: by number, `v12` or id. */
export function releaseNamed({ app, params }: AppCall, { store }: ApiContext): Promise<Release> {
  return findRelease(store.releases, app, params["release"] ?? "");
}

async function findRelease(releases: ApiContext["store"]["releases"], app: App, named: string): Promise<Release> {
  const [, version] = /^v?(\d{1,9})$/.exec(named) ?? [];
  const release =
    version === undefined ? await releases.byId(named) : await releases.byVersion(app.id, Number(version));
  if (release?.appId === app.id) return release;
  throw new PlatformError("not_found", `Couldn't find that release (${named}).`, { resource: "release" });
}

/** So long a client waits for a command that is about to begin, before it is told to come again. */
const BEGIN_MS = 15_000;

/** A pending one too: clients take the second newest, which then is the one that the pending would replace. */
function isEligible(release: Release): boolean {
  return (release.status === "succeeded" || release.status === "pending") && release.slugId !== null;
}

/** `emails` remembers who is who over a list. */
async function releaseJson(
  release: Release,
  { app, address, token }: Pick<AppCall, "app" | "address" | "token">,
  { store, signer, clock }: ApiContext,
  emails: Map<string, Promise<string>> = new Map(),
) {
  const email = emails.get(release.userId) ?? store.users.byId(release.userId).then((user) => user?.email ?? "");
  emails.set(release.userId, email);
  return {
    addon_plan_names: [],
    app: { id: app.id, name: app.name },
    artifacts: release.slugId === null ? [] : [{ type: "slug", id: release.slugId }],
    created_at: dateTime(release.createdAt),
    current: app.currentReleaseId === release.id,
    description: release.description,
    eligible_for_rollback: isEligible(release),
    failure: release.failure,
    id: release.id,
    oci_image: null,
    output_stream_url:
      release.phase === null
        ? null
        : address.link(outputPath("release", release.id, { signer, now: clock.now(), tokenId: token.id })),
    slug: release.slugId === null ? null : { id: release.slugId },
    status: release.status,
    updated_at: dateTime(release.updatedAt),
    user: { id: release.userId, email: await email },
    version: release.version,
  };
}
