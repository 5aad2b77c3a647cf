import type { FastifyReply } from "fastify";
import Type from "typebox";
import type { App } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Build } from "../../model/release.ts";
import type { ApiContext } from "../context.ts";
import type { Call, Routes } from "../route.ts";
import { DateTime, dateTime, exactly, nullable, Person, Uuid } from "../schema.ts";
import { sendStream } from "../stream.ts";

const BuildSchema = exactly({
  app: exactly({ id: Uuid }),
  buildpacks: Type.Null(),
  created_at: DateTime,
  generation: Type.String(),
  id: Uuid,
  output_stream_url: Type.String(),
  release: nullable(exactly({ id: Uuid })),
  slug: nullable(exactly({ id: Uuid })),
  source_blob: exactly({
    checksum: Type.Null(),
    url: Type.String(),
    version: nullable(Type.String()),
    version_description: Type.Null(),
  }),
  stack: Type.String(),
  status: Type.Union([Type.Literal("failed"), Type.Literal("pending"), Type.Literal("succeeded")]),
  updated_at: DateTime,
  user: Person,
});

const PURPOSE = "build-output";
const NOT_HERE = "Builds from an archive are not there yet: deploy with git push.";

export function buildRoutes(routes: Routes, context: ApiContext): void {
  const { store, builds, signer } = context;
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
    const buildId = signer.open(PURPOSE, params["build"] ?? "");
    return sendOutput(reply, typeof buildId === "string" ? buildId : undefined);
  });
  /** For people: the address that a failed build's log line gives. */
  routes.app(
    { path: "GET /apps/:app/builds/:build/output", needs: "view", response: Type.Unknown() },
    async ({ app, params, reply }) => {
      const build = await store.builds.byId(params["build"] ?? "");
      return sendOutput(reply, build?.appId === app.id ? build.id : undefined);
    },
  );
  for (const path of ["POST /apps/:app/builds", "POST /apps/:app/sources", "POST /apps/:app/slugs"] as const) {
    routes.app({ path, needs: "deploy", response: Type.Never() }, () => {
      throw new PlatformError("invalid_params", NOT_HERE);
    });
  }
  routes.account({ path: "POST /sources", response: Type.Never() }, () => {
    throw new PlatformError("invalid_params", NOT_HERE);
  });

  async function sendOutput(reply: FastifyReply, buildId: string | undefined): Promise<void> {
    const output = buildId === undefined ? undefined : await builds.outputStream(buildId);
    if (output === undefined) throw notFound();
    return sendStream(reply, { type: "text/plain; charset=utf-8", body: output });
  }

  async function json(build: Build, app: App, { origin }: Call) {
    const user = await store.users.byId(build.userId);
    return {
      app: { id: app.id },
      buildpacks: null,
      created_at: dateTime(build.createdAt),
      generation: "cedar",
      id: build.id,
      output_stream_url: new URL(`/stator/build-output/${signer.seal(PURPOSE, build.id)}`, origin).href,
      release: build.releaseId === null ? null : { id: build.releaseId },
      slug: build.slugId === null ? null : { id: build.slugId },
      source_blob: {
        checksum: null,
        url: new URL(`/${app.name}.git`, origin).href,
        version: build.commit,
        version_description: null,
      },
      stack: app.stack,
      status: build.status,
      updated_at: dateTime(build.updatedAt),
      user: { id: build.userId, email: user?.email ?? "" },
    };
  }
}

function notFound(): PlatformError {
  return new PlatformError("not_found", "Couldn't find that build.", { resource: "build" });
}
