import { EngineError } from "../engine/engine.ts";
import { Busy } from "./build-dyno.ts";

/** Why a build dyno did not do its work, `what`, for whoever wanted it. */
export function reason(error: unknown, what: string): string {
  if (error instanceof Busy) return `This platform is busy (${error.message}); try again in a moment.`;
  if (error instanceof EngineError && error.id === "no_capacity")
    return "This machine has no room for a build now; try again in a moment.";
  if (error instanceof EngineError && error.id === "unavailable")
    return "The part of the platform that runs builds does not answer; it may be starting. Try again in a moment.";
  return `The platform could not run ${what}; its operator finds the reason in its log.`;
}
