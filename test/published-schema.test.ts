import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { HyperSchema, Link } from "../src/api/hyper-schema.ts";
import { answersOf } from "./support/answers.ts";
import { openWorld, type World } from "./support/api-world.ts";
import { PUBLISHED } from "./support/published-schema.ts";

/**
 * What `GET /schema` serves, which is what every answer in every test is checked against, has every field of Heroku's published schema,
 * of a type that strict clients (Go) can read.
 */
let world: World;
let schema: HyperSchema;
before(async () => {
  world = await openWorld();
  schema = (await world.call("GET", "/schema", { token: null })).json;
});
after(() => world[Symbol.asyncDispose]());

const plain = (path: string) => path.replaceAll(/\{\([^)]*\)\}|:[\w|~-]+|~/g, ":");
const links = () =>
  new Map(
    Object.values(schema.definitions)
      .flatMap((definition) => definition.links)
      .map((link) => [`${link.method} ${plain(link.href)}`, link] as const),
  );

interface Node {
  readonly type?: string;
  readonly anyOf?: readonly Node[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly items?: Node;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly patternProperties?: Readonly<Record<string, Node>>;
}

/** The object that a link answers with, one of a list too; undefined: it refuses, or answers with nothing. */
function objectOf(link: Link | undefined): Readonly<Record<string, Node>> | undefined {
  const target = link?.targetSchema as Node | undefined;
  const properties = (target?.type === "array" ? target.items : target)?.properties;
  return properties !== undefined && Object.keys(properties).length > 0 ? properties : undefined;
}

function typesOf(node: Node): readonly string[] {
  if (node.anyOf) return node.anyOf.flatMap(typesOf);
  if (node.enum) return node.enum.map((each) => typeof each);
  return [node.type ?? (node.const === null ? "null" : typeof node.const)];
}

/** Links that answer with nothing, and why. */
const NOTHING: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    [
      "DELETE /apps/:app/build-cache",
      "DELETE /apps/:app/dynos",
      "DELETE /apps/:app/dynos/:dyno",
      "POST /apps/:app/dynos/:dyno/actions/stop",
      "DELETE /apps/:app/formations/:type",
      "POST /apps/:app/formations/:type/actions/stop",
    ].map((path) => [path, "an empty object, as published"]),
  ),
  "GET /teams/:team/available-generations": "there are no teams",
  "GET /teams/:team/pipeline-couplings": "there are no teams",
  "GET /addons/:add-on/log-drains": "there are no add-ons",
  "PUT /addons/:add-on/log-drains/:url|id|token": "there are no add-ons",
  "GET /spaces/:space/telemetry-drains": "there are no spaces",
};

/** What is not so, and why. */
const OTHERWISE: Readonly<Record<string, string>> = {
  "app generation": "in the variant 3.sdk it is a word",
  "pipeline generation": "in the variant 3.sdk it is a word",
};

for (const [resource, { fields, links: published }] of Object.entries(PUBLISHED)) {
  test(`${resource}: every published field, in every link that is here`, () => {
    const here = links();
    for (const path of published) {
      const link = here.get(plain(path) as `${string} ${string}`);
      assert.ok(link, `${path} is not here`);
      const properties = objectOf(link);
      assert.equal(properties === undefined, NOTHING[path] !== undefined, `${path} answers with nothing`);
      if (properties === undefined) continue;
      for (const [field, wanted] of Object.entries(fields)) {
        const node: Node | undefined = properties[field];
        assert.ok(node, `${path} has no ${field}`);
        const [type, isNullable] = [wanted.replace("?", ""), wanted.endsWith("?")] as const;
        const may = [type, ...(isNullable ? ["null"] : []), ...(type === "number" ? ["integer"] : [])];
        const wrong: readonly string[] = typesOf(node).filter((each) => !may.includes(each));
        if (OTHERWISE[`${resource} ${field}`] === undefined)
          assert.deepEqual(wrong, [], `${path}: ${field} is published as ${wanted}`);
      }
    }
  });
}

test("config-var: maps of words", () => {
  for (const path of ["GET /apps/:/config-vars", "PATCH /apps/:/config-vars", "GET /apps/:/releases/:/config-vars"]) {
    const { type, patternProperties = {} } = (links().get(path as `${string} ${string}`)?.targetSchema ?? {}) as Node;
    assert.equal(type, "object", path);
    assert.deepEqual(Object.values(patternProperties).map(typesOf), [["string"]], path);
  }
});

test("what is not as the schema says is found", () => {
  const objection = answersOf(schema);
  const key = { comment: "", created_at: "2026-01-02T03:04:05Z", email: "a@b", fingerprint: "x", public_key: "x" };
  const whole = { ...key, id: "01234567-89ab-cdef-0123-456789abcdef", updated_at: key.created_at };
  assert.equal(objection("GET", "/account/keys?x=1", [whole]), undefined);
  assert.match(objection("GET", "/account/keys", [key]) ?? "", /required/);
  assert.match(objection("GET", "/account/keys", [{ ...whole, more: 1 }]) ?? "", /^\/0\/more /);
  assert.match(objection("GET", "/account/keys/x", [whole]) ?? "", /object/);
  assert.match(objection("GET", "/nothing", {}) ?? "", /not in the schema/);
  assert.equal(objection("GET", "/teams/permissions", []), undefined);
});

test("the schema is one of interagent's: resources, their links, and what names one in a path", async () => {
  const { app, collaborator } = schema.definitions;
  assert.ok(app && collaborator);
  assert.deepEqual(app.type, ["object"]);
  const info = app.links.find(({ rel, method }) => rel === "self" && method === "GET");
  assert.equal(info?.href, "/apps/{(%23%2Fdefinitions%2Fapp%2Fdefinitions%2Fidentity)}");
  assert.ok("identity" in app.definitions);
  assert.deepEqual(collaborator.links.map(({ rel }) => rel).toSorted(), [
    "create",
    "destroy",
    "instances",
    "self",
    "update",
  ]);
  for (const { definitions, links: own } of Object.values(schema.definitions)) {
    assert.ok("identity" in definitions);
    for (const { href } of own)
      for (const [, named = ""] of decodeURIComponent(href).matchAll(/#\/definitions\/([\w-]+)\//g))
        assert.ok(named in schema.definitions, `${href} names ${named}`);
  }
  const text = JSON.stringify(schema);
  assert.ok(!text.includes("~kind"));
  const again = await world.call("GET", "/schema", { token: null, headers: { "Accept-Encoding": "gzip" } });
  const etag = again.headers.get("etag") ?? "";
  const same = await world.call("GET", "/schema", { token: null, headers: { "If-None-Match": etag } });
  assert.deepEqual([same.status, same.text], [304, ""]);
});
