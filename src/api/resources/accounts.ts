import Type from "typebox";
import type { User } from "../../model/app.ts";
import { PlatformError } from "../../model/errors.ts";
import type { ApiContext } from "../context.ts";
import type { AccountCall, Routes } from "../route.ts";
import { DateTime, dateTime, Empty, exactly, Nothing, nullable, Uuid } from "../schema.ts";

const Account = exactly({
  allow_tracking: Type.Boolean(),
  beta: Type.Boolean(),
  country_of_residence: nullable(Type.String()),
  created_at: DateTime,
  default_organization: Type.Null(),
  default_team: Type.Null(),
  delinquent_at: Type.Null(),
  email: Type.String(),
  federated: Type.Boolean(),
  id: Uuid,
  identity_provider: Type.Null(),
  last_login: nullable(DateTime),
  name: nullable(Type.String()),
  sms_number: Type.Null(),
  suspended_at: Type.Null(),
  two_factor_authentication: Type.Boolean(),
  updated_at: DateTime,
  verified: Type.Boolean(),
});

/** The account of the caller. There are no passwords, no billing, and no account features here. */
export function accountRoutes(routes: Routes, { rateLimit }: ApiContext): void {
  routes.account({ path: "GET /account", power: "identity", response: Account }, ({ user }) => accountJson(user));
  routes.account({ path: "GET /users/:account", power: "identity", response: Account }, (call) =>
    accountJson(self(call)),
  );
  routes.account(
    {
      path: "GET /account/rate-limits",
      power: "identity",
      response: exactly({ remaining: Type.Integer() }),
      isFree: true,
    },
    ({ user }) => ({ remaining: rateLimit.remaining(user.id) }),
  );
  routes.account({ path: "GET /account/features", power: "identity", response: Nothing }, () => []);
  for (const path of ["GET /account/features/:feature", "PATCH /account/features/:feature"] as const) {
    routes.account({ path, power: "identity", response: Empty }, ({ params }) => {
      throw new PlatformError("not_found", `Couldn't find that account feature (${params["feature"]}).`, {
        resource: "account_feature",
      });
    });
  }
  routes.account(
    {
      path: "GET /account/delinquency",
      power: "identity",
      response: exactly({ scheduled_deletion_time: Type.Null(), scheduled_suspension_time: Type.Null() }),
    },
    () => ({ scheduled_deletion_time: null, scheduled_suspension_time: null }),
  );
}

/** The caller, when the path means them; others are nobody's business. */
export function self({ params, user }: AccountCall): User {
  const named = decodeURIComponent(params["account"] ?? "").toLowerCase();
  if (named === "~" || named === user.id || named === user.email) return user;
  throw new PlatformError("not_found", "Couldn't find that user.", { resource: "user" });
}

function accountJson(user: User) {
  return {
    allow_tracking: false,
    beta: false,
    country_of_residence: null,
    created_at: dateTime(user.createdAt),
    default_organization: null,
    default_team: null,
    delinquent_at: null,
    email: user.email,
    federated: false,
    id: user.id,
    identity_provider: null,
    last_login: null,
    name: user.name,
    sms_number: null,
    suspended_at: null,
    two_factor_authentication: false,
    updated_at: dateTime(user.updatedAt),
    verified: true,
  };
}
