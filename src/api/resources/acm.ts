import Type from "typebox";
import { PlatformError } from "../../model/errors.ts";
import type { ApiContext } from "../context.ts";
import type { AppCall, Routes } from "../route.ts";
import { AppSchema, appJson } from "./apps.ts";

const RefreshBody = Type.Object({ acm_refresh: Type.Optional(Type.Boolean()) });

/** Automatic certificate management: the platform gets and renews the certificates of an app's domains (platform-api 8). */
export function acmRoutes(routes: Routes, context: ApiContext): void {
  const { store, certificates } = context;
  const answer = (call: AppCall) => appJson(call.app, call, context);

  routes.app({ path: "POST /apps/:app/acm", needs: "operate", response: AppSchema }, async (call) => {
    if (certificates.acmRefusal !== null) throw new PlatformError("invalid_params", certificates.acmRefusal);
    if (!(await store.certificates.isAutomatic(call.app.id))) await store.certificates.setAutomatic(call.app.id, true);
    await certificates.refresh(call.app.id);
    return answer(call);
  });
  routes.app(
    { path: "PATCH /apps/:app/acm", needs: "operate", body: RefreshBody, response: AppSchema },
    async (call) => {
      if (!(await store.certificates.isAutomatic(call.app.id))) {
        throw new PlatformError(
          "invalid_params",
          `Automatic certificate management is off for ${call.app.name}: turn it on with certs:auto:enable.`,
        );
      }
      await certificates.refresh(call.app.id);
      return answer(call);
    },
  );
  routes.app({ path: "DELETE /apps/:app/acm", needs: "operate", response: AppSchema }, async (call) => {
    await store.certificates.setAutomatic(call.app.id, false);
    await certificates.settle(call.app.id);
    return answer(call);
  });
}
