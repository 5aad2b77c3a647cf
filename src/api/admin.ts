import { once } from "node:events";
import { chmod, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { FastifyInstance } from "fastify";
import Type from "typebox";
import type { ApiContext } from "./context.ts";
import { createHttp } from "./http.ts";
import { Routes } from "./route.ts";
import { exactly, words } from "./schema.ts";

const TokenBody = exactly({
  description: words(200, 1),
  email: Type.Optional(Type.String()),
});
const TokenAnswer = exactly({ token: Type.String(), email: Type.String() });
const AppsAnswer = Type.Array(exactly({ id: Type.String(), name: Type.String() }));

/** Who the owner is called while nobody was named. */
const OWNER = "owner@localhost";

/**
 * The socket for the machine's own administrators: whoever can open it (root, and the daemon's user) may have a token of
 * anybody's. Its routes are on no other listener.
 */
export async function listenAdmin(context: ApiContext, checkResponses: boolean): Promise<AsyncDisposable> {
  const path = join(context.config.instance.paths.daemonRun, "admin.sock");
  const server = createHttp({ ...context, checkResponses, admit: () => {}, takesUpgrade: () => false });
  addTokenRoute(server, context);
  addAppsRoute(server, context);
  await server.ready();
  await unlink(path).catch(() => {}); // of a daemon that was killed
  const umask = process.umask(0o177); // the socket is made within listen(): never open to others, not for an instant
  try {
    server.server.listen(path);
  } finally {
    process.umask(umask);
  }
  await once(server.server, "listening");
  await chmod(path, 0o600);
  return {
    async [Symbol.asyncDispose]() {
      await server.close();
    },
  };
}

function addTokenRoute(server: FastifyInstance, { store, audit, clock }: ApiContext): void {
  new Routes(server, audit, clock).open(
    {
      path: "POST /tokens",
      body: TokenBody,
      response: TokenAnswer,
      status: 201,
      audit: "change",
    },
    async ({ body, tell }) => {
      tell({ email: body.email ?? null, description: body.description });
      const owner = body.email === undefined ? await store.users.owner() : undefined;
      const user = owner ?? (await store.users.ensure(body.email ?? OWNER));
      const token = {
        userId: user.id,
        description: body.description,
        scopes: ["global"],
        expiresAt: null,
        isSession: true,
      };
      const { text } = await store.tokens.create(token);
      return { token: text, email: user.email };
    },
  );
}

/** Every app's id, for commands of the machine's administrator that name one. */
function addAppsRoute(server: FastifyInstance, { store, audit, clock }: ApiContext): void {
  new Routes(server, audit, clock).open({ path: "GET /apps", response: AppsAnswer }, async () =>
    (await store.apps.list()).map(({ id, name }) => ({ id, name })),
  );
}
