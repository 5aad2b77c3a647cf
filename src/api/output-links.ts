import Type, { type Static } from "typebox";
import { Check } from "typebox/value";
import type { Clock } from "../lib/clock.ts";
import type { Store } from "../store/store.ts";
import { exactly, nullable, Uuid } from "./schema.ts";
import type { Signer } from "./signer.ts";

export type OutputKind = "build" | "release";

/** What the address of a build's or a release command's output carries, sealed. */
const Link = exactly({
  id: Uuid,
  /** It ends with this token; null: a webhook was told of it. */
  token: nullable(Uuid),
  /** Not after. */
  until: Type.Integer(),
});
type Link = Static<typeof Link>;

const DAY_MS = 86_400_000;
/** `sync` deliveries are tried for three days. */
const WEBHOOK_DAYS = 4;

/** A path that is its own permission for the next one to two days; the same within a day, so that ETags stay. */
export function outputPath(
  kind: OutputKind,
  id: string,
  { signer, now, tokenId }: { readonly signer: Signer; readonly now: number; readonly tokenId: string | null },
): string {
  const days = tokenId === null ? WEBHOOK_DAYS : 1;
  const link: Link = { id, token: tokenId, until: (Math.floor(now / DAY_MS) + 1 + days) * DAY_MS };
  return `/stator/${kind}-output/${signer.seal(`${kind}-output`, link)}`;
}

interface Opening {
  readonly signer: Signer;
  readonly clock: Clock;
  readonly store: Pick<Store, "tokens" | "users" | "apps">;
}

/**
 * The id that the link names; undefined: it is none of ours, it has ended, or whoever was given it may not see the app any more. `appIdOf`:
 * whose build or release it is.
 */
export async function openOutput(
  kind: OutputKind,
  word: string,
  appIdOf: (id: string) => Promise<string | undefined>,
  { signer, clock, store }: Opening,
): Promise<string | undefined> {
  const link = signer.open(`${kind}-output`, word);
  if (!Check(Link, link) || clock.now() > link.until) return undefined;
  if (link.token === null) return link.id;
  const appId = await appIdOf(link.id);
  const token = await store.tokens.byId(link.token);
  const isLive = token !== undefined && (token.expiresAt === null || token.expiresAt > clock.now());
  const user = isLive ? await store.users.byId(token.userId) : undefined;
  if (appId === undefined || user === undefined || user.suspendedAt !== null) return undefined;
  return (await store.apps.findFor(user.id, appId)) === undefined ? undefined : link.id;
}
