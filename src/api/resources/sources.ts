import type { FastifyInstance, FastifyRequest } from "fastify";
import Type from "typebox";
import { PlatformError } from "../../model/errors.ts";
import type { Rule } from "../auth.ts";
import type { ApiContext } from "../context.ts";
import type { Call, Routes } from "../route.ts";
import { exactly } from "../schema.ts";
import { sendStream } from "../stream.ts";

const SourceSchema = exactly({ source_blob: exactly({ get_url: Type.String(), put_url: Type.String() }) });
const [PUT, GET] = ["source-put", "source"] as const;
const PATH = "/stator/sources/";

/** Places for archives to be built (platform-api 3.4): their URLs are their own permission, for an hour. */
export function sourceRoutes(routes: Routes, context: ApiContext): void {
  const { builds, signer } = context;
  const make = ({ address }: Call) => {
    const name = builds.sources.mint();
    const path = (purpose: string) => `${PATH}${signer.seal(purpose, name)}`;
    // What is got is got by us: it stands in the build for others to read, without a relay's ticket.
    return { source_blob: { get_url: new URL(path(GET), address.origin).href, put_url: address.link(path(PUT)) } };
  };
  const shape = { power: "write", response: SourceSchema, status: 201 } as const;
  routes.account({ path: "POST /sources", ...shape }, make);
  routes.app({ path: "POST /apps/:app/sources", needs: "deploy", ...shape }, make);
  routes.open({ path: `GET ${PATH}:word`, response: Type.Unknown() }, async ({ params, reply }) => {
    const name = opened(GET, params["word"], context);
    if (!(await builds.sources.has(name))) throw expired();
    return sendStream(reply, { type: "application/gzip", body: builds.sources.read(name) });
  });
}

/** Name of the upload that the URL stands for, if it is one of ours that is still good. */
export function uploadIn(url: URL, { signer, builds }: ApiContext): string | undefined {
  if (!url.pathname.startsWith(PATH)) return undefined;
  const name = signer.open(GET, url.pathname.slice(PATH.length));
  return typeof name === "string" && builds.sources.isFresh(name) ? name : undefined;
}

/** Uploads: bodies of any type and many megabytes, which go to disk as they come. */
export async function uploadRoutes(server: FastifyInstance, context: ApiContext): Promise<void> {
  const rule: Rule = { kind: "open" };
  await server.register(async (uploads) => {
    uploads.removeAllContentTypeParsers();
    uploads.addContentTypeParser("*", (_request, _body, done) => done(null));
    uploads.put<{ readonly Params: { readonly word: string } }>(
      `${PATH}:word`,
      { config: { rule } },
      async (request, reply) => {
        await context.builds.sources.receive(opened(PUT, request.params.word, context), bodyOf(request));
        return reply.code(200).type("application/json").send("{}");
      },
    );
    uploads.put<{ readonly Params: { readonly word: string } }>(
      `${SLUG_PATH}:word`,
      { config: { rule } },
      async (request, reply) => {
        await receiveSlug(request.params.word, bodyOf(request), context);
        return reply.code(200).type("application/json").send("{}");
      },
    );
  });
}

/** What comes, as it comes. When it is refused in the middle, the answer still leaves on this connection. */
async function* bodyOf({ raw }: FastifyRequest): AsyncGenerator<Uint8Array> {
  try {
    yield* raw.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>; // no encoding is set
  } catch (cause) {
    throw new PlatformError("bad_request", "The upload broke off.", { cause });
  } finally {
    raw.resume(); // what nobody wants must not stand before the next request
  }
}

function opened(purpose: string, word: string | undefined, { signer, builds }: ApiContext): string {
  const name = signer.open(purpose, word ?? "");
  if (typeof name !== "string" || !builds.sources.isFresh(name)) throw expired();
  return name;
}

function expired(): PlatformError {
  return new PlatformError("not_found", "This URL is not known here, or its hour is over.", { resource: "source" });
}

export const SLUG_PATH = "/stator/slugs/";
export const SLUG_PUT = "slug-put";

/** What the URL of a slug's archive carries. */
export interface SlugWord {
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly until: number;
}

async function receiveSlug(word: string, body: AsyncIterable<Uint8Array>, context: ApiContext): Promise<void> {
  const { signer, clock, store, builds } = context;
  const facts = signer.open(SLUG_PUT, word) as SlugWord | undefined; // sealed by slugs.ts alone
  if (facts === undefined || facts.until < clock.now()) throw expired();
  const upload = await store.slugs.uploadById(facts.id);
  const app = upload && (await store.apps.byId(upload.appId));
  if (!app) throw new PlatformError("conflict", "The archive of this slug has come already, or the slug is gone.");
  await builds.receiveSlug(app, upload, body);
}
