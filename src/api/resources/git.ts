import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Rule } from "../auth.ts";
import type { ApiContext } from "../context.ts";
import { callerOf } from "../route.ts";

/** Pushing is as much power as running a command: what is pushed reads the config vars. Code is for those who deploy it. */
const RULE: Rule = { kind: "app", needs: "deploy", power: (request) => (isPush(request) ? "write" : "read-protected") };

/** Git's smart HTTP at `/<app>.git/`: known here is who may, all else is the builds' (platform-api 3.5). */
export async function gitRoutes(server: FastifyInstance, { builds, audit }: ApiContext): Promise<void> {
  await server.register(async (git) => {
    git.removeAllContentTypeParsers();
    git.addContentTypeParser("*", (_request, _body, done) => done(null)); // packs are read as they come, by builds
    git.route({
      method: ["GET", "POST"],
      url: "/:app.git/*",
      exposeHeadRoute: false,
      config: { rule: RULE },
      handler: async (request, reply) => {
        const caller = callerOf(request);
        const { access, user } = caller;
        if (access === undefined) throw new Error("git has no app");
        const { app } = access;
        const { pathname } = new URL(request.url, "http://git");
        const rest = pathname.slice(pathname.indexOf(".git/") + ".git/".length);
        const service = isPush(request) ? "git-receive-pack" : "git-upload-pack";
        // Its first question (info/refs) is not what git came for.
        if (request.method === "POST") {
          const event = audit.eventOf(request, `POST /:app.git/${service}`, caller, {});
          const what = { ...event, type: "git", action: isPush(request) ? "push" : "fetch" };
          // A push goes on for minutes, in transactions of its own: that somebody pushes is told before.
          if (isPush(request))
            await audit.change(
              () => [what],
              async () => {},
            );
          else await audit.note(what);
        }
        reply.hijack();
        for (const [name, value] of Object.entries(reply.getHeaders())) reply.raw.setHeader(name, value ?? "");
        await builds.handleGit(request.raw, reply.raw, { app, user, rest });
      },
    });
  });
}

/** As the builds read it (`git-http.ts`): the query decoded. */
function isPush({ url }: FastifyRequest): boolean {
  const { pathname, searchParams } = new URL(url, "http://git");
  return pathname.endsWith("/git-receive-pack") || searchParams.get("service") === "git-receive-pack";
}
