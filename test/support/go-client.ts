import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { World } from "./api-world.ts";

/**
 * What a field of a Go structure takes: `string`, `int`, `bool`, `time`; `?` at the end: a pointer, which may be null; `[string]`: a list;
 * `{string}`: a map with words of its own; or a structure, which may be null where the field's name begins with `*`.
 */
export type GoType = string | readonly [GoStruct] | GoStruct;
export interface GoStruct {
  readonly [field: string]: GoType;
}

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;
const LEAVES: Readonly<Record<string, (value: unknown) => boolean>> = {
  string: (value) => typeof value === "string",
  bool: (value) => typeof value === "boolean",
  int: (value) => Number.isSafeInteger(value),
  time: (value) => typeof value === "string" && RFC3339.test(value) && !Number.isNaN(Date.parse(value)),
  "[string]": (value) => Array.isArray(value) && value.every((each) => typeof each === "string"),
  "{string}": (value) => isObject(value) && Object.values(value).every((each) => typeof each === "string"),
};

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** As strictly as `encoding/json`, and more: what is no pointer is there, and not null. Fields that Go does not know it passes over. */
export function assertDecodes(value: unknown, type: GoType, where: string): void {
  if (typeof type === "string") {
    if (type.endsWith("?") && value === null) return;
    const leaf = LEAVES[type.replace(/\?$/, "")] ?? assert.fail(`${where}: no type ${type}`);
    assert.ok(leaf(value), `${where} is ${JSON.stringify(value)}, and Go wants ${type}`);
  } else if (isList(type)) {
    assert.ok(Array.isArray(value), `${where} is no list: ${JSON.stringify(value)}`);
    for (const [at, each] of value.entries()) assertDecodes(each, type[0], `${where}[${at}]`);
  } else {
    assert.ok(isObject(value), `${where} is no object: ${JSON.stringify(value)}`);
    for (const [field, of] of Object.entries(type)) {
      const name = field.replace(/^\*/, "");
      if (name !== field && value[name] === null) continue;
      assert.ok(Object.hasOwn(value, name), `${where} has no ${name}`);
      assertDecodes(value[name], of, `${where}.${name}`);
    }
  }
}

const isList = (type: GoType): type is readonly [GoStruct] => Array.isArray(type);

/** `ListRange` of heroku-go, as it is written into the header `Range`. */
export interface GoRange {
  readonly field: string;
  readonly max: number;
  readonly isDescending: boolean;
}

/** Requests as heroku-go sends them for Terraform's provider: its headers, its credentials, no body where it has none. */
export class GoClient {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** Fails the test where the answer is an error, or is not what the structure takes. */
  async ok<T>(method: string, path: string, type: GoType, body?: unknown, range?: GoRange): Promise<T> {
    const { status, json, text } = await this.call(method, path, body, range);
    assert.ok(status >= 200 && status < 300, `${method} ${path}: ${status} ${text}`);
    assertDecodes(json, type, `${method} ${path}`);
    return json as T; // as the test reads it
  }

  /** Fails the test where the answer is no error with an id and a sentence, as its transport reads them. */
  async refused(method: string, path: string, status: number, body?: unknown): Promise<string> {
    const answer = await this.call(method, path, body);
    assert.equal(answer.status, status, `${method} ${path}: ${answer.text}`);
    assertDecodes(answer.json, { id: "string", message: "string" }, `${method} ${path}`);
    assert.match(answer.json.message, /^[A-Z].*\.$/s);
    return answer.json.id as string; // by the line above
  }

  call(method: string, path: string, body?: unknown, range?: GoRange) {
    const { user, token } = this.#world;
    const order = range?.isDescending === true ? ",order=desc" : "";
    const headers = {
      Accept: "application/vnd.heroku+json; version=3",
      Authorization: `Basic ${Buffer.from(`${user.email}:${token}`).toString("base64")}`,
      "Request-Id": randomUUID(),
      "User-Agent": "heroku/v5 (linux; amd64) terraform-provider-heroku/5.2.8",
      "Accept-Encoding": "gzip",
      ...(range && { Range: `${range.field} ..; max=${range.max}${order}` }),
    };
    return this.#world.call(method, path, { token: null, headers, ...(body !== undefined && { body }) });
  }
}
