import { kindOf } from "../model/audit.ts";
import type { RouteEntry } from "./http.ts";

/**
 * The API as a JSON hyper-schema, in the form of Heroku's published one (`definitions.<resource>.links[]` with `href`, `method`, `rel`,
 * `schema`, `targetSchema`): made of the schemas by which the routes themselves check, so that it cannot say anything else. Pure.
 */
export function hyperSchema(routes: readonly RouteEntry[], version: string): HyperSchema {
  const links = routes
    .filter(({ method, url }) => ["GET", "POST", "PUT", "PATCH", "DELETE"].includes(method) && !url.includes("*"))
    .map((route) => [resourceOf(route), route] as const);
  const byResource = Map.groupBy(links, ([resource]) => resource);
  const names = new Set([...byResource.keys(), ...links.flatMap(([, { url }]) => parametersOf(url))]);
  const definitions = [...names]
    .toSorted()
    .map((name) => [name, definitionOf(name, byResource.get(name)?.map(([, route]) => route) ?? [])] as const);
  return {
    $schema: "http://interagent.github.io/interagent-hyper-schema",
    title: "Stator Platform API",
    description: "Heroku's Platform API v3 as this platform answers it, with the extensions of its own.",
    version,
    type: ["object"],
    definitions: Object.fromEntries(definitions),
    properties: Object.fromEntries(definitions.map(([name]) => [name, { $ref: `#/definitions/${name}` }])),
    links: [{ href: "/schema", rel: "self" }],
  };
}

export interface HyperSchema {
  readonly $schema: string;
  readonly title: string;
  readonly description: string;
  readonly version: string;
  readonly type: readonly string[];
  readonly definitions: Readonly<Record<string, Definition>>;
  readonly properties: Readonly<Record<string, unknown>>;
  readonly links: readonly unknown[];
}

export interface Definition {
  readonly title: string;
  readonly type: readonly string[];
  readonly definitions: Readonly<Record<string, unknown>>;
  readonly properties: Readonly<Record<string, unknown>>;
  readonly links: readonly Link[];
}

export interface Link {
  readonly title: string;
  readonly href: string;
  readonly method: string;
  readonly rel: string;
  readonly schema?: unknown;
  readonly targetSchema?: unknown;
}

function definitionOf(name: string, routes: readonly RouteEntry[]): Definition {
  const answers = routes.map(answerOf).map((schema) => (schema?.["type"] === "array" ? schema["items"] : schema));
  const whole = answers.find(isObject);
  return {
    title: name,
    type: ["object"],
    definitions: { identity: { description: `what names one ${name} in a path`, type: ["string"] } },
    properties: whole?.properties ?? {},
    links: routes.map(linkOf),
  };
}

function linkOf(route: RouteEntry): Link {
  const { method, url, schema } = route;
  const answer = answerOf(route);
  const body = schema?.body;
  return {
    title: `${kindOf(`${method} ${url}`).action} ${resourceOf(route)}`,
    href: url.replaceAll(/:(\w+)/g, (_, parameter: string) => `{(${reference(parameter)})}`),
    method,
    rel: relationOf(method, answer),
    ...(body !== undefined && { schema: body }),
    ...(answer !== undefined && { targetSchema: answer }),
  };
}

/** `{(%23%2Fdefinitions%2Fapp%2Fdefinitions%2Fidentity)}`, as tools for such schemas expect. */
function reference(parameter: string): string {
  return encodeURIComponent(`#/definitions/${PARAMETERS[parameter] ?? parameter}/definitions/identity`);
}

function relationOf(method: string, answer: Schema | undefined): string {
  if (method === "GET") return answer?.["type"] === "array" ? "instances" : "self";
  return { POST: "create", DELETE: "destroy" }[method] ?? "update";
}

type Schema = Readonly<Record<string, unknown>>;

function answerOf({ schema }: RouteEntry): Schema | undefined {
  const response = schema?.response as Readonly<Record<string, Schema>> | undefined; // made in `route.ts` alone
  return response?.["2xx"];
}

function isObject(schema: unknown): schema is { readonly properties: Schema } {
  return typeof schema === "object" && schema !== null && "properties" in schema;
}

function parametersOf(url: string): readonly string[] {
  return [...url.matchAll(/:(\w+)/g)].map(([, parameter = ""]) => PARAMETERS[parameter] ?? parameter);
}

/** Parameters that are called otherwise than the resource they name. */
const PARAMETERS: Readonly<Record<string, string>> = {
  addon: "add-on",
  attachment: "add-on-attachment",
  authorization: "oauth-authorization",
  client: "oauth-client",
  drain: "log-drain",
  endpoint: "sni-endpoint",
  rule: "egress-rule",
  size: "dyno-size",
  user: "account",
};

/** Heroku's names of resources, where the path says another word. */
const RESOURCES: readonly (readonly [RegExp, string])[] = [
  [/^\/oauth\/(\w+?)s\b/, "oauth-$1"],
  [/^\/account\/features\b.*/, "account-feature"],
  [/^\/account\/rate-limits$/, "rate-limit"],
  [/^\/account\/delinquency$/, "account-delinquency"],
  [/^\/account\/keys\b.*/, "key"],
  [/^\/apps\/:app\/features\b.*/, "app-feature"],
  [/^\/teams\/apps\/:app\/collaborators\b.*/, "team-app-collaborator"],
  [/^\/teams\/permissions$/, "team-app-permission"],
  [/^\/filters\/apps$/, "filter-apps"],
  [/^\/users\/:account\/apps$/, "app"],
  [/^\/users\/:account$/, "account"],
  [/^\/apps\/:app\/dynos$|^\/apps\/:app\/formations\/:type.*/, "dyno"],
  [/^\/apps\/:app\/(?:available-)(\w+(?:-\w+)*?)s$/, "$1"],
  [/^(?:\/users\/:account|\/apps\/:app|\/actions)?\/addon-attachments\b.*/, "add-on-attachment"],
  [/^(?:\/users\/:account|\/apps\/:app|\/actions)?\/addons\b.*/, "add-on"],
];

export function resourceOf({ method, url }: Pick<RouteEntry, "method" | "url">): string {
  for (const [pattern, name] of RESOURCES) {
    const [matched] = pattern.exec(url) ?? [];
    if (matched !== undefined) return matched.replace(pattern, name);
  }
  return kindOf(`${method} ${url}`).type;
}
