import Type from "typebox";
import { PlatformError } from "../../model/errors.ts";
import type { Routes } from "../route.ts";
import { Nothing } from "../schema.ts";

/** Lists that clients ask for and find empty: without the answer their commands fail (platform-api 5, 6). */
const EMPTY_OF_ACCOUNT = [
  "GET /addons",
  "GET /addon-attachments",
  "GET /addon-services",
  "GET /users/:account/addons",
  "GET /teams",
  "GET /spaces",
] as const;

const EMPTY_OF_APP = ["GET /apps/:app/addons", "GET /apps/:app/addon-attachments"] as const;

const TEAMS = "There are no teams here: an app's owner gives others a part in it, with stator access:add EMAIL.";
const SPACES = "There are no spaces here: every app runs on this machine, behind walls of its own.";
const REVIEW_APPS =
  "There are no review apps here: push a branch to an app of its own, and put that into the pipeline's stage review.";
const STAGE_VARS =
  "There is no CI here whose tests a stage's config vars would be for: each app of a pipeline has its own.";
const LOGIN =
  "There is no page to log in on here: type heroku login -i, with your e-mail address and, as the password, a token (sudo stator token --new on the platform's machine makes one).";
const ADDONS = "There are no add-ons here: set a service's address as a config var.";

/** What cannot be done is refused in a sentence, never quietly dropped. */
const REFUSED_OF_ACCOUNT = {
  "POST /addon-attachments": ADDONS,
  "POST /teams": TEAMS,
  "POST /teams/apps": TEAMS,
  "POST /enterprise-accounts/:enterprise/teams": TEAMS,
  "POST /spaces": SPACES,
  "POST /pipelines/:pipeline/review-app-config": REVIEW_APPS,
  "PATCH /pipelines/:pipeline/review-app-config": REVIEW_APPS,
  "PATCH /pipelines/:pipeline/stage/:stage/config-vars": STAGE_VARS,
} as const;

const REFUSED_OF_APP = {
  "POST /apps/:app/addons": ADDONS,
  "PUT /apps/:app/pre-authorizations": "There is no two-factor login here: no call asks for a second factor.",
} as const;

/** Single things of kinds that do not exist here, with the `resource` that clients look at. */
const NOT_FOUND_OF_ACCOUNT = {
  "GET /addons/:addon": "add_on",
  "GET /addons/:addon/addon-attachments": "add_on",
  "GET /addons/:addon/config": "add_on",
  "GET /addons/:addon/log-drains": "add_on",
  "GET /addon-attachments/:attachment": "add_on attachment",
  "GET /addon-services/:service": "add_on service",
  "GET /addon-services/:service/plans": "add_on service",
  "POST /actions/addons/resolve": "add_on",
  "POST /actions/addon-attachments/resolve": "add_on attachment",
  "GET /teams/:team": "team",
  "GET /teams/:team/addons": "team",
  "GET /teams/:team/apps": "team",
  "GET /teams/:team/features": "team",
  "GET /teams/:team/invitations": "team",
  "GET /teams/:team/members": "team",
  "GET /teams/:team/pipeline-couplings": "team",
  "GET /teams/:team/spaces": "team",
  "GET /teams/:team/available-generations": "team",
  "GET /spaces/:space": "space",
  "GET /spaces/:space/dynos": "space",
  "GET /spaces/:space/log-drain": "space",
  "GET /enterprise-accounts/:enterprise/teams": "enterprise_account",
  // Hours of eco dynos: as many as there are.
  "GET /accounts/:account/actions/get-quota": "quota",
  // Where a pipeline is connected to GitHub.
  "GET /pipelines/:pipeline/repo": "repo",
  "GET /pipelines/:pipeline/repo/branches/:branch": "repo",
  "GET /pipelines/:pipeline/review-app-config": "review_app_config",
  "GET /pipelines/:pipeline/stage/:stage/config-vars": "pipeline_config_var",
} as const;

/** The same for changes of such things. */
const NOT_FOUND_TO_CHANGE = {
  "PUT /addons/:addon/log-drains/:drain": "add_on",
  "DELETE /addon-attachments/:attachment": "add_on attachment",
  "PATCH /teams/:team": "team",
  "DELETE /teams/:team": "team",
  "POST /teams/:team/members": "team",
  "PUT /teams/:team/members": "team",
  "PATCH /teams/:team/members": "team",
  "PUT /teams/:team/invitations": "team",
  "PATCH /spaces/:space": "space",
  "DELETE /spaces/:space": "space",
  "PUT /spaces/:space/log-drain": "space",
  "DELETE /pipelines/:pipeline/review-app-config": "review_app_config",
} as const;

const NOT_FOUND_TO_CHANGE_OF_APP = {
  "PATCH /apps/:app/addons/:addon": "add_on",
  "DELETE /apps/:app/addons/:addon": "add_on",
  "PATCH /apps/:app/config-vars-settings": "config_vars_settings",
} as const;

const NOT_FOUND_OF_APP = {
  "GET /apps/:app/addons/:addon": "add_on",
  "GET /apps/:app/addon-attachments/:attachment": "add_on attachment",
  "GET /apps/:app/review-app": "review_app",
  // Of the variant 3.sdk, which no client of a user's asks for.
  "GET /apps/:app/config-vars-settings": "config_vars_settings",
  "GET /apps/:app/build-metadata": "build_metadata",
} as const;

/** Kinds of things that are not here yet, or never will be. */
export function missingRoutes(routes: Routes): void {
  // What `heroku login` asks of its login host, which `stator env` says is this one (platform-api 3.9).
  routes.open({ path: "POST /auth", response: Type.Never() }, refuse(LOGIN));
  for (const path of EMPTY_OF_ACCOUNT) routes.account({ path, response: Nothing }, () => []);
  for (const path of EMPTY_OF_APP) routes.app({ path, needs: "view", response: Nothing }, () => []);
  for (const [path, why] of entries(REFUSED_OF_ACCOUNT)) routes.account({ path, response: Type.Never() }, refuse(why));
  for (const [path, why] of entries(REFUSED_OF_APP))
    routes.app({ path, needs: "operate", response: Type.Never() }, refuse(why));
  for (const [path, kind] of entries(NOT_FOUND_OF_ACCOUNT)) {
    routes.account({ path, power: "read-protected", response: Type.Never() }, notFound(kind));
  }
  for (const [path, kind] of entries(NOT_FOUND_TO_CHANGE))
    routes.account({ path, response: Type.Never() }, notFound(kind));
  for (const [path, kind] of entries(NOT_FOUND_TO_CHANGE_OF_APP))
    routes.app({ path, needs: "operate", response: Type.Never() }, notFound(kind));
  for (const [path, kind] of entries(NOT_FOUND_OF_APP)) {
    routes.app({ path, needs: "view", power: "read-protected", response: Type.Never() }, notFound(kind));
  }
}

function entries<K extends string, V>(table: Readonly<Record<K, V>>): readonly [K, V][] {
  return Object.entries(table) as [K, V][]; // the tables above have exactly these keys
}

function refuse(why: string): () => never {
  return () => {
    throw new PlatformError("invalid_params", why);
  };
}

function notFound(resource: string): () => never {
  return () => {
    throw new PlatformError("not_found", `Couldn't find that ${resource.replaceAll("_", " ")}.`, { resource });
  };
}
