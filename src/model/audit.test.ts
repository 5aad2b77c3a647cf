import assert from "node:assert/strict";
import { test } from "node:test";
import { kindOf } from "./audit.ts";

test("what a call did is told by its route", () => {
  const kinds = {
    "POST /apps": "app create",
    "PATCH /apps/:app": "app update",
    "DELETE /apps/:app": "app destroy",
    "GET /apps/:app/config-vars": "config-var read",
    "PATCH /apps/:app/config-vars": "config-var update",
    "GET /apps/:app/releases/:release/config-vars": "config-var read",
    "POST /apps/:app/collaborators": "collaborator create",
    "DELETE /teams/apps/:app/collaborators/:collaborator": "collaborator destroy",
    "PATCH /apps/:app/formation/:formation": "formation update",
    "DELETE /apps/:app/dynos/:dyno": "dyno restart",
    "POST /apps/:app/dynos/:dyno/actions/stop": "dyno stop",
    "POST /apps/:app/dynos": "dyno run",
    "POST /oauth/authorizations/:authorization/actions/regenerate-tokens": "authorization regenerate-tokens",
    "PUT /apps/:app/formation/:type/health-checks": "health-check update",
    "DELETE /apps/:app/acm": "acm destroy",
  };
  for (const [route, kind] of Object.entries(kinds)) {
    const { type, action } = kindOf(route);
    assert.equal(`${type} ${action}`, kind, route);
  }
});
