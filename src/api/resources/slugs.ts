import Type from "typebox";
import { type App, PROCESS_TYPE, type User } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { Slug, SlugUpload } from "../../model/release.ts";
import { demand } from "../auth.ts";
import type { ApiContext } from "../context.ts";
import type { Call, Routes } from "../route.ts";
import { constantRef, DateTime, dateTime, exactly, Named, nullable, Uuid } from "../schema.ts";
import { sendStream } from "../stream.ts";
import { SLUG_PATH, SLUG_PUT, type SlugWord } from "./sources.ts";
import { STACK, stackNamed } from "./stacks.ts";

const SlugSchema = exactly({
  blob: exactly({ method: Type.String(), url: Type.String() }),
  buildpack_provided_description: nullable(Type.String()),
  checksum: nullable(Type.String()),
  commit: nullable(Type.String()),
  commit_description: nullable(Type.String()),
  created_at: DateTime,
  deleted_at: nullable(DateTime),
  id: Uuid,
  process_types: Type.Record(Type.String(), Type.String()),
  size: nullable(Type.Integer()),
  stack: Named,
  updated_at: DateTime,
});

/** One line that a person wrote. */
export const line = (maxLength: number) => Type.String({ maxLength, pattern: "^[^\\x00-\\x1f\\x7f]*$" });
export const Checksum = Type.String({ pattern: "^[sS][hH][aA]256:[0-9a-fA-F]{64}$" });

const CreateBody = Type.Object({
  buildpack_provided_description: Type.Optional(nullable(line(200))),
  checksum: Type.Optional(nullable(Checksum)),
  commit: Type.Optional(nullable(line(200))),
  commit_description: Type.Optional(nullable(Type.String({ maxLength: 10_000, pattern: "^[^\\x00]*$" }))),
  process_types: Type.Record(
    Type.String(),
    Type.String({ maxLength: 16 * 1024, pattern: "^[^\\x00]*[^\\s\\x00][^\\x00]*$" }),
  ),
  stack: Type.Optional(nullable(Type.String())),
});

const PROCESS_TYPES_MAX = 100;
/** How long the URL of an archive may be used. */
const URL_MS = 60 * 60_000;
const GET = "slug";

export function slugRoutes(routes: Routes, context: ApiContext): void {
  const { store, signer, clock, builds } = context;
  routes.app(
    {
      path: "POST /apps/:app/slugs",
      needs: "deploy",
      power: "write",
      body: CreateBody,
      response: SlugSchema,
      status: 201,
    },
    async (call) => {
      const { app, body } = call;
      const types = Object.keys(body.process_types);
      if (types.length > PROCESS_TYPES_MAX || !types.every((type) => PROCESS_TYPE.test(type) && type !== "__proto__"))
        throw new PlatformError(
          "invalid_params",
          `process_types: at most ${PROCESS_TYPES_MAX}, each named with letters, digits, - and _.`,
        );
      const upload = await store.slugs.announce({
        appId: app.id,
        processTypes: body.process_types,
        stack: body.stack ? stackNamed(body.stack) : STACK,
        commit: body.commit ?? null,
        commitDescription: body.commit_description ?? null,
        buildpackDescription: body.buildpack_provided_description ?? null,
        checksum: body.checksum ?? null,
      });
      return slugJson(upload, { method: "PUT", url: url(SLUG_PUT, upload.id, call) });
    },
  );
  // Its address gives the code, or takes it: to see an app is not enough for that.
  routes.app(
    { path: "GET /apps/:app/slugs/:slug", needs: "deploy", audit: "read", response: SlugSchema },
    async (call) => {
      const id = call.params["slug"] ?? "";
      const slug = await store.slugs.byId(id);
      if (slug?.appId === call.app.id) return slugJson(slug, { method: "GET", url: url(GET, id, call) });
      const upload = await store.slugs.uploadById(id);
      if (upload?.appId === call.app.id) return slugJson(upload, { method: "PUT", url: url(SLUG_PUT, id, call) });
      throw noSlug();
    },
  );
  routes.open({ path: `GET ${SLUG_PATH}:word`, response: Type.Unknown() }, async ({ params, reply }) => {
    const facts = signer.open(GET, params["word"] ?? "") as SlugWord | undefined; // sealed below
    const slug = facts && facts.until >= clock.now() ? await store.slugs.byId(facts.id) : undefined;
    if (!slug) throw noSlug();
    return sendStream(reply, { type: "application/gzip", body: builds.slugArchive(slug) });
  });

  function url(purpose: string, id: string, { address }: Call): string {
    const word: SlugWord = { id, until: clock.now() + URL_MS };
    return address.link(`${SLUG_PATH}${signer.seal(purpose, word)}`);
  }
}

/** A slug to release in this app: its own, or a copy of one of another app that the caller may deploy. */
export async function slugFor(id: string, app: App, user: User, { store }: ApiContext): Promise<Slug> {
  const slug = await store.slugs.byId(id);
  if (slug?.appId === app.id) return slug;
  const source = slug && (await store.apps.findFor(user.id, slug.appId));
  if (slug && source) {
    demand(source, "deploy");
    return store.slugs.copy(slug.id, app.id);
  }
  if ((await store.slugs.uploadById(id))?.appId === app.id)
    throw new PlatformError(
      "invalid_params",
      "The archive of that slug has not been uploaded yet: PUT it to blob.url.",
    );
  throw noSlug();
}

function noSlug(): PlatformError {
  return new PlatformError("not_found", "Couldn't find that slug.", { resource: "slug" });
}

function slugJson(slug: Slug | SlugUpload, blob: { readonly method: string; readonly url: string }) {
  return {
    blob,
    buildpack_provided_description: slug.buildpackDescription,
    checksum: slug.checksum ?? ("digest" in slug ? `SHA256:${slug.digest}` : null),
    commit: slug.commit,
    commit_description: slug.commitDescription,
    created_at: dateTime(slug.createdAt),
    deleted_at: null,
    id: slug.id,
    process_types: { ...slug.processTypes },
    size: "digest" in slug ? slug.sizeBytes : null,
    stack: constantRef("stack", slug.stack),
    updated_at: dateTime(slug.createdAt),
  };
}
