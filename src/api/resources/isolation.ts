import Type from "typebox";
import { EngineError } from "../../engine/engine.ts";
import { PlatformError } from "../../model/errors.ts";
import { ISOLATIONS, type Isolation, isIsolation } from "../../model/isolation.ts";
import { addRelease, announce } from "../actions.ts";
import type { ApiContext } from "../context.ts";
import type { AppCall, Routes } from "../route.ts";
import { exactly, nullable } from "../schema.ts";
import { codeOfNext } from "./config-vars.ts";

const Answer = exactly({
  /** What the next releases are made with. */
  isolation: Type.String(),
  /** What the current release's dynos run with. */
  current: nullable(Type.String()),
  /** Every class, and why it cannot be had on this machine; null: it can. */
  choices: Type.Array(exactly({ name: Type.String(), refusal: nullable(Type.String()) })),
});
const Change = Type.Object({ isolation: Type.String({ maxLength: 100 }) });

/** An extension: the isolation class of an app's dynos (docs/dynos.md). A change is a release, which is rolled out as any other. */
export function isolationRoutes(routes: Routes, context: ApiContext): void {
  const { store, engine } = context;

  routes.app({ path: "GET /apps/:app/stator/isolation", needs: "view", response: Answer }, ({ app }) =>
    answerFor(app.id),
  );
  routes.app(
    { path: "PATCH /apps/:app/stator/isolation", needs: "operate", body: Change, response: Answer },
    async (call) => {
      const wanted = isolationNamed(call.body.isolation);
      const refusal = wanted === call.app.isolation ? null : await refusalOf(wanted);
      if (refusal !== null)
        throw new PlatformError("invalid_params", `The isolation class ${wanted} cannot be had here: ${refusal}`);
      call.tell({ isolation: wanted });
      await change(call, wanted);
      return answerFor(call.app.id);
    },
  );

  /** A call that changes nothing makes no release. */
  async function change({ app, user }: AppCall, isolation: Isolation): Promise<void> {
    const release = await store.transaction(async (inner) => {
      const now = await inner.apps.byId(app.id);
      if (now === undefined) throw new PlatformError("not_found", "Couldn't find that app.", { resource: "app" });
      if (now.isolation === isolation) return undefined;
      await inner.apps.update(app.id, { isolation });
      const current = now.currentReleaseId === null ? undefined : await inner.releases.byId(now.currentReleaseId);
      const code = await codeOfNext(inner.releases, app.id, current);
      return addRelease(inner, { app, user, description: `Set isolation to ${isolation}`, ...code });
    });
    if (release) announce(context, release, app, user);
  }

  async function refusalOf(isolation: Isolation): Promise<string | null> {
    try {
      return await engine.isolationRefusal(isolation);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      const what = "What this machine can give cannot be told now, since its host process does not answer.";
      throw new PlatformError("service_unavailable", `${what} Please try again in a minute.`, { cause: error });
    }
  }

  async function answerFor(appId: string) {
    const app = await store.apps.byId(appId);
    if (app === undefined) throw new PlatformError("not_found", "Couldn't find that app.", { resource: "app" });
    const current = app.currentReleaseId === null ? undefined : await store.releases.byId(app.currentReleaseId);
    const choices = ISOLATIONS.map(async (name) => ({ name, refusal: await refusalOf(name) }));
    return { isolation: app.isolation, current: current?.isolation ?? null, choices: await Promise.all(choices) };
  }
}

function isolationNamed(word: string): Isolation {
  if (isIsolation(word)) return word;
  throw new PlatformError(
    "invalid_params",
    `There is no isolation class of that name; choose ${ISOLATIONS.join(" or ")}.`,
  );
}
