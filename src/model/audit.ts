import type { Instant } from "../lib/clock.ts";

/** Who did what from where: one line of the audit log. It says which things were named, never a value of a config var or a token. */
export interface AuditEvent {
  readonly id: string;
  /** Rises by one from each to the next that is kept. */
  readonly sequence: number;
  readonly at: Instant;
  /** null: root, on the platform's machine. */
  readonly actor: { readonly id: string; readonly email: string } | null;
  /** The authorization whose token was used. */
  readonly tokenId: string | null;
  readonly app: { readonly id: string; readonly name: string } | null;
  /** What kind of thing: `config-var`, `collaborator`. */
  readonly type: string;
  /** `create`, `update`, `destroy`, `read`, or a verb of its own: `restart`. */
  readonly action: string;
  readonly outcome: "done" | "refused";
  readonly method: string;
  readonly path: string;
  /** Network address; null: the admin socket. */
  readonly address: string | null;
  readonly agent: string | null;
  readonly requestId: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export type NewAuditEvent = Omit<AuditEvent, "id" | "sequence">;

const ACTIONS: Readonly<Record<string, string>> = {
  GET: "read",
  POST: "create",
  PUT: "update",
  PATCH: "update",
  DELETE: "destroy",
};
/** Where the address says something else than what is done. */
const VERBS: Readonly<Record<string, readonly [type: string, action: string]>> = {
  "DELETE /apps/:app/dynos": ["dyno", "restart"],
  "DELETE /apps/:app/dynos/:dyno": ["dyno", "restart"],
  "DELETE /apps/:app/formations/:type": ["dyno", "restart"],
  "POST /apps/:app/formations/:type/actions/stop": ["dyno", "stop"],
  "POST /apps/:app/dynos": ["dyno", "run"],
  "PUT /api/v2/:dyno": ["dyno", "tunnel"],
  "POST /apps/:app/log-sessions": ["log", "read"],
  "GET /apps/:app/releases/:release/stator/image": ["slug", "read"],
  "POST /tokens": ["authorization", "create"],
};

/** Type and action of a call, by its route (`POST /apps/:app/domains`): domain, create. Pure. */
export function kindOf(route: string): { readonly type: string; readonly action: string } {
  const [type, action] = VERBS[route] ?? [];
  if (type !== undefined && action !== undefined) return { type, action };
  const [method = "", path = ""] = route.split(" ");
  const [before = "", verb] = path.split("/actions/");
  const word = before.split("/").findLast((part) => part !== "" && !part.startsWith(":") && part !== "*") ?? "app";
  return { type: singular(word), action: verb ?? ACTIONS[method] ?? method.toLowerCase() };
}

function singular(word: string): string {
  if (word === "config-vars") return "config-var";
  return word.endsWith("s") && !word.endsWith("ss") ? word.slice(0, -1) : word;
}
