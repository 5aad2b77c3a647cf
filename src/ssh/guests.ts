import type { Clock } from "../lib/clock.ts";
import { isFeatureOn } from "../model/feature.ts";
import type { Store } from "../store/store.ts";
import type { Guest } from "./stage.ts";
import type { Tunnel } from "./tunnels.ts";

/**
 * Who a tunnel's client is, if all still holds that let its key be registered: the token, the person, their part in the app, the app's
 * feature, the dyno. Rights that were taken away end with the next connection, not with the key.
 */
export async function guestOf(
  tunnel: Tunnel,
  { store, clock }: { readonly store: Store; readonly clock: Clock },
): Promise<Guest | undefined> {
  const { appId, dynoId, dynoName, userId, tokenId, name } = tunnel;
  const [token, user, access, switches, dyno] = await Promise.all([
    store.tokens.byId(tokenId),
    store.users.byId(userId),
    store.apps.findFor(userId, appId),
    store.features.list(appId),
    store.dynos.byId(dynoId),
  ]);
  const isLive = token !== undefined && (token.expiresAt === null || token.expiresAt > clock.now());
  if (!isLive || user === undefined || user.suspendedAt !== null) return undefined;
  if (access?.permissions.includes("deploy") !== true) return undefined;
  if (!isFeatureOn("runtime-heroku-exec", switches)) return undefined;
  if (dyno === undefined || dyno.exit !== null) return undefined;
  const { app } = access;
  return {
    userEmail: user.email,
    note: (what) =>
      store.audit.add([
        {
          at: clock.now(),
          actor: { id: user.id, email: user.email },
          tokenId,
          app: { id: app.id, name: app.name },
          type: "dyno",
          action: "exec",
          outcome: "done",
          method: "SSH",
          path: `/api/v2/${dynoName}`,
          address: "127.0.0.1", // the listener's address is one of this machine alone
          agent: null,
          requestId: name,
          data: { dyno: dynoName, ...what },
        },
      ]),
  };
}
