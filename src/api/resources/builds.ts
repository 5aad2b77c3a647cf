import type { FastifyReply } from "fastify";
import Type from "typebox";
import type { App } from "../../model/app.ts";
import { parseBuildpacks } from "../../model/buildpack.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Build } from "../../model/release.ts";
import type { ApiContext } from "../context.ts";
import { openOutput, outputPath } from "../output-links.ts";
import type { AppCall, Routes } from "../route.ts";
import { DateTime, dateTime, Empty, exactly, nullable, Person, Uuid } from "../schema.ts";
import { sendStream } from "../stream.ts";
import { Checksum, line } from "./slugs.ts";
import { uploadIn } from "./sources.ts";

const BuildSchema = exactly({
  app: exactly({ id: Uuid }),
  buildpacks: nullable(Type.Array(exactly({ name: Type.String(), url: Type.String() }))),
  created_at: DateTime,
  generation: Type.String(),
  id: Uuid,
  output_stream_url: Type.String(),
  release: nullable(exactly({ id: Uuid })),
  slug: nullable(exactly({ id: Uuid })),
  source_blob: exactly({
    checksum: nullable(Type.String()),
    url: Type.String(),
    version: nullable(Type.String()),
    version_description: nullable(Type.String()),
  }),
  stack: Type.String(),
  status: Type.Union([Type.Literal("failed"), Type.Literal("pending"), Type.Literal("succeeded")]),
  updated_at: DateTime,
  user: Person,
});

const CreateBody = Type.Object({
  buildpacks: Type.Optional(
    nullable(
      Type.Array(
        Type.Object({
          name: Type.Optional(nullable(Type.String({ maxLength: 2000 }))),
          url: Type.Optional(nullable(Type.String({ maxLength: 2000 }))),
        }),
        { maxItems: 100 },
      ),
    ),
  ),
  source_blob: Type.Object({
    checksum: Type.Optional(nullable(Checksum)),
    url: Type.String({ maxLength: 8192 }),
    version: Type.Optional(nullable(line(200))),
    version_description: Type.Optional(nullable(Type.String({ maxLength: 10_000 }))),
  }),
});

export function buildRoutes(routes: Routes, context: ApiContext): void {
  const { store, builds, signer, clock } = context;
  routes.app(
    { path: "GET /apps/:app/builds", needs: "view", response: Type.Array(BuildSchema), orderBy: ["id", "created_at"] },
    async (call) => Promise.all((await store.builds.list(call.app.id)).map((build) => json(build, call.app, call))),
  );
  routes.app({ path: "GET /apps/:app/builds/:build", needs: "view", response: BuildSchema }, async (call) => {
    const build = await store.builds.byId(call.params["build"] ?? "");
    if (build?.appId !== call.app.id) throw notFound();
    return json(build, call.app, call);
  });
  /** For clients that follow `output_stream_url`, which they do without credentials. */
  routes.open({ path: "GET /stator/build-output/:build", response: Type.Unknown() }, async ({ params, reply }) => {
    const appIdOf = async (id: string) => (await store.builds.byId(id))?.appId;
    return sendOutput(reply, await openOutput("build", params["build"] ?? "", appIdOf, context));
  });
  /** For people: the address that a failed build's log line gives. */
  routes.app(
    { path: "GET /apps/:app/builds/:build/output", needs: "view", response: Type.Unknown() },
    async ({ app, params, reply }) => {
      const build = await store.builds.byId(params["build"] ?? "");
      return sendOutput(reply, build?.appId === app.id ? build.id : undefined);
    },
  );
  routes.app(
    {
      path: "POST /apps/:app/builds",
      needs: "deploy",
      power: "write",
      body: CreateBody,
      response: BuildSchema,
      status: 201,
    },
    async (call) => {
      const { app, user, body } = call;
      const { url, checksum = null, version = null, version_description = null } = body.source_blob;
      const source = { url, checksum, version, versionDescription: version_description };
      const upload = placeOf(url, context);
      const names = body.buildpacks?.map((each) => each.url ?? each.name ?? "");
      const buildpacks = names === undefined ? null : parseBuildpacks(names);
      return json(await builds.order({ app, user, source, upload, buildpacks }), app, call);
    },
  );
  /** Ends a build that is pending. */
  routes.app(
    { path: "DELETE /apps/:app/builds/:build", needs: "deploy", power: "write", response: BuildSchema },
    async (call) => {
      const build = await store.builds.byId(call.params["build"] ?? "");
      if (build?.appId !== call.app.id) throw notFound();
      if (build.status !== "pending")
        throw new PlatformError("invalid_params", `This build has ended: it is ${build.status}.`);
      await builds.cancel(build.id, call.user);
      return json((await store.builds.byId(build.id)) ?? build, call.app, call);
    },
  );
  routes.app(
    { path: "DELETE /apps/:app/build-cache", needs: "deploy", power: "write", response: Empty },
    async ({ app }) => {
      await builds.purgeCache(app);
      return {};
    },
  );

  async function sendOutput(reply: FastifyReply, buildId: string | undefined): Promise<void> {
    const output = buildId === undefined ? undefined : await builds.outputStream(buildId);
    if (output === undefined) throw notFound();
    return sendStream(reply, { type: "text/plain; charset=utf-8", body: output });
  }

  async function json(build: Build, app: App, { address, token }: AppCall) {
    const user = await store.users.byId(build.userId);
    return {
      app: { id: app.id },
      buildpacks: build.buildpacks === null ? null : build.buildpacks.map(({ name, url }) => ({ name, url })),
      created_at: dateTime(build.createdAt),
      generation: "cedar",
      id: build.id,
      output_stream_url: address.link(outputPath("build", build.id, { signer, now: clock.now(), tokenId: token.id })),
      release: build.releaseId === null ? null : { id: build.releaseId },
      slug: build.slugId === null ? null : { id: build.slugId },
      source_blob: {
        checksum: build.source?.checksum ?? null,
        url: build.source?.url ?? new URL(`/${app.name}.git`, address.origin).href,
        version: build.commit,
        version_description: build.source?.versionDescription ?? null,
      },
      stack: app.stack,
      status: build.status,
      updated_at: dateTime(build.updatedAt),
      user: { id: build.userId, email: user?.email ?? "" },
    };
  }
}

/** Name of the upload that the URL means; null: an archive elsewhere. Throws `invalid_params`. */
function placeOf(text: string, context: ApiContext): string | null {
  const url = /[\s\p{Cc}]/u.test(text) ? null : URL.parse(text);
  const upload = url === null ? undefined : uploadIn(url, context);
  if (upload !== undefined) return upload;
  if (url?.protocol === "https:") return null;
  throw new PlatformError(
    "invalid_params",
    "source_blob.url must be the get_url of POST /sources, within its hour, or an https address.",
  );
}

function notFound(): PlatformError {
  return new PlatformError("not_found", "Couldn't find that build.", { resource: "build" });
}
