import Type from "typebox";
import { PlatformError } from "../../model/errors.ts";
import type { Routes } from "../route.ts";
import { constantId, DateTime, exactly, Uuid } from "../schema.ts";

/** The default, and for now the only one. */
export const STACK = "debian-12";
const SINCE = "2026-01-01T00:00:00Z";

const Stack = exactly({
  created_at: DateTime,
  default: Type.Boolean(),
  id: Uuid,
  name: Type.String(),
  state: Type.String(),
  updated_at: DateTime,
});
const STACK_JSON = {
  created_at: SINCE,
  default: true,
  id: constantId("stack", STACK),
  name: STACK,
  state: "public",
  updated_at: SINCE,
};

export function stackRoutes(routes: Routes): void {
  routes.account({ path: "GET /stacks", response: Type.Array(Stack), orderBy: ["name", "id"] }, () => [STACK_JSON]);
  routes.app(
    { path: "GET /apps/:app/available-stacks", needs: "view", response: Type.Array(Stack), orderBy: ["name", "id"] },
    () => [STACK_JSON],
  );
  routes.account({ path: "GET /stacks/:stack", response: Stack }, ({ params }) => {
    const named = params["stack"] ?? "";
    if (named === STACK_JSON.name || named === STACK_JSON.id) return STACK_JSON;
    throw new PlatformError("not_found", `Couldn't find that stack (${named}).`, { resource: "stack" });
  });
}

/** The name of a stack by name or id. Throws for one that is not there. */
export function stackNamed(named: string): string {
  if (named === STACK_JSON.name || named === STACK_JSON.id) return STACK_JSON.name;
  throw new PlatformError("invalid_params", `Couldn't find that stack (${named}). Available stacks: ${STACK}.`);
}
